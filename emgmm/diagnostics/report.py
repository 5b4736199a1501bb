"""`Diagnosis`: the report on a fitted mixture, as text, HTML, a dictionary and a plot."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from emgmm import drawing
from emgmm.degeneracy import aitken, gain_left
from emgmm.diagnostics.certificate import Certificate, Verdict, certify
from emgmm.diagnostics.overlap import OVERLAPPING, overlap
from emgmm.diagnostics.summary import WIDTH
from emgmm.em import EM
from emgmm.estep import EStepForBlock
from emgmm.exceptions import format_components
from emgmm.mixture import Mixture
from emgmm.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Largest number of rows in the plot.
MAX_POINTS = 2000


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Report on a fitted mixture.

    Attributes
    ----------
    coincident : list of tuple of int
        Groups of components that are identical, which EM cannot separate.
    collapsed, starved : list of int
        Components that are tiny compared with the data, and components with an effective number of
        rows below 1.
    overlapping : list of tuple of int
        Pairs of components whose labels are arbitrary, since the cosine of their responsibilities
        is above one half.
    mass : ndarray of shape (K,)
        Effective number of rows of each component.
    condition_numbers : ndarray of shape (K,)
        Ratio of the largest to the smallest variance of each covariance.
    overlap : ndarray of shape (K, K)
        Cosines of the responsibilities of the components: 1 if these are proportional, 0 if no row
        belongs to both components.
    entropy : float
        Mean entropy of the responsibilities of a row, in nats; log K if all of them are equal.
    rate : float
        Factor by which EM's gains shrink per iteration: the ratio of the last two, or the result of
        a power iteration if the report is certified.
    remaining_gain : float
        Aitken's estimate of the remaining gain of the mean log-likelihood. It is 0 if the
        log-likelihood decreases, as it may under a ridge.
    verdict : Verdict
        Kind of point at which EM ended, as far as it was examined.
    step : float
        Length of one more EM step in standard deviations; nan unless certified.
    direction : str
        Move that increased the likelihood, if there is one.
    gain : float
        Gain of this move in nats per row.
    extra_passes : int
        Number of passes over the rows that the report took.
    """

    coincident: list[tuple[int, ...]]
    collapsed: list[int]
    starved: list[int]
    overlapping: list[tuple[int, ...]]
    mass: Array
    condition_numbers: Array
    overlap: Array
    entropy: float
    rate: float
    remaining_gain: float
    verdict: Verdict
    step: float
    direction: str
    gain: float
    extra_passes: int
    _mixture: Mixture
    _rows: Array
    _objectives: Sequence[float]
    _feature_names: Array | None

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes by name, and the name of the verdict."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name[0] != "_"}
        return {**named, "verdict": self.verdict.name}

    def lines(self) -> list[tuple[str, str]]:
        """Return the lines of the report as pairs of a name and a value."""
        overlapping = "; ".join(map(format_components, self.overlapping))
        largest_overlap = (self.overlap - np.diag(np.diagonal(self.overlap))).max()
        step = "not computed" if np.isnan(self.step) else f"{self.step:.3g} standard deviations"
        verdict = self.verdict.sentence
        if self.verdict is Verdict.SADDLE:
            verdict += f" It was {self.direction}, by {self.gain:.3g} nats per row."
        return [
            ("Verdict", verdict),
            *((name, components or "none") for name, components in self._conditions()),
            ("Overlapping", overlapping or "none"),
            ("Mass", ", ".join(f"{m:.4g}" for m in self.mass)),
            ("Condition numbers", ", ".join(f"{c:.3g}" for c in self.condition_numbers)),
            ("Entropy", f"{self.entropy:.3g} nats per row"),
            ("Largest overlap", f"{largest_overlap:.3g}"),
            ("Rate", f"{self.rate:.4g}"),
            ("Remaining gain", f"{self.remaining_gain:.3g} nats per row"),
            ("Step", step),
            ("Extra passes", str(self.extra_passes)),
        ]

    def __str__(self) -> str:
        pairs = self.lines()
        indent = 2 + max(len(name) for name, _ in pairs)
        style: dict[str, Any] = {"width": WIDTH, "subsequent_indent": " " * indent}
        return "\n".join(
            textwrap.fill(f"{name:<{indent}}{value}", **style) for name, value in pairs
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in self.lines()
        )
        return f"<table>{rows}</table>"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the rows, the components, the problematic ones in red, and the log-likelihood.

        The left panel shows the first two features, with a random sample of at most 2000 rows and
        the ellipses of the components at 1, 2 and 3 standard deviations. For a single feature it
        shows the densities of the components, and the rows as ticks.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes for the components alone; None creates a figure with both panels.

        Returns
        -------
        matplotlib Axes
            Axes with the components.
        """
        drawing.needs_matplotlib("Diagnosis.plot")
        beside = None
        if ax is None:
            ax, beside = drawing.new_figure(10.5, 4.4).subplots(1, 2)
        mixture, offending = self._mixture, self.offending()
        covariances, places = mixture.dense_covariances(), mixture.means[:, :2]
        if mixture.n_features == 1:
            peaks = mixture.weights / np.sqrt(2 * np.pi * covariances[:, 0, 0])
            places = np.column_stack([places, peaks])
            ax.plot(self._rows[:, 0], np.zeros(len(self._rows)), "|", color=drawing.GREY, ms=9)
        else:
            ax.plot(*self._rows.T, ".", color=drawing.GREY, ms=3, zorder=1)
        for k in range(mixture.n_components):
            colour = drawing.RED if k in offending else drawing.COLOURS[0]
            if mixture.n_features == 1:
                variance = covariances[k, 0, 0]
                drawing.bell(ax, mixture.weights[k], places[k, 0], variance, colour)
            else:
                drawing.ellipses(ax, places[k], covariances[k, :2, :2], colour)
        ax.autoscale_view()
        if offending:  # whose ellipses may be too small to be seen
            ax.plot(*places[sorted(offending)].T, "x", color=drawing.RED)
        drawing.numbers(ax, places, va="bottom", ha="left")
        names = [f"feature {j}" for j in range(mixture.n_features)]
        names = names if self._feature_names is None else list(self._feature_names)
        ax.set(xlabel=names[0], ylabel=[*names, "density"][1])
        found = "; ".join(f"{name}: {value}" for name, value in self._conditions() if value)
        colour = drawing.RED if found else "black"
        ax.set_title(textwrap.fill(found, 56) or "Components", fontsize="medium", color=colour)
        if beside is not None:
            drawing.objective_curve(beside, self._objectives, self.remaining_gain)
            if np.isfinite(self.remaining_gain):
                beside.legend(frameon=False, fontsize="small", loc="lower right")
            if len(self._objectives):
                start, *others = [*self._objectives, self._objectives[-1] + self.remaining_gain]
                drawing.margin_note(beside, drawing.without_start(beside, start, np.array(others)))
            beside.set_ylabel("log-likelihood per row")
            is_certified = self.verdict is not Verdict.UNTRIED
            verdict = self.verdict.name.replace("_", " ").lower()
            beside.set_title(verdict if is_certified else "not certified", fontsize="medium")
        return ax

    def _conditions(self) -> list[tuple[str, str]]:
        """Return the names of the conditions that `offending` combines, with their components."""
        return [
            ("Coincident", "; ".join(map(format_components, self.coincident))),
            ("Collapsed", format_components(tuple(self.collapsed))),
            ("Starved", format_components(tuple(self.starved))),
        ]

    def offending(self) -> set[int]:
        """Return the components that are coincident, collapsed or starved."""
        return {*self.collapsed, *self.starved, *(k for group in self.coincident for k in group)}


def diagnose(
    em: EM,
    mixture: Mixture,
    objectives: Sequence[float],
    random: np.random.RandomState,
    *,
    certified: bool,
) -> Diagnosis:
    """Return the report on a mixture.

    Parameters
    ----------
    em : EM
        EM's map for the rows that were fitted.
    mixture : Mixture
        Fitted mixture.
    objectives : sequence of float
        Last objectives of the fit, between which all steps were plain EM.
    random : RandomState
        Random numbers of the certificate.
    certified : bool
        Whether to make further passes for a certificate.
    """
    statistics, dtype = em.expect(mixture), mixture.means.dtype
    drawn = em.source.sample(MAX_POINTS, np.random.RandomState(0))
    n_rows, names = em.summary.n_rows, em.source.feature_names
    e_step = EStepForBlock(mixture, n_rows)
    overlaps = em.sum(partial(overlap, e_step), e_step.block_rows)
    pairs = np.argwhere(np.triu(overlaps.cosines > OVERLAPPING, k=1))
    certificate = Certificate(Verdict.UNTRIED, rate=aitken(objectives, dtype)[0])
    if certified:
        certificate = certify(em, mixture, statistics, random)
    eigenvalues = np.sort(np.broadcast_to(mixture.variances, mixture.means.shape), axis=1)
    if mixture.family.structure.has_covariances:
        eigenvalues = np.linalg.eigvalsh(mixture.dense_covariances().astype(np.float64))
    with np.errstate(divide="ignore", over="ignore"):
        condition_numbers = eigenvalues[:, -1] / np.maximum(eigenvalues[:, 0], 0.0)
    return Diagnosis(
        coincident=em.coincident(mixture),
        collapsed=em.collapsed(mixture, statistics),
        starved=em.starved(mixture, statistics),
        overlapping=[tuple(pair) for pair in pairs.tolist()],
        mass=statistics.counts,
        condition_numbers=condition_numbers,
        overlap=overlaps.cosines,
        entropy=overlaps.entropy / overlaps.weight,
        remaining_gain=gain_left(objectives, dtype),
        extra_passes=em.passes,
        _mixture=mixture,
        _rows=drawn.values[:, :2].astype(np.float64),
        _objectives=objectives,
        _feature_names=names,
        **vars(certificate),
    )
