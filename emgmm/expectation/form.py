"""What a form of the E-step is: the log-joint of a block, and the statistics of one."""

from __future__ import annotations

from abc import ABC, abstractmethod

from emgmm.block import Block
from emgmm.statistics import Statistics
from emgmm.typing import Array


class Form(ABC):
    """The E-step of one mixture; each method takes one block and lets go of all that is K x B."""

    @abstractmethod
    def log_joint(self, rows: Array) -> Array:
        """(K, B): log pi_k + log N(x_i; mu_k, Sigma_k) of a (D, B) block."""

    @abstractmethod
    def statistics(self, block: Block) -> Statistics:
        """The block's sufficient statistics, but for what no responsibility enters."""

    @abstractmethod
    def complete(self, statistics: Statistics) -> Statistics:
        """A whole pass's sum with those constants added."""
