"""`MixtureSummary`: the components of a fitted mixture, its likelihood and the end of EM."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from emgmm.covariances import describe_family
from emgmm.fitting.loop import Ending
from emgmm.mixture import Mixture
from emgmm.typing import Array

# Width of the text in characters.
WIDTH = 100

# Length of a name up to which it is printed next to its figures; longer ones have their own lines.
LONGEST_NAME = 40

# Maximum number of pairs of features whose correlations are shown; these are the strongest.
MOST_PAIRS = 45

# Endings of mixtures that do not result from a complete run of EM.
NO_RUN = (Ending.GIVEN, Ending.START_ONLY, Ending.STREAM)

Table = tuple[str, list[str], list[list[str]]]


@dataclass(frozen=True, eq=False)
class MixtureSummary:
    """Summary of a fitted mixture, which prints as text and is shown as tables in a notebook.

    Attributes
    ----------
    covariance_type : str
        Name of the family.
    feature_names : tuple of str
        Names of the features, or ``x0``, ``x1``, ... if X had none.
    weights : ndarray of shape (K,)
        Weights of the components.
    means, standard_deviations : ndarray of shape (K, D)
        Means and standard deviations of the features, in the units of X.
    noise_weight : float or None
        Weight of noise; None if the mixture has none.
    n_parameters : int
        Number of free parameters.
    correlations : ndarray of shape (K, D, D) or None
        Correlations within each component, if they were requested.
    correlated : bool
        Whether the family has correlations. Those of a diagonal or spherical one are identity
        matrices, which are not shown.
    counts : ndarray of shape (K,) or (K + 1,) or None
        Number of rows whose most probable component this is, or the sum of their weights; noise
        comes last. This and the following three are None without X.
    log_likelihood : float or None
        Log-likelihood in nats, summed over the rows.
    bic, icl : float or None
        Information criteria; lower is better.
    ending : Ending or None
        Reason why EM ended; None if the estimator does not have this attribute.
    n_iter : int
        Number of iterations of EM.
    notes : tuple of str
        Further remarks.
    candidates : dict of str to list
        For a selection among models, the best candidates by each criterion, as tuples of the number
        of components, the family, the criterion, and its difference from the best.
    """

    covariance_type: str
    feature_names: tuple[str, ...]
    weights: Array
    means: Array
    standard_deviations: Array
    noise_weight: float | None
    n_parameters: int
    correlations: Array | None = None
    correlated: bool = True
    counts: Array | None = None
    log_likelihood: float | None = None
    bic: float | None = None
    icl: float | None = None
    ending: Ending | None = None
    n_iter: int = 0
    notes: tuple[str, ...] = ()
    candidates: dict[str, list[tuple[int, str, float, float]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        mixture: Mixture,
        names: Sequence[str] | None,
        n_parameters: int,
        *,
        correlations: bool,
        **figures: Any,
    ) -> MixtureSummary:
        """Return the summary of a mixture, with further figures by name."""
        D, within = mixture.n_features, None
        sds = np.sqrt(np.broadcast_to(mixture.variances, mixture.means.shape))
        if correlations:
            within = mixture.dense_covariances().astype(np.float64)
            within = within / (sds[:, :, None] * sds[:, None, :])
        return cls(
            mixture.family.name,
            tuple(f"x{j}" for j in range(D)) if names is None else tuple(map(str, names)),
            mixture.weights.astype(np.float64),
            mixture.means.astype(np.float64),
            sds,
            None if mixture.noise is None else mixture.noise.weight,
            n_parameters,
            within,
            mixture.family.structure.has_covariances and D > 1,
            **figures,
        )

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with a row for each component, and for noise if there is any.

        Returns
        -------
        pandas.DataFrame
            Table with the columns ``weight``, ``rows`` (if X was given), and ``mean`` and ``sd``
            followed by the name of each feature.
        """
        import pandas as pd

        missing = [] if self.noise_weight is None else [np.nan]
        columns = [("weight", self._with_noise(self.weights))]
        if self.counts is not None:
            columns.append(("rows", self.counts))
        for what, values in (("mean", self.means), ("sd", self.standard_deviations)):
            for j, name in enumerate(self.feature_names):
                columns.append((f"{what} {name}", np.append(values[:, j], missing)))
        index = pd.Index(self._headings(), name="component")
        frame = pd.DataFrame(np.stack([column for _, column in columns], axis=1), index=index)
        frame.columns = pd.Index([name for name, _ in columns])  # names may be repeated
        return frame

    def _headings(self) -> list[str]:
        own = [str(k) for k in range(len(self.weights))]
        return own if self.noise_weight is None else [*own, "noise"]

    def _with_noise(self, values: Array) -> Array:
        return values if self.noise_weight is None else np.append(values, self.noise_weight)

    # -- the parts of the text ------------------------------------------------------------------
    def _title(self) -> str:
        K, D = self.means.shape
        described = describe_family(self.covariance_type)
        return (
            f"Gaussian mixture of {counted(K, 'component')} in {counted(D, 'feature')}: "
            f"{self.covariance_type}{described and f' ({described})'}"
        )

    def _tables(self) -> Iterator[Table]:
        """Yield the title, heading and rows of each table."""
        absent = [] if self.noise_weight is None else [""]
        rows = [["weight", *(f"{weight:.4f}" for weight in self._with_noise(self.weights))]]
        if self.counts is not None:
            rows.append(["rows", *map(how_many, self.counts)])
        for j, name in enumerate(self.feature_names):
            cells = zip(self.means[:, j], self.standard_deviations[:, j], strict=True)
            rows.append([name, *(mean_and_sd(*cell) for cell in cells), *absent])
        title = "Means, with standard deviations in parentheses"
        yield title, ["component", *self._headings()], rows
        if self.correlations is not None and self.correlated:
            yield self._correlation_table(self.correlations)
        for criterion, best in self.candidates.items():
            label = criterion.upper()
            heading = ["model", "components", label, "difference"]
            rows = [[name, str(K), f"{value:.2f}", f"{more:.2f}"] for K, name, value, more in best]
            yield f"The best candidates by {label}", heading, rows

    def _correlation_table(self, correlations: Array) -> Table:
        pairs = np.argwhere(np.triu(np.ones(correlations.shape[1:]), k=1))
        title = "Correlations"
        if len(pairs) > MOST_PAIRS:
            title = f"The {MOST_PAIRS} strongest of {len(pairs)} correlations"
            strength = np.abs(correlations[:, pairs[:, 0], pairs[:, 1]]).max(axis=0)
            pairs = pairs[np.argsort(-strength, kind="stable")[:MOST_PAIRS]]
        heading = ["features", *(str(k) for k in range(len(correlations)))]
        names = self.feature_names
        rows = [
            [f"{names[i]}, {names[j]}", *(f"{value:.2f}" for value in correlations[:, i, j])]
            for i, j in pairs
        ]
        return title, heading, rows

    def _lines(self) -> Iterator[str]:
        """Yield sentences about the whole mixture."""
        parameters = counted(self.n_parameters, "free parameter")
        if self.counts is None or self.log_likelihood is None:
            yield f"{parameters}."
        else:
            per_row = self.log_likelihood / self.counts.sum()
            yield (
                f"Log-likelihood {self.log_likelihood:.4f} ({per_row:.6f} per row), {parameters}; "
                f"BIC {self.bic:.4f}, ICL {self.icl:.4f} (lower is better)."
            )
        if self.ending is not None:
            end = f"EM ended after {counted(self.n_iter, 'iteration')} ({self.ending.name}). "
            yield f"{'' if self.ending in NO_RUN else end}{self.ending.sentence}"
        yield from self.notes

    def __str__(self) -> str:
        parts = [textwrap.fill(self._title(), WIDTH)]
        parts += [f"{title}:\n{aligned(heading, rows)}" for title, heading, rows in self._tables()]
        parts += [textwrap.fill(line, WIDTH) for line in self._lines()]
        return "\n\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = []
        for title, heading, rows in self._tables():
            cells = ["".join(f"<th>{escape(cell)}</th>" for cell in heading)]
            cells += [
                f"<th>{escape(name)}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in others)
                for name, *others in rows
            ]
            lines = "".join(f"<tr>{line}</tr>" for line in cells)
            tables.append(f"<table><caption>{escape(title)}</caption>{lines}</table>")
        sentences = "".join(f"<p>{escape(line)}</p>" for line in self._lines())
        return f"<p>{escape(self._title())}</p>{''.join(tables)}{sentences}"


