"""Where pictures go: a new panel, or a grid of them, and the small print beside a panel."""

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

# Inches of a panel, and of one in a grid.
PANEL = (5.6, 4.0)
CELL = 1.7

# Inches of a panel in a grid below which there is no room for figures along its axes.
NO_ROOM = 0.5


def new_figure(width: float, height: float) -> Any:
    """A figure of pyplot's, which notebooks show, laid out so that nothing is cut off."""
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained")


def panel(ax: Axes | None) -> Axes:
    """The panel to draw in: the one that was given, or that of a new figure."""
    return new_figure(*PANEL).add_subplot() if ax is None else ax


def triangle(ax: Axes | None, names: Sequence[str]) -> tuple[NDArray[Any], Axes]:
    """Panels for pairs of features, and the empty corner above them.

    Parameters
    ----------
    ax : Axes, optional
        Whose place they take; a new figure by default.
    names : sequence of str
        The F features.

    Returns
    -------
    axes : ndarray of shape (F, F)
        Axes, of the feature of the column against that of the row; None above the diagonal.
    corner : Axes
        The one on the upper right, for a legend.

    Raises
    ------
    ValueError
        Where the Axes has no place in a grid, which could be divided.
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
                "A grid takes the place of an Axes that subplots or add_subplot made; this one was "
                "put where it is by add_axes."
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
        cell.tick_params(labelbottom=i == n - 1 and inches > NO_ROOM)
        cell.tick_params(labelleft=0 == j < i and inches > NO_ROOM)
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
    """A name of an axis, broken into lines that are no longer than the axis."""
    return textwrap.fill(name, max(7, int(14 * inches)), break_long_words=False)


def inches_of(ax: Axes) -> float:
    """Width of a panel, before it is laid out."""
    return float(ax.get_window_extent().width / ax.figure.dpi)


def beside(ax: Axes, points: float) -> Transform:
    """Places in shares of a panel, moved to the right by so many points."""
    from matplotlib.transforms import ScaledTranslation

    return ax.transAxes + ScaledTranslation(points / 72, 0, ax.figure.dpi_scale_trans)


def small_print(ax: Axes, lines: Sequence[str], points: float = 3) -> None:
    """Write beside a panel, upwards along its right edge, what a reader should know."""
    style: dict[str, Any] = {"fontsize": "x-small", "color": "0.4", "rotation": "vertical"}
    where: dict[str, Any] = {"ha": "left", "va": "bottom", "transform": beside(ax, points)}
    ax.text(1, 0, "\n".join(lines), **style, **where)


def haloed(text: Text) -> None:
    """Make a text legible upon points and lines."""
    from matplotlib.patheffects import withStroke

    text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def key(corner: Axes, handles: Sequence[Any], lines: Sequence[str]) -> None:
    """Write in the corner of a grid what its colours are, under what else is to be said."""
    size = "x-small" if inches_of(corner) > 1 else "xx-small"
    legend = corner.legend(
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
    legend.set_in_layout(False)


def grouped(number: int) -> str:
    """A number, its digits in groups of three."""
    return f"{number:,}".replace(",", " ")
