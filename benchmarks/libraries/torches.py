"""What the libraries on PyTorch have in common: tensors, and the number of threads."""

from __future__ import annotations

import os
from importlib import metadata
from typing import Any

import numpy as np


def version(distribution: str) -> str:
    """Of a library, with that of PyTorch."""
    return f"{distribution} {metadata.version(distribution)} (torch {metadata.version('torch')})"


def on_our_threads() -> Any:
    """PyTorch, held to the worker's number of threads."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return torch


def array(tensor: Any) -> Any:
    """A tensor's values, float64 where they are many digits and float32 where few."""
    return np.asarray(tensor.detach().cpu().numpy())
