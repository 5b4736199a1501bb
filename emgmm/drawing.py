"""Colours and drawing primitives of plots; matplotlib is imported only when a plot is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emgmm.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Palette of Okabe and Ito, which colour-blind readers can distinguish, without its yellow, which is
# too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8C8C8C"
RED = "#CC0000"

# Default Mahalanobis radii of the ellipses of a component.
SDS = (1.0, 2.0, 3.0)


def needs_matplotlib(caller: str) -> None:
    """Raise an `ImportError` that names the package to install if matplotlib is missing."""
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
    """Draw ellipses of a bivariate Gaussian; the line width decreases with the radius."""
    from matplotlib.patches import Ellipse

    variances, axes = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    height, width = 2 * np.sqrt(np.maximum(variances, 0))
    for radius, thickness in zip(radii, scale * np.linspace(1.7, 0.7, len(radii)), strict=True):
        size = (radius * width, radius * height)
        ellipse = Ellipse((mean[0], mean[1]), *size, angle=angle, fill=False, ec=colour, **style)
        ellipse.set_linewidth(thickness)
        ax.add_artist(ellipse)
    # The bounding box of the largest ellipse; add_patch would take much longer to compute it.
    reach = max(radii) * np.sqrt(np.diagonal(covariance))
    ax.update_datalim([mean - reach, mean + reach])


def normal(x: Array, mean: float, variance: float) -> Array:
    """Return the density of a univariate Gaussian."""
    return np.exp(-0.5 * (x - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)


def bell(ax: Axes, weight: float, mean: float, variance: float, colour: str, **style: Any) -> None:
    """Draw the weighted density of one component of a univariate mixture."""
    x = mean + np.sqrt(variance) * np.linspace(-4, 4, 200)
    ax.plot(x, weight * normal(x, mean, variance), color=colour, **style)


def objective_curve(ax: Axes, objectives: Sequence[float] | Array, remaining_gain: float) -> None:
    """Draw the objective after each iteration and Aitken's estimate of its limit."""
    marker = "." if len(objectives) <= 60 else ""
    ax.plot(range(len(objectives)), objectives, marker=marker, color=COLOURS[0], lw=1.2)
    if len(objectives) and np.isfinite(remaining_gain):
        limit = objectives[-1] + remaining_gain
        ax.axhline(limit, ls="--", lw=1, color=COLOURS[1], label="Aitken's limit")
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("iteration")
