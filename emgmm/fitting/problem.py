"""What a fit is asked: the mixture that is to be estimated, and how."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from emgmm.acceleration import Scheme
from emgmm.covariances import Family
from emgmm.em import EM
from emgmm.fitting.multistart import Given
from emgmm.initialization import Start
from emgmm.noise import Density
from emgmm.prior import NormalInverseWishart
from emgmm.sources import Source
from emgmm.typing import Array


@dataclass(frozen=True, eq=False)
class Problem:
    """The mixture that is to be estimated.

    Parameters
    ----------
    family : Family
        Of the covariances.
    n_components : int
        K.
    ridge : float
        Added to the diagonal of every covariance after each M-step; not where there is a prior.
    prior : NormalInverseWishart, optional
        Of means and covariances.
    concentration : float
        Of the Dirichlet prior of the weights; 1 is none.
    noise : Density, "uniform", float or callable, optional
        The noise component: its distribution, or uniform over the volume of the data, or a constant
        density, or a function that returns log-densities.
    """

    family: Family
    n_components: int
    ridge: float = 0.0
    prior: NormalInverseWishart | None = None
    concentration: float = 1.0
    noise: Density | str | float | Callable[[Array], Any] | None = None

    def em(self, source: Source) -> EM:
        """EM's map for the rows of a source; one pass over them is made."""
        return EM(
            source,
            self.family,
            self.n_components,
            self.ridge,
            self.prior,
            self.concentration,
            self.noise,
        )


@dataclass(frozen=True, eq=False)
class Options:
    """How the mixture is looked for.

    Parameters
    ----------
    tol : float
        The change of the objective below which EM ends.
    max_iter : int
        Most iterations.
    scheme : Scheme
        Plain EM, or an acceleration of it.
    start : Start
        Where EM begins.
    given : Given
        Parameters of the first mixture that do not come from the start.
    n_init : int
        Number of starts, of which the best is kept.
    break_symmetry : bool
        Whether components that EM cannot part are split.
    negligible : float
        What may be left to gain where `tol` is met, summed over the rows; inf where `tol` alone
        decides.
    """

    tol: float
    max_iter: int
    scheme: Scheme
    start: Start
    given: Given = field(default_factory=Given)
    n_init: int = 1
    break_symmetry: bool = True
    negligible: float = math.inf
