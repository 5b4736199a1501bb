"""The report: every condition of a fit with its figures, as text, page, dictionary and picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from emgmm.degeneracy import aitken, coincident, collapsed, gain_left, starved
from emgmm.diagnostics.certificate import Certificate, Verdict, certify
from emgmm.diagnostics.overlap import OVERLAPPING, OverlapOf
from emgmm.drawing import COLOURS, RED, bell, ellipses, objective_curve
from emgmm.em import EM
from emgmm.exceptions import format_components
from emgmm.mixture import Mixture
from emgmm.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What a fit's own statistics say of it.

    Attributes
    ----------
    coincident : list of tuple of int
        Groups of components that EM cannot part.
    collapsed, starved : list of int
        Components that shrank to nothing beside the data, and that hold less than one row.
    overlapping : list of tuple of int
        Pairs whose labels are arbitrary: cosine of their responsibilities above one half.
    mass : ndarray of shape (K,)
        Effective number of rows of each component.
    condition_numbers : ndarray of shape (K,)
        Largest over smallest variance of each covariance.
    overlap : ndarray of shape (K, K)
        Cosines of the components' responsibilities: 1 where they share all rows alike, 0 where
        none.
    entropy : float
        Mean entropy of a row's assignment, in nats; log K where nothing is told apart.
    rate : float
        Factor by which EM's gains shrink per iteration, from the last objectives; by power
        iteration where it was certified.
    remaining_gain : float
        Aitken's estimate of the mean log-likelihood that is left to gain, never negative: under a
        ridge EM may be heading for a lower one.
    verdict : Verdict
        What the point is, as far as it was tried.
    step : float
        Length of one more EM step in standard deviations; nan unless certified.
    direction : str
        The move that raised the likelihood, if one did.
    gain : float
        By how much, in nats per row.
    extra_passes : int
        Passes over the rows that this report spent.
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
    _objectives: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the picture, by name; the verdict by its name."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name[0] != "_"}
        return {**named, "verdict": self.verdict.name}

    def lines(self) -> list[tuple[str, str]]:
        """Pairs of a condition and what was found."""
        clear = [
            ("Coincident", "; ".join(map(format_components, self.coincident))),
            ("Collapsed", format_components(tuple(self.collapsed))),
            ("Starved", format_components(tuple(self.starved))),
            ("Overlapping", "; ".join(map(format_components, self.overlapping))),
        ]
        verdict = self.verdict.sentence
        if self.verdict is Verdict.SADDLE:
            verdict += f" It was {self.direction}, by {self.gain:.3g} nats per row."
        return [
            ("Verdict", verdict),
            *((name, found or "none") for name, found in clear),
            ("Mass", ", ".join(f"{m:.4g}" for m in self.mass)),
            ("Condition numbers", ", ".join(f"{c:.3g}" for c in self.condition_numbers)),
            ("Entropy", f"{self.entropy:.3g} nats per row"),
            ("Largest overlap", f"{self._largest_overlap():.3g}"),
            ("Rate", f"{self.rate:.4g}"),
            ("Remaining gain", f"{self.remaining_gain:.3g} nats per row"),
            ("Step", f"{self.step:.3g} standard deviations"),
            ("Extra passes", str(self.extra_passes)),
        ]

    def _largest_overlap(self) -> float:
        return float((self.overlap - np.diag(np.diagonal(self.overlap))).max())

    def __str__(self) -> str:
        pairs = self.lines()
        width = max(len(name) for name, _ in pairs)
        return "\n".join(f"{name:<{width}}  {found}" for name, found in pairs)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(found)}</td></tr>"
            for name, found in self.lines()
        )
        return f"<table>{rows}</table>"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the components, the offending ones in red, and the likelihood with Aitken's limit.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw the components alone; None makes a figure with both panels.

        Returns
        -------
        matplotlib Axes
            The one with the components.
        """
        import matplotlib.pyplot as plt

        beside = None
        if ax is None:
            _, (ax, beside) = plt.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
        mixture, offending = self._mixture, self.offending()
        covariances = mixture.dense_covariances()
        for k, mean in enumerate(mixture.means):
            colour = RED if k in offending else COLOURS[0]
            if mixture.n_features == 1:
                bell(ax, mixture.weights[k], mean[0], covariances[k, 0, 0], colour)
            else:
                ellipses(ax, mean[:2], covariances[k, :2, :2], colour)
                ax.plot(mean[0], mean[1], marker="+", color="black", ms=9, mew=1.6)
        ax.autoscale_view()
        named = ", ".join(map(str, sorted(offending)))
        ax.set_title(f"in red: {named}" if offending else "components", fontsize="medium")
        if beside is not None:
            objective_curve(beside, self._objectives, self.remaining_gain)
            if np.isfinite(self.remaining_gain):
                beside.legend(frameon=False, fontsize="small", loc="lower right")
            beside.set_ylabel("mean log-likelihood")
            beside.set_title(self.verdict.name.replace("_", " ").lower(), fontsize="medium")
        return ax

    def offending(self) -> set[int]:
        """Components that some condition names."""
        return {*self.collapsed, *self.starved, *(k for group in self.coincident for k in group)}


def diagnose(
    em: EM,
    mixture: Mixture,
    objectives: Sequence[float],
    random: np.random.RandomState,
    *,
    certified: bool,
) -> Diagnosis:
    """The report on `mixture`, over the rows of `em`; `objectives` are those of its fit."""
    statistics = em.expect(mixture)
    overlap_of = OverlapOf(mixture, em.summary.n_rows)
    overlap = em.sum(overlap_of, overlap_of.form.block_rows)
    cosines = overlap.cosines
    pairs = np.argwhere(np.triu(cosines > OVERLAPPING, k=1))
    rate, _ = aitken(objectives, mixture.means.dtype)
    left = gain_left(objectives, mixture.means.dtype)
    found = Certificate(Verdict.UNTRIED, math.nan, rate, "", 0.0)
    if certified:
        found = certify(em, mixture, statistics, random)
    eigenvalues = np.linalg.eigvalsh(mixture.dense_covariances().astype(np.float64))
    n_rows, total = em.summary.n_rows, statistics.total_covariance(em.family)
    with np.errstate(divide="ignore", over="ignore"):
        condition = eigenvalues[:, -1] / np.maximum(eigenvalues[:, 0], 0.0)
    return Diagnosis(
        coincident(mixture),
        collapsed(
            mixture,
            statistics,
            total,
            em.m_step.ridge,
            n_rows,
            min_count=em.m_step.min_count(mixture.n_features),
        ),
        starved(mixture, statistics, n_rows),
        [tuple(pair) for pair in pairs.tolist()],
        statistics.counts,
        condition,
        cosines,
        overlap.entropy / overlap.weight,
        found.rate,
        left,
        found.verdict,
        found.step,
        found.direction,
        found.gain,
        em.passes,
        mixture,
        tuple(objectives),
    )
