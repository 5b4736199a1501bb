"""The picture of a fitted mixture: its rows, its components, and its density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils import check_random_state

from emgmm import validation
from emgmm.drawing import SDS, needs_matplotlib
from emgmm.plotting.layout import grouped, inches_of, key, panel, small_print, triangle, wrapped
from emgmm.plotting.marginal import Marginal
from emgmm.plotting.panels import (
    LINES,
    NOISE,
    Points,
    colour_of,
    contours,
    numbers,
    outlines,
    profile,
    scatter,
    style_of,
)
from emgmm.plotting.validation import check_levels, check_model, chosen
from emgmm.sources import blocks
from emgmm.typing import Array, Integers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Shares of the mixture that the regions inside density contours hold.
PROBABILITIES = (0.5, 0.9, 0.99)


class GaussianMixtureDisplay:
    """Picture of a fitted mixture over one feature, two, or a grid of pairs.

    Use `from_estimator` to make one. What is drawn is the mixture's marginal on the features of the
    picture, which is a Gaussian mixture: its means and covariances are those of the features.

    Parameters
    ----------
    weights : ndarray of shape (K,)
        Weights of the components.
    means : ndarray of shape (K, F)
        Means, of the F features that are drawn.
    covariances : ndarray of shape (K, F, F)
        Covariances of these features.
    rows : ndarray of shape (n, F)
        Rows that are drawn; NaN where something is missing.
    labels : ndarray of shape (n,)
        Their components; -1 is noise.
    n_rows : int
        Rows of which these were drawn, N.
    feature_names : sequence of str
        F labels of axes.
    row_weights : ndarray of shape (n,), default=None
        What each row counts in histograms; 1 by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The panel; in a grid, the lowest on the left.
    axes_ : ndarray of Axes of shape (F, F)
        Panels of a grid, None above its diagonal; (1, 1) of a single panel.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    ConvergenceDisplay : How a fit got there.
    InformationCriterionDisplay : How many components, of which family.

    Examples
    --------
    >>> from emgmm import GaussianMixture, GaussianMixtureDisplay
    >>> from emgmm.datasets import old_faithful
    >>> X = old_faithful().rows
    >>> model = GaussianMixture(2, random_state=0).fit(X)
    >>> display = GaussianMixtureDisplay.from_estimator(model, X)
    >>> display.ax_.get_xlabel(), display.ax_.get_ylabel()
    ('feature 0', 'feature 1')
    """

    def __init__(
        self,
        *,
        weights: Array,
        means: Array,
        covariances: Array,
        rows: Array,
        labels: Integers,
        n_rows: int,
        feature_names: Sequence[str],
        row_weights: Array | None = None,
    ) -> None:
        self.weights = weights
        self.means = means
        self.covariances = covariances
        self.rows = rows
        self.labels = labels
        self.n_rows = n_rows
        self.feature_names = feature_names
        self.row_weights = row_weights

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Any,
        *,
        features: Any = (0, 1),
        kind: str = "ellipses",
        sds: Sequence[float] = SDS,
        probabilities: Sequence[float] | None = None,
        sample_weight: Any = None,
        max_points: int = 20_000,
        random_state: Any = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Draw a fitted mixture and rows.

        Of many rows a random choice is drawn, which the picture says, and only these are labelled.

        Parameters
        ----------
        model : GaussianMixture
            Fitted.
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows. Those in which a drawn feature is missing are left out of its panel, which the
            picture says.
        features : int, str, sequence of these or None, default=(0, 1)
            Numbers or names of the features: one for a histogram with the components' densities and
            their sum; two for a panel; three to six for a grid of pairs, with single features on
            its diagonal. None takes all.
        kind : {'ellipses', 'density'}, default='ellipses'
            What is drawn of two features: components at `sds` standard deviations, or contours of
            the mixture's density. Noise, which has no density on some features alone, is left out
            of that.
        sds : sequence of float, default=(1, 2, 3)
            Standard deviations at which ellipses are drawn.
        probabilities : sequence of float, default=None
            In place of `sds`, shares of its component that an ellipse holds: p lies within
            sqrt(-2 log(1 - p)) standard deviations. Of 'density', shares of the mixture that lie
            inside the contours, in the smallest regions that hold so much (Hyndman 1996);
            ``(0.5, 0.9, 0.99)`` by default.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts in histograms; rows of weight 0 are left out.
        max_points : int, default=20000
            Most points in the picture: so many rows are drawn, in a grid so many over its pairs.
        random_state : int, RandomState instance or None, default=0
            Of the choice of rows, and of the draws that find the density's levels.
        ax : matplotlib Axes, default=None
            Where to draw; a grid takes its place in the figure. None makes a figure.

        Returns
        -------
        GaussianMixtureDisplay
            With `ax_` and `figure_`.

        Raises
        ------
        NotFittedError
            Where the model is not fitted.
        ValueError
            Where X has other features than the model, or there are no such features.
        ImportError
            Without matplotlib, which the extra ``plot`` brings.

        References
        ----------
        Hyndman (1996), Am. Stat. 50:120, doi 10.1080/00031305.1996.10474359.
        """
        check_model(model, cls.__name__)
        mixture = model._mixture()
        names = [str(name) for name in getattr(model, "feature_names_in_", [])]
        picked = chosen(features, names, mixture.n_features)
        check_levels(kind, sds, probabilities)
        limit = max(1, validation.count(max_points, "max_points") // n_panels(len(picked)))
        random = check_random_state(random_state)
        source = validation.source(model, X, sample_weight, reset=False)
        drawn = source.sample(limit, random)
        # As blocks, rows need not bear the names of features.
        labels = np.concatenate(list(model.predict(blocks([drawn.values]))))
        marginal = Marginal.of(mixture, picked)
        display = cls(
            weights=marginal.weights,
            means=marginal.means,
            covariances=marginal.covariances,
            rows=drawn.values[:, picked].astype(np.float64),
            labels=labels,
            n_rows=source.n_rows,
            feature_names=[names[j] if names else f"feature {j}" for j in picked],
            row_weights=drawn.weights,
        )
        return display.plot(
            ax, kind=kind, sds=sds, probabilities=probabilities, random_state=random
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: str = "ellipses",
        sds: Sequence[float] = SDS,
        probabilities: Sequence[float] | None = None,
        random_state: Any = 0,
    ) -> Self:
        """Draw again; the parameters are those of `from_estimator`.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a grid takes its place in the figure. None makes a figure.
        kind : {'ellipses', 'density'}, default='ellipses'
            What is drawn of two features.
        sds : sequence of float, default=(1, 2, 3)
            Standard deviations at which ellipses are drawn.
        probabilities : sequence of float, default=None
            Shares that ellipses, or density contours, hold.
        random_state : int, RandomState instance or None, default=0
            Of the draws that find the density's levels.

        Returns
        -------
        GaussianMixtureDisplay
            The display itself.
        """
        needs_matplotlib(f"{type(self).__name__}.plot")
        check_levels(kind, sds, probabilities)
        random = check_random_state(random_state)
        shares = PROBABILITIES if probabilities is None else tuple(probabilities)
        radii = tuple(sds) if probabilities is None else np.sqrt(-2 * np.log1p(-np.array(shares)))

        def draw(ax: Axes, *features: int) -> None:
            marginal, points = self._marginal.on(*features), self._points.observed(*features)
            if len(features) == 1:
                profile(ax, points, marginal)
                return
            scatter(ax, points, marginal)
            if kind == "density":
                contours(ax, points, marginal, shares, random)
            else:
                outlines(ax, marginal, radii)

        names, said = self.feature_names, self._said()
        if len(names) > 1 and not (probabilities is None and kind == "ellipses"):
            held = ", ".join(f"{100 * share:.3g}" for share in sorted(shares))
            said.append(f"{'contours' if kind == 'density' else kind} hold {held} %")
        if len(names) > 2:
            self.axes_, corner = triangle(ax, names)
            for i, j in zip(*np.tril_indices(len(names)), strict=True):
                draw(self.axes_[i, j], *sorted({int(i), int(j)}))
            self._legend(corner, said)
            self.ax_ = self.axes_[-1, 0]
        else:
            self.ax_ = panel(ax)
            self.axes_ = np.array([[self.ax_]], dtype=object)
            draw(self.ax_, *range(len(names)))
            if len(names) == 1:
                numbers(self.ax_, self._marginal.peaks(), "bottom")
            else:
                numbers(self.ax_, self.means)
            inches = inches_of(self.ax_)
            self.ax_.set_xlabel(wrapped(names[0], inches))
            self.ax_.set_ylabel(wrapped([*names, "density"][1], inches))
            small_print(self.ax_, said)
        self.figure_ = self.ax_.figure
        return self

    @property
    def _marginal(self) -> Marginal:
        return Marginal(self.weights, self.means, self.covariances)

    @property
    def _points(self) -> Points:
        return Points(self.rows, self.labels, self.row_weights)

    def _said(self) -> list[str]:
        """What a reader should know of the rows in the picture."""
        said = []
        n_drawn, n_missing = len(self.rows), int(np.isnan(self.rows).any(axis=1).sum())
        if n_drawn < self.n_rows:
            said.append(f"{grouped(n_drawn)} of {grouped(self.n_rows)} rows")
        if n_missing:
            said.append(f"{grouped(n_missing)} with missing values left out")
        if (self.labels == NOISE).any():
            said.append("grey: noise" if len(self.feature_names) > 1 else "noise among the rows")
        return said

    def _legend(self, corner: Axes, said: Sequence[str]) -> None:
        """Say in the empty corner of a grid what its colours are, and what else is to be said."""
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=colour_of(k), ls=style_of(k, LINES), label=f"{k}: {weight:.2f}")
            for k, weight in enumerate(self.weights)
        ]
        key(corner, handles, [*said, "component: weight"])


def n_panels(n_features: int) -> int:
    """Panels with points in a picture of so many features."""
    return max(1, n_features * (n_features - 1) // 2)
