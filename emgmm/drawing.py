"""Colours, figures and drawing primitives; matplotlib is imported only when a plot is drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emgmm.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.transforms import Transform

# Palette of Okabe and Ito, which colour-blind readers can distinguish, without its yellow, which is
# too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8C8C8C"
RED = "#CC0000"

# Default Mahalanobis radii of the ellipses of a component.
SDS = (1.0, 2.0, 3.0)

# Width and height of a single panel in inches.
PANEL = (5.6, 4.0)

# Fraction of the length of an axis below which the numbers of two components are written together.
CLOSE = 0.05

# Style that all legends beside axes have in common.
LEGEND: dict[str, Any] = {"borderaxespad": 0, "labelspacing": 0.3, "frameon": False}


def needs_matplotlib(caller: str) -> None:
    """Raise an `ImportError` that names the package to install if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{caller} requires matplotlib: pip install matplotlib.") from error


def new_figure(width: float, height: float) -> Any:
    """Create a figure by pyplot, so that notebooks show it, with a layout that clips no text."""
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained")


def panel(ax: Axes | None) -> Axes:
    """Return the given axes, or those of a new figure if there are none."""
    return new_figure(*PANEL).add_subplot() if ax is None else ax


def wrapped(name: str, inches: float) -> str:
    """Break the label of an axis into lines that are no longer than the axis."""
    return textwrap.fill(name, max(7, int(14 * inches)), break_long_words=False)


def inches_of(ax: Axes) -> float:
    """Return the width of axes in inches, before the layout is computed."""
    return float(ax.get_window_extent().width / ax.figure.dpi)


def beside(ax: Axes, points: float) -> Transform:
    """Return the transform from coordinates of axes, shifted to the right by some points."""
    from matplotlib.transforms import ScaledTranslation

    return ax.transAxes + ScaledTranslation(points / 72, 0, ax.figure.dpi_scale_trans)


def margin_note(ax: Axes, lines: Sequence[str], points: float = 3) -> None:
    """Write lines of text upwards along the right edge of axes."""
    style: dict[str, Any] = {"fontsize": "x-small", "color": "0.4", "rotation": "vertical"}
    where: dict[str, Any] = {"ha": "left", "va": "bottom", "transform": beside(ax, points)}
    ax.text(1, 0, "\n".join(lines), **style, **where)


def haloed(text: Text) -> None:
    """Draw a white outline around a text, so that it is legible on points and lines."""
    from matplotlib.patheffects import withStroke

    text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def scale_of(ax: Axes) -> float:
    """Return the factor of line widths and marker sizes, which is below 1 in small panels."""
    return float(np.clip(inches_of(ax) / 1.4, 0.35, 1))


def ellipses(
    ax: Axes, mean: Array, covariance: Array, colour: str, sds: Sequence[float] = SDS, ls: str = "-"
) -> None:
    """Draw ellipses of a bivariate Gaussian; the line width decreases with the radius."""
    from matplotlib.patches import Ellipse

    (x, y), (variances, axes) = mean, np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    height, width = 2 * np.sqrt(np.maximum(variances, 0))
    thicknesses = scale_of(ax) * np.linspace(1.7, 0.7, len(sds))
    for sd, thickness in zip(sds, thicknesses, strict=True):
        style: dict[str, Any] = {"fill": False, "ec": colour, "ls": ls, "lw": thickness}
        ax.add_artist(Ellipse((x, y), sd * width, sd * height, angle=angle, **style))
    # The bounding box of the largest ellipse; add_patch would take much longer to compute it.
    reach = max(sds) * np.sqrt(np.diagonal(covariance))
    ax.update_datalim([mean - reach, mean + reach])


def normal(x: Array, mean: Array | float, variance: Array | float) -> Array:
    """Return the density of a univariate Gaussian."""
    return np.exp(-0.5 * (x - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)


def bell(ax: Axes, weight: float, mean: float, variance: float, colour: str) -> None:
    """Draw the weighted density of one component of a univariate mixture."""
    x = mean + np.sqrt(variance) * np.linspace(-4, 4, 200)
    ax.plot(x, weight * normal(x, mean, variance), color=colour)


def objective_curve(ax: Axes, objectives: Sequence[float] | Array, remaining_gain: float) -> None:
    """Draw the objective after each iteration and Aitken's estimate of its limit."""
    marker = "." if len(objectives) <= 60 else ""
    ax.plot(range(len(objectives)), objectives, marker=marker, color=COLOURS[0], lw=1.2)
    if len(objectives) and np.isfinite(remaining_gain):
        limit = objectives[-1] + remaining_gain
        ax.axhline(limit, ls="--", lw=1, color=COLOURS[1], label="Aitken's limit")
    ax.locator_params(axis="x", integer=True)
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.set_xlabel("iteration")


def without_start(ax: Axes, start: float, others: Array) -> list[str]:
    """Limit the vertical axis to the other values if the start would take up most of it.

    Returns
    -------
    list of str
        Note that gives the value of the start if it is not shown; empty otherwise.
    """
    others = others[np.isfinite(others)]
    if not len(others) or 3 * np.ptp(others) > others.max() - start:
        return []
    margin = 0.1 * max(np.ptp(others), 1e-3 * abs(others.max())) or 1.0
    ax.set_ylim(others.min() - margin, others.max() + margin)
    return [f"begins below, at {start:.4g}"]


def numbers(ax: Axes, positions: Array, va: str = "center", ha: str = "center") -> None:
    """Write the number of each component at its (K, 2) position; close ones share a text."""
    span = np.ptp(np.array([ax.get_xlim(), ax.get_ylim()]), axis=1)
    style: dict[str, Any] = {"ha": ha, "va": va, "fontsize": "small", "clip_on": True}
    left = list(range(len(positions)))
    while left:
        apart = np.abs(positions[left] - positions[left[0]]) / span
        here = [k for k, distance in zip(left, apart, strict=True) if distance.max() <= CLOSE]
        left = [k for k in left if k not in here]
        x, y = positions[here].mean(axis=0)
        text = ax.text(x, y, ", ".join(map(str, here)), fontweight="bold", **style)
        haloed(text)
