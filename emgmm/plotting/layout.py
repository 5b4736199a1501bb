"""Figures, grids of panels, and text beside panels."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.transforms import Transform

# Width and height of a single panel, and width of a panel in a grid, in inches.
PANEL = (5.6, 4.0)
CELL = 1.7

# Width in inches of a panel in a grid below which its axes have no tick labels.
UNLABELLED = 0.5


def new_figure(width: float, height: float) -> Any:
    """Create a figure by pyplot, so that notebooks show it, with a layout that clips no text."""
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained")


def panel(ax: Axes | None) -> Axes:
    """Return the given axes, or those of a new figure if there are none."""
    return new_figure(*PANEL).add_subplot() if ax is None else ax


def triangle(ax: Axes | None, names: Sequence[str]) -> tuple[NDArray[Any], Axes]:
    """Create panels for all pairs of features, and axes for a legend in the upper right corner.

    Parameters
    ----------
    ax : Axes, optional
        Axes that the panels replace. By default they are in a new figure.
    names : sequence of str
        Names of the F features.

    Returns
    -------
    axes : ndarray of shape (F, F)
        Axes of the column's feature against the row's feature; None above the diagonal.
    corner : Axes
        Axes in the upper right corner.

    Raises
    ------
    ValueError
        If the position of the given axes is not a cell of a grid, which could be divided.
    """
    n = len(names)
    if ax is None:
        figure = new_figure(CELL * n + 0.4, CELL * n + 0.2)
        cells = figure.add_gridspec(n, n)
        inches = CELL
    else:
        figure, place = ax.figure, ax.get_subplotspec()
        if place is None:
            raise ValueError(
                "A grid can only replace Axes that were created by subplots or add_subplot; these "
                "were created by add_axes."
            )
        cells = place.subgridspec(n, n)
        inches = inches_of(ax) / n
        ax.set_axis_off()
    size = "small" if inches > 1 else "xx-small"
    labels = [wrapped(name, inches) for name in names]
    axes = np.full((n, n), None, dtype=object)
    for i, j in zip(*np.tril_indices(n), strict=True):
        left = axes[i, 0] if 0 < j < i else None
        cell = figure.add_subplot(cells[i, j], sharex=axes[j, j] if i > j else None, sharey=left)
        axes[i, j] = cell
        cell.locator_params(nbins=3 if inches > 1 else 2)
        cell.tick_params(labelsize=size, length=2, pad=2)
        cell.tick_params(labelbottom=i == n - 1 and inches > UNLABELLED)
        cell.tick_params(labelleft=0 == j < i and inches > UNLABELLED)
        if i == n - 1:
            cell.set_xlabel(labels[j], fontsize=size)
        if j == 0 < i:
            cell.set_ylabel(labels[i], fontsize=size)
        if i == j:
            cell.set_yticks([])
    corner = figure.add_subplot(cells[0, n - 1])
    corner.set_axis_off()
    return axes, corner


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


def legend(corner: Axes, handles: Sequence[Any], lines: Sequence[str]) -> None:
    """Draw the legend of a grid in its corner, below some lines of text."""
    size = "x-small" if inches_of(corner) > 1 else "xx-small"
    box = corner.legend(
        handles=handles,
        title="\n".join(lines),
        loc="upper right",
        borderaxespad=0,
        fontsize=size,
        title_fontsize=size,
        alignment="left",
        labelspacing=0.3,
        handlelength=1.5,
        ncols=1 + (len(handles) - 1) // 8,
        columnspacing=1,
        frameon=False,
    )
    box.set_in_layout(False)


def grouped(number: int) -> str:
    """Return a number with its digits in groups of three."""
    return f"{number:,}".replace(",", " ")
