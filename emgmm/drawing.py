"""Palette and strokes that pictures are made of; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emgmm.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by colour-blind readers and in grey, without its yellow, which
# is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8C8C8C"
RED = "#CC0000"

# Standard deviations at which a component is outlined, unless others are asked for.
SDS = (1.0, 2.0, 3.0)


def needs_matplotlib(caller: str) -> None:
    """Say what to install where there is no matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib: install it, or pip install 'emgmm[plot]'."
        ) from error


def ellipses(
    ax: Axes,
    mean: Array,
    covariance: Array,
    colour: str,
    *,
    radii: Sequence[float] = SDS,
    scale: float = 1.0,
    **style: Any,
) -> None:
    """Draw a Gaussian of two features at some standard deviations, thinner the farther out."""
    from matplotlib.patches import Ellipse

    variances, axes = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    height, width = 2 * np.sqrt(np.maximum(variances, 0))
    for radius, thickness in zip(radii, scale * np.linspace(1.7, 0.7, len(radii)), strict=True):
        size = (radius * width, radius * height)
        ellipse = Ellipse((mean[0], mean[1]), *size, angle=angle, fill=False, ec=colour, **style)
        ellipse.set_linewidth(thickness)
        ax.add_artist(ellipse)
    # Exactly the box about the largest; add_patch would find it at many times the cost.
    reach = max(radii) * np.sqrt(np.diagonal(covariance))
    ax.update_datalim([mean - reach, mean + reach])


def normal(x: Array, mean: float, variance: float) -> Array:
    """Density of a Gaussian of one feature."""
    return np.exp(-0.5 * (x - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)


def bell(ax: Axes, weight: float, mean: float, variance: float, colour: str, **style: Any) -> None:
    """Draw the weighted density of one component of a single feature."""
    x = mean + np.sqrt(variance) * np.linspace(-4, 4, 200)
    ax.plot(x, weight * normal(x, mean, variance), color=colour, **style)


def ascent(ax: Axes, objectives: Sequence[float] | Array, remaining_gain: float) -> None:
    """Draw the objective after each iteration, and where Aitken's estimate puts its limit."""
    marker = "." if len(objectives) <= 60 else ""
    ax.plot(range(len(objectives)), objectives, marker=marker, color=COLOURS[0], lw=1.2)
    if len(objectives) and np.isfinite(remaining_gain):
        limit = objectives[-1] + remaining_gain
        ax.axhline(limit, ls="--", lw=1, color=COLOURS[1], label="Aitken's limit")
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("iteration")