def counted(number: int, noun: str) -> str:
    """Return a number with a noun: '1 row', '2 rows'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def how_many(count: float) -> str:
    """Return a number of rows as text, or a sum of their weights with six digits."""
    return f"{count:.0f}" if count < 1e15 and float(count).is_integer() else f"{count:.6g}"


def mean_and_sd(mean: float, sd: float) -> str:
    """Return both as text, with three significant digits of the standard deviation."""
    if not 1e-8 < sd < 1e8 or abs(mean) >= 1e9:
        return f"{mean:.5g} ({sd:.3g})"
    decimals = max(0, 2 - math.floor(math.log10(sd)))
    return f"{mean:.{decimals}f} ({sd:.{decimals}f})"


def aligned(heading: list[str], rows: list[list[str]]) -> str:
    """Return a table as text, divided into parts that are no wider than `WIDTH`."""
    table = [heading, *rows]
    first = max(len(name) for name, *_ in table if len(name) <= LONGEST_NAME)
    columns = zip(*(row[1:] for row in table), strict=True)
    widths = [2 + max(map(len, column)) for column in columns]
    lines = []
    start = 0
    while start < len(widths):
        stop = start + 1
        while stop < len(widths) and 2 + first + sum(widths[start : stop + 1]) <= WIDTH:
            stop += 1
        for name, *values in table:
            if len(name) > LONGEST_NAME:
                lines += textwrap.wrap(name, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
                name = ""
            cells = zip(values[start:stop], widths[start:stop], strict=True)
            aside = "".join(f"{cell:>{width}}" for cell, width in cells)
            lines.append(f"  {name:<{first}}{aside}")
        start = stop
    return "\n".join(line.rstrip() for line in lines)
