"""Display of a fitted mixture, with its rows, components and density."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from emgmm import drawing, prediction, validation
from emgmm.base import fitted_mixture
from emgmm.drawing import SDS
from emgmm.mixture import Mixture
from emgmm.parameters import count
from emgmm.plotting import panels
from emgmm.plotting.marginal import Marginal
from emgmm.plotting.validation import check_levels, check_model, feature_indices
from emgmm.projection import GaussianMixtureProjection
from emgmm.sources import ArraySource, Source
from emgmm.threads import one_blas_thread
from emgmm.typing import Array, Integers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Default probabilities of the regions inside density contours.
PROBABILITIES = (0.5, 0.9, 0.99)

# Width in inches of a panel in a grid, and width below which its axes have no tick labels.
CELL = 1.7
UNLABELLED = 0.5

# Default for the largest number of points in a display.
MAX_POINTS = 20_000


@dataclass(kw_only=True, eq=False, repr=False)
class GaussianMixtureDisplay:
    """Plot of a fitted mixture over one feature, two features, or a grid of pairs of features.

    Use `from_estimator` to create a display. It shows the marginal distribution of the mixture on
    some features, which is a Gaussian mixture with the means and covariances of these features.

    Parameters
    ----------
    weights : ndarray of shape (K,)
        Weights of the components.
    means : ndarray of shape (K, F)
        Means of the F features that are drawn.
    covariances : ndarray of shape (K, F, F)
        Covariances of these features.
    rows : ndarray of shape (n, F)
        Rows that are drawn, with NaN for missing values.
    labels : ndarray of shape (n,)
        Component of each row; -1 is noise.
    n_rows : int
        Number of rows from which these were drawn.
    feature_names : sequence of str
        F labels of axes.
    row_weights : ndarray of shape (n,), default=None
        Weight of each row in histograms; 1 by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes in which the display was drawn; in a grid, those in the lower left corner.
    axes_ : ndarray of Axes of shape (F, F)
        Axes of a grid, None above its diagonal. The shape is (1, 1) for a single panel.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    ConvergenceDisplay : Plot of the objective over the iterations of a fit.
    InformationCriterionDisplay : Plot of a criterion for the choice of a model.

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

    weights: Array
    means: Array
    covariances: Array
    rows: Array
    labels: Integers
    n_rows: int
    feature_names: Sequence[str]
    row_weights: Array | None = None

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
        max_points: int = MAX_POINTS,
        random_state: Any = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Draw a fitted mixture and rows.

        If there are many rows, a random subset of them is labelled and drawn. A note beside the
        panel gives its size.

        Parameters
        ----------
        model : GaussianMixture
            Fitted estimator.
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows. A panel omits the rows in which one of its features is missing. A note gives the
            number of rows with missing values.
        features : int, str, sequence of these or None, default=(0, 1)
            Indices or names of the features. One feature gives a histogram with the densities of
            the components and their sum, two give a panel, and three to six give a grid of pairs
            with the single features on its diagonal. None selects all features. 'projection' draws
            the two directions of ``GaussianMixtureProjection(model).fit()`` in which the components
            differ most, or the only one; ``['projection']`` is a feature of this name.
        kind : {'ellipses', 'density'}, default='ellipses'
            Whether to draw ellipses of the components or contours of the density of the mixture.
            Neither includes noise.
        sds : sequence of float, default=(1, 2, 3)
            Mahalanobis radii of the ellipses, in standard deviations.
        probabilities : sequence of float, default=None
            Probabilities of the regions inside the ellipses, in place of `sds`: the radius for
            probability p is sqrt(-2 log(1 - p)). If `kind` is 'density', probabilities of the
            regions inside the contours, which are the smallest regions with these probabilities
            (Hyndman 1996); ``(0.5, 0.9, 0.99)`` by default.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in histograms. Rows of weight 0 are omitted.
        max_points : int, default=20000
            Largest number of points in the display. A grid divides it among its pairs.
        random_state : int, RandomState instance or None, default=0
            Seed of the choice of rows, and of the draws that determine the levels of contours.
        ax : matplotlib Axes, default=None
            Axes to draw in; a grid replaces them. None creates a figure.

        Returns
        -------
        GaussianMixtureDisplay
            The display, with `ax_` and `figure_`.

        Raises
        ------
        TypeError
            If the model is not an estimator of emgmm.
        NotFittedError
            If the model is not fitted.
        ValueError
            If X does not have the features of the model, or `features` are not among these.
        ImportError
            If matplotlib is not installed; the extra ``plot`` installs it.

        References
        ----------
        Hyndman (1996), Am. Stat. 50:120, doi 10.1080/00031305.1996.10474359.
        """
        check_model(model, cls.__name__)
        mixture = fitted_mixture(model)
        if isinstance(features, str) and features == "projection":
            view = View.on_directions(model, mixture)
        else:
            names = [str(name) for name in getattr(model, "feature_names_in_", [])]
            indices = feature_indices(features, names, mixture.n_features)
            view = View.on_features(
                mixture, indices, [names[j] if names else f"feature {j}" for j in indices]
            )
        check_levels(kind, sds, probabilities)
        n_points = count(max_points, "max_points")
        random = check_random_state(random_state)
        source = validation.source(model, X, sample_weight, reset=False)
        display = cls(**displayed(mixture, source, view, random, n_points))
        levels: dict[str, Any] = {"kind": kind, "sds": sds, "probabilities": probabilities}
        return display.plot(ax, **levels, random_state=random)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: str = "ellipses",
        sds: Sequence[float] = SDS,
        probabilities: Sequence[float] | None = None,
        random_state: Any = 0,
    ) -> Self:
        """Draw the display; the parameters are those of `from_estimator`.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in; a grid replaces them. None creates a figure.
        kind : {'ellipses', 'density'}, default='ellipses'
            Whether to draw ellipses of the components or contours of the density.
        sds : sequence of float, default=(1, 2, 3)
            Mahalanobis radii of the ellipses, in standard deviations.
        probabilities : sequence of float, default=None
            Probabilities of the regions inside the ellipses or contours.
        random_state : int, RandomState instance or None, default=0
            Seed of the draws that determine the levels of contours.

        Returns
        -------
        GaussianMixtureDisplay
            The display itself, with `ax_` and `figure_`.
        """
        drawing.needs_matplotlib(f"{type(self).__name__}.plot")
        check_levels(kind, sds, probabilities)
        random = check_random_state(random_state)
        regions = PROBABILITIES if probabilities is None else probabilities
        radii = sds if probabilities is None else np.sqrt(-2 * np.log1p(-np.array(regions)))
        whole = Marginal(self.weights, self.means, self.covariances)
        rows = panels.Points(self.rows, self.labels, self.row_weights)

        def draw(ax: Axes, *features: int) -> None:
            marginal, points = whole.on(*features), rows.observed(*features)
            if len(features) == 1:
                panels.profile(ax, points, marginal)
                return
            panels.scatter(ax, points, marginal)
            if kind == "density":
                levels = marginal.log_levels(regions, random)
                panels.contours(ax, points, marginal, levels)
            else:
                panels.outlines(ax, marginal, radii)

        names, notes = self.feature_names, self._notes()
        if len(names) > 1 and not (probabilities is None and kind == "ellipses"):
            percent = ", ".join(f"{100 * probability:.3g}" for probability in sorted(regions))
            notes.append(f"{'contours' if kind == 'density' else kind} hold {percent} %")
        if len(names) > 2:
            self.axes_, corner = triangle(ax, names)
            for i, j in zip(*np.tril_indices(len(names)), strict=True):
                draw(self.axes_[i, j], *sorted({int(i), int(j)}))
            panels.legend(corner, self.weights, notes)
            self.ax_ = self.axes_[-1, 0]
        else:
            self.ax_ = drawing.panel(ax)
            self.axes_ = np.array([[self.ax_]], dtype=object)
            draw(self.ax_, *range(len(names)))
            if len(names) == 1:
                drawing.numbers(self.ax_, whole.peaks(), "bottom")
            else:
                drawing.numbers(self.ax_, self.means)
            inches = drawing.inches_of(self.ax_)
            x, y = (drawing.wrapped(name, inches) for name in [*names, "density"][:2])
            self.ax_.set(xlabel=x, ylabel=y)
            drawing.margin_note(self.ax_, notes)
        self.figure_ = self.ax_.figure
        return self

    def _notes(self) -> list[str]:
        """Return the lines of the note about the rows."""
        notes = []
        n_drawn, n_missing = len(self.rows), int(np.isnan(self.rows).any(axis=1).sum())
        if n_drawn < self.n_rows:
            notes.append(f"{grouped(n_drawn)} of {grouped(self.n_rows)} rows")
        if n_missing:
            notes.append(f"{grouped(n_missing)} with missing values left out")
        if (self.labels == panels.NOISE).any():
            notes.append("grey: noise" if len(self.feature_names) > 1 else "noise among the rows")
        return notes


@dataclass(frozen=True, eq=False)
class View:
    """The coordinates in which a mixture and its rows are drawn.

    Parameters
    ----------
    marginal : Marginal
        Distribution of the F coordinates.
    coordinates : callable
        Function that returns the (n, F) coordinates of (n, D) rows.
    names : sequence of str
        Names of the coordinates.
    """

    marginal: Marginal
    coordinates: Callable[[Array], Array]
    names: Sequence[str]

    @classmethod
    def on_features(cls, mixture: Mixture, features: Sequence[int], names: Sequence[str]) -> View:
        """Return the view of some features."""
        own = list(features)
        return cls(Marginal.of(mixture, own), lambda rows: rows[:, own], names)

    @classmethod
    def on_directions(cls, model: Any, mixture: Mixture) -> View:
        """Return the view of the two directions in which components differ most, or of the one."""
        projection = GaussianMixtureProjection(model).fit()
        directions = projection.components_[:2]
        whole = Marginal.of(mixture, range(mixture.n_features))
        return cls(
            whole.along(directions, projection.mean_),
            lambda rows: projection.project(rows)[:, :2],
            [f"direction {j}" for j in range(len(directions))],
        )


def displayed(
    mixture: Mixture,
    source: Source,
    view: View,
    random: np.random.RandomState,
    max_points: int = MAX_POINTS,
) -> dict[str, Any]:
    """Return the parameters of a display of a mixture and of a source."""
    n_panels = max(1, len(view.names) * (len(view.names) - 1) // 2)
    rows = source.sample(max(1, max_points // n_panels), random)
    with one_blas_thread():
        drawn = ArraySource(rows.values, complete=rows.complete)
        labels = prediction.row_by_row(mixture, drawn, prediction.labels, dtype=np.int64)
    return {
        **vars(view.marginal),
        "rows": view.coordinates(rows.values.astype(np.float64, copy=False)),
        "labels": labels,
        "n_rows": source.n_rows,
        "feature_names": view.names,
        "row_weights": rows.weights,
    }


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
        figure = drawing.new_figure(CELL * n + 0.4, CELL * n + 0.2)
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
        inches = drawing.inches_of(ax) / n
        ax.set_axis_off()
    size, numbered = "small" if inches > 1 else "xx-small", inches > UNLABELLED
    labels = [drawing.wrapped(name, inches) for name in names]
    axes = np.full((n, n), None, dtype=object)
    for i, j in zip(*np.tril_indices(n), strict=True):
        left = axes[i, 0] if 0 < j < i else None
        cell = figure.add_subplot(cells[i, j], sharex=axes[j, j] if i > j else None, sharey=left)
        axes[i, j] = cell
        cell.locator_params(nbins=3 if inches > 1 else 2)
        left_below = {"labelleft": 0 == j < i and numbered, "labelbottom": i == n - 1 and numbered}
        cell.tick_params(labelsize=size, length=2, pad=2, **left_below)
        if i == n - 1:
            cell.set_xlabel(labels[j], fontsize=size)
        if j == 0 < i:
            cell.set_ylabel(labels[i], fontsize=size)
        if i == j:
            cell.set_yticks([])
    corner = figure.add_subplot(cells[0, n - 1])
    corner.set_axis_off()
    return axes, corner


def grouped(number: int) -> str:
    """Return a number with its digits in groups of three."""
    return f"{number:,}".replace(",", " ")
