"""Drawing of a univariate or bivariate marginal and its rows into axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emgmm.drawing import COLOURS, GREY, LEGEND, ellipses, inches_of, scale_of
from emgmm.plotting.marginal import Marginal
from emgmm.typing import Array, Integers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Markers and line styles; the next one is used each time the palette is exhausted.
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.")

DARK = "0.2"
NOISE = -1


def colour_of(component: int) -> str:
    """Return the colour of a component; noise is grey."""
    return GREY if component == NOISE else COLOURS[component % len(COLOURS)]


def style_of(component: int, styles: Sequence[str]) -> str:
    """Return the marker or the line style of a component."""
    return styles[max(component, 0) // len(COLOURS) % len(styles)]


@dataclass(frozen=True, eq=False)
class Points:
    """Rows to draw.

    Parameters
    ----------
    rows : (n, F)
        Values, with NaN for missing ones.
    labels : (n,)
        Component of each row; -1 is noise.
    weights : (n,), optional
        Weight of each row in a histogram.
    """

    rows: Array
    labels: Integers
    weights: Array | None = None

    def observed(self, *features: int) -> Points:
        """Select features, and the rows of positive weight in which none of these is missing."""
        rows, weights = self.rows[:, features], self.weights
        drawn = np.logical_not(np.isnan(rows).any(axis=1))
        if weights is not None:
            drawn &= weights > 0
            weights = weights[drawn]
        return Points(rows[drawn], self.labels[drawn], weights)


def scatter(ax: Axes, points: Points, marginal: Marginal) -> None:
    """Draw the rows of two features, coloured by component, with smaller markers for more rows."""
    area = scale_of(ax) * float(np.clip(9 * np.sqrt(600 / max(len(points.rows), 1)), 1.2, 9))
    # With Axes.scatter a grid of pairs takes twice as long.
    style: dict[str, Any] = {"ms": np.sqrt(area), "ls": "", "mew": 0, "alpha": 0.45, "zorder": 1}
    for component in range(NOISE, len(marginal.weights)):
        own = points.rows[points.labels == component]
        if component == NOISE and not len(own):
            continue
        style |= {"color": colour_of(component), "marker": style_of(component, MARKERS)}
        style |= {"label": label_of(component, marginal), "rasterized": True}
        ax.plot(own[:, 0], own[:, 1], **style)


def label_of(component: int, marginal: Marginal) -> str:
    """Return the entry of a component in a legend."""
    if component == NOISE:
        return "noise"
    return f"component {component}, weight {marginal.weights[component]:.2f}"


def legend(corner: Axes, weights: Array, notes: Sequence[str]) -> None:
    """Draw the weights of all components as the legend of a grid, below some lines of text."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour_of(k), ls=style_of(k, LINES), label=f"{k}: {weight:.2f}")
        for k, weight in enumerate(weights)
    ]
    size = "x-small" if inches_of(corner) > 1 else "xx-small"
    style: dict[str, Any] = {**LEGEND, "fontsize": size, "title_fontsize": size}
    style |= {"handlelength": 1.5, "columnspacing": 1, "ncols": 1 + (len(handles) - 1) // 8}
    title = "\n".join([*notes, "component: weight"])
    box = corner.legend(handles=handles, title=title, alignment="left", loc="upper right", **style)
    box.set_in_layout(False)


def outlines(ax: Axes, marginal: Marginal, radii: Sequence[float]) -> None:
    """Draw ellipses of every component of two features with some Mahalanobis radii."""
    for k, (mean, covariance) in enumerate(zip(marginal.means, marginal.covariances, strict=True)):
        ellipses(ax, mean, covariance, colour_of(k), radii, style_of(k, LINES))
    ax.autoscale_view()


def contours(ax: Axes, points: Points, marginal: Marginal, levels: Array) -> None:
    """Draw the contours of the density of two features at some log-densities."""
    low, high = extent(points, marginal)
    x, y = (marginal.grid(j, low[j], high[j]) for j in (0, 1))
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    density = marginal.log_density(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    style: dict[str, Any] = {"colors": DARK, "linestyles": "solid"}
    style["linewidths"] = scale_of(ax) * np.linspace(0.7, 1.4, len(levels))
    ax.contour(x, y, density, levels=levels, **style)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def extent(points: Points, marginal: Marginal) -> tuple[Array, Array]:
    """Return (F,) lower and upper limits that include the rows and three standard deviations."""
    reach = 3 * np.sqrt(np.diagonal(marginal.covariances, axis1=1, axis2=2))
    included = np.concatenate([points.rows, marginal.means - reach, marginal.means + reach])
    low, high = included.min(axis=0), included.max(axis=0)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def profile(ax: Axes, points: Points, marginal: Marginal) -> None:
    """Draw a histogram of one feature, the weighted density of each component, and their sum."""
    low, high = (float(end[0]) for end in extent(points, marginal))
    if len(points.rows):
        values = points.rows[:, 0]
        style: dict[str, Any] = {"color": "0.87", "density": True, "label": "rows"}
        ax.hist(values, bins=edges(values).tolist(), weights=points.weights, **style)
    x, scale = marginal.grid(0, low, high), scale_of(ax)
    curves = marginal.curves(x)
    dashes = (0, (4, 2))
    ax.plot(x, curves.sum(axis=0), color=DARK, lw=0.9 * scale, ls=dashes, label="their sum")
    for k, curve in enumerate(curves):
        style = {"color": colour_of(k), "ls": style_of(k, LINES), "lw": 1.3 * scale}
        ax.plot(x, curve, label=label_of(k, marginal), **style)
    ax.set(xlim=(low, high), ylim=(0, 1.12 * ax.dataLim.y1))


def edges(values: Array) -> Array:
    """Return the distinct edges of 10 to 60 bins by the rule of Freedman and Diaconis.

    There are fewer bins if rounding leaves fewer numbers between the values.
    """
    low, first, third, high = np.quantile(values, [0, 0.25, 0.75, 1])
    if low == high:
        half = max(0.5, 5 * float(np.spacing(np.abs(low))))
        return np.linspace(low - half, high + half, 11)
    width = max(2 * (third - first) / np.cbrt(len(values)), (high - low) / 60)
    return np.unique(np.linspace(low, high, max(10, int(np.ceil((high - low) / width))) + 1))
