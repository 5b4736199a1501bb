"""Panels: one feature, or a pair of them, drawn into an Axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emgmm.displays.marginal import Marginal
from emgmm.plots import COLOURS, GREY, bell, ellipses
from emgmm.typing import Array, Integers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The second time round the palette, markers and lines are others.
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.")

DARK = "0.2"
NOISE = -1

# Share of an axis within which two means are one place for their numbers.
SAME_PLACE = 0.05


def colour_of(component: int) -> str:
    """Colour of a component; noise is grey."""
    return GREY if component == NOISE else COLOURS[component % len(COLOURS)]


def style_of(component: int, styles: Sequence[str]) -> str:
    """A marker or line of a component."""
    return styles[max(component, 0) // len(COLOURS) % len(styles)]


@dataclass(frozen=True, eq=False)
class Points:
    """Rows to draw, and what is known of each.

    Parameters
    ----------
    rows : (n, F)
        Their values; NaN where something is missing.
    labels : (n,)
        Components; -1 is noise.
    weights : (n,), optional
        What each counts in a histogram.
    """

    rows: Array
    labels: Integers
    weights: Array | None = None

    def observed(self, *features: int) -> Points:
        """These features of the rows in which none of them is missing and which count."""
        rows = self.rows[:, list(features)]
        whole = np.logical_not(np.isnan(rows).any(axis=1))
        if self.weights is None:
            return Points(rows[whole], self.labels[whole])
        whole &= self.weights > 0
        return Points(rows[whole], self.labels[whole], self.weights[whole])

    def __len__(self) -> int:
        return len(self.rows)


def scatter(ax: Axes, points: Points, marginal: Marginal) -> None:
    """Draw the rows of two features, coloured by component; the more there are, the finer."""
    size = float(np.clip(9 * np.sqrt(600 / max(len(points), 1)), 1.2, 9))
    for component in range(NOISE, marginal.n_components):
        own = points.rows[points.labels == component]
        if component == NOISE and not len(own):
            continue
        ax.scatter(
            own[:, 0],
            own[:, 1],
            s=size,
            marker=style_of(component, MARKERS),
            color=colour_of(component),
            alpha=0.45,
            lw=0,
            label=named(component, marginal),
            rasterized=True,
        )


def named(component: int, marginal: Marginal) -> str:
    """What a legend says of a component."""
    if component == NOISE:
        return "noise"
    return f"component {component}, weight {marginal.weights[component]:.2f}"


def outlines(ax: Axes, marginal: Marginal, radii: Sequence[float]) -> None:
    """Draw every component of two features at some standard deviations."""
    for k, (mean, covariance) in enumerate(zip(marginal.means, marginal.covariances, strict=True)):
        ellipses(ax, mean, covariance, colour_of(k), radii=radii, ls=style_of(k, LINES))
    ax.autoscale_view()


def contours(
    ax: Axes,
    points: Points,
    marginal: Marginal,
    probabilities: Sequence[float],
    random: np.random.RandomState,
    *,
    labelled: bool,
) -> None:
    """Draw the density of two features where it bounds the densest regions of some probability."""
    low, high = extent(points, marginal)
    x, y = (marginal.places(j, low[j], high[j]) for j in (0, 1))
    inside = [places[(low[j] <= places) & (places <= high[j])] for j, places in enumerate((x, y))]
    grid = np.stack(np.meshgrid(*inside), axis=-1)
    density = marginal.log_density(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    shares = sorted(set(probabilities), reverse=True)
    levels = marginal.log_levels(shares, random)
    widths = np.linspace(0.7, 1.4, len(levels))
    style = {"colors": DARK, "linewidths": widths, "linestyles": "solid"}
    lines = ax.contour(*inside, density, levels=levels, **style)
    if labelled:
        names = {level: f"{100 * share:.3g}%" for level, share in zip(levels, shares, strict=True)}
        ax.clabel(lines, fmt=names, fontsize="x-small")
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def extent(points: Points, marginal: Marginal) -> tuple[Array, Array]:
    """(F,) lowest and highest place in a picture of the rows and of three standard deviations."""
    reach = 3.2 * np.sqrt(np.diagonal(marginal.covariances, axis1=1, axis2=2))
    everything = np.concatenate([points.rows, marginal.means - reach, marginal.means + reach])
    low, high = everything.min(axis=0), everything.max(axis=0)
    return low - 0.02 * (high - low), high + 0.02 * (high - low)


def numbers(ax: Axes, places: Array) -> None:
    """Write every component's number at its place (K, 2); places that are one share a line."""
    from matplotlib.patheffects import withStroke

    span = np.ptp(np.array([ax.get_xlim(), ax.get_ylim()]), axis=1)
    left = list(range(len(places)))
    while left:
        apart = np.abs(places[left] - places[left[0]]) / span
        here = [k for k, away in zip(left, apart, strict=True) if away.max() <= SAME_PLACE]
        left = [k for k in left if k not in here]
        text = ax.text(
            *places[here].mean(axis=0),
            ", ".join(map(str, here)),
            ha="center",
            va="center",
            fontsize="small",
            fontweight="bold",
            color=colour_of(here[0]) if len(here) == 1 else "black",
            clip_on=True,
        )
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def profile(ax: Axes, points: Points, marginal: Marginal, *, numbered: bool) -> None:
    """Draw the rows of one feature as a histogram, each component's density, and their sum."""
    low, high = (float(end[0]) for end in extent(points, marginal))
    if len(points):
        values = points.rows[:, 0]
        style: dict[str, Any] = {"color": "0.87", "density": True, "label": "rows"}
        ax.hist(values, bins=edges(values), weights=points.weights, **style)
    x = marginal.places(0, low, high)
    curves = marginal.curves(x)
    for k, curve in enumerate(curves):
        style = {"color": colour_of(k), "ls": style_of(k, LINES), "label": named(k, marginal)}
        ax.plot(x, curve, lw=1.3, **style)
    ax.plot(x, curves.sum(axis=0), color=DARK, lw=0.9, ls=(0, (4, 2)), label="their sum")
    ax.set(xlim=(low, high), ylim=(0, 1.08 * ax.dataLim.y1))
    if numbered:
        numbers(ax, np.column_stack([marginal.means[:, 0], curves.max(axis=1)]))


def edges(values: Array) -> Array:
    """Edges of bins, as many as Freedman and Diaconis have them, 10 to 60."""
    quartiles = np.quantile(values, [0.25, 0.75])
    width = 2 * np.ptp(quartiles) / np.cbrt(len(values))
    span = np.ptp(values)
    count = 10 if width <= 0 else int(np.clip(np.ceil(span / width), 10, 60))
    return np.linspace(values.min(), values.max() if span > 0 else values.min() + 1, count + 1)
