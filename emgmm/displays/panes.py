"""Where pictures go: a new panel, or a grid of them, and the small print beside a panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Inches of a panel, and of one in a grid.
PANEL = (5.6, 4.0)
CELL = 1.7


def new_figure(width: float, height: float) -> Any:
    """A figure of pyplot's, which notebooks show, laid out so that nothing is cut off."""
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained")


def panel(ax: Axes | None) -> Axes:
    """The panel to draw in: the one that was given, or that of a new figure."""
    return new_figure(*PANEL).add_subplot() if ax is None else ax


def triangle(ax: Axes | None, names: Sequence[str]) -> NDArray[Any]:
    """(F, F) panels for pairs of features, None above the diagonal; in the place of an Axes."""
    n = len(names)
    if ax is None:
        figure = new_figure(CELL * n + 0.4, CELL * n + 0.2)
        cells = figure.add_gridspec(n, n)
    else:
        figure = ax.figure
        cells = ax.get_subplotspec().subgridspec(n, n)
        ax.set_axis_off()
    axes = np.full((n, n), None, dtype=object)
    for i, j in zip(*np.tril_indices(n), strict=True):
        beside = axes[i, 0] if 0 < j < i else None
        cell = figure.add_subplot(cells[i, j], sharex=axes[j, j] if i > j else None, sharey=beside)
        axes[i, j] = cell
        cell.locator_params(nbins=3)
        cell.tick_params(labelsize="x-small", length=2, labelbottom=i == n - 1)
        if i == n - 1:
            cell.set_xlabel(names[j], fontsize="small")
        if i == j:
            cell.set_yticks([])
        else:
            cell.tick_params(labelleft=j == 0)
            if j == 0:
                cell.set_ylabel(names[i], fontsize="small")
    return axes


def small_print(ax: Axes, lines: Sequence[str]) -> None:
    """Write beside a panel, upwards along its right edge, what a reader should know."""
    style = {"fontsize": "x-small", "color": "0.4", "rotation": "vertical"}
    where = {"ha": "left", "va": "bottom", "transform": ax.transAxes}
    ax.text(1.015, 0.0, "\n".join(lines), **style, **where)


def grouped(number: int) -> str:
    """A number, its digits in groups of three."""
    return f"{number:,}".replace(",", " ")
