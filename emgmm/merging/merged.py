"""`merge_components` and `MergedMixture`: clusters that consist of several components."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from emgmm import drawing, prediction, validation
from emgmm.base import BaseMixture, check_own, fitted_mixture
from emgmm.diagnostics.summary import counted
from emgmm.estep import EStepForBlock
from emgmm.merging import hierarchy
from emgmm.mixture import Mixture
from emgmm.parameters import suggestion
from emgmm.sources.block import Block
from emgmm.threads import one_blas_thread
from emgmm.typing import Array, Integers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Height of a merge in words, by method.
HEIGHTS = {
    "entropy": "reduction of the entropy (nats)",
    "bhattacharyya": "1 - Bhattacharyya coefficient",
    "ridge": "1 - ridgeline ratio",
}


@dataclass(frozen=True, eq=False, repr=False)
class MergedMixture:
    """A fitted mixture whose components are merged into clusters, by `merge_components`.

    The mixture itself does not change: a cluster is a set of its components, whose density is the
    sum of their densities.

    Attributes
    ----------
    n_clusters : int
        Number of clusters, C, without noise.
    method : str
        Method that determined the hierarchy.
    linkage_ : ndarray of shape (K - 1, 4)
        Hierarchy of all merges from K components to one cluster, in the format of
        `scipy.cluster.hierarchy.linkage`. Each row contains the two clusters that are merged, the
        height, and the number of components of the new cluster. Components have the numbers 0 to
        K - 1, and the cluster of row s has the number K + s. Heights never decrease. For the method
        'entropy', the height is the reduction of the entropy from K components to this level, in
        nats. For 'bhattacharyya' and 'ridge', it is one minus the coefficient or ratio of the pair,
        or the height of the previous row where that is larger.
    entropy_ : ndarray of shape (K,)
        Entropy of the clusters at each level in nats; ``entropy_[c - 1]`` is that of c clusters.
        Noise, which is in all of them, contributes a constant.
    component_to_cluster_ : ndarray of shape (K,)
        Number of the cluster of each component. Clusters are numbered in the order of their first
        components.

    See Also
    --------
    merge_components : Function that merges the components of a fitted mixture.

    Examples
    --------
    >>> from emgmm import GaussianMixture, merge_components
    >>> from emgmm.datasets import old_faithful
    >>> X = old_faithful().rows
    >>> model = GaussianMixture(4, covariance_type="EEE", random_state=0).fit(X)
    >>> merged = merge_components(model, X)
    >>> merged
    MergedMixture(4 components in 3 clusters by 'entropy')
    >>> merged.component_to_cluster_
    array([0, 1, 1, 2])
    >>> merged.cut(2).component_to_cluster_
    array([0, 1, 1, 1])
    """

    n_clusters: int
    method: str
    linkage_: Array
    entropy_: Array
    component_to_cluster_: Integers
    _model: BaseMixture
    _levels: list[list[hierarchy.Members]]

    def __repr__(self) -> str:
        sizes = counted(len(self.component_to_cluster_), "component")
        return f"MergedMixture({sizes} in {counted(self.n_clusters, 'cluster')} by {self.method!r})"

    def cut(self, n_clusters: int | None = None) -> MergedMixture:
        """Return the clusters of another level of the same hierarchy.

        Parameters
        ----------
        n_clusters : int, default=None
            Number of clusters, from 1 to K; None selects the elbow of `entropy_`.

        Returns
        -------
        MergedMixture
            The same hierarchy with other clusters.

        Raises
        ------
        ValueError
            If `n_clusters` is not an integer from 1 to K.
        """
        chosen = hierarchy.elbow(self.entropy_) if n_clusters is None else n_clusters
        check_n_clusters(chosen, len(self.entropy_))
        labels = hierarchy.labels_of(self._levels[chosen - 1])
        return replace(self, n_clusters=int(chosen), component_to_cluster_=labels)

    def predict(self, X: Any) -> Integers:
        """Predict the most probable cluster of each row.

        The most probable cluster need not contain the most probable component of the row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples,)
            Clusters, 0 to C - 1; -1 means noise.
            For `blocks`, an iterator over one such array per block; for Dask, a Dask array.

        Raises
        ------
        ValueError
            If X contains infinity or does not have the features of the fit.
        """
        function = partial(cluster_labels, self._members(), self.n_clusters)
        return self._row_by_row(X, function, dtype=np.int64)

    def predict_proba(self, X: Any) -> Array:
        """Compute the probability of each cluster for each row; noise is the last column.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), blocks or Dask
            Rows, with NaN where a value is missing.

        Returns
        -------
        ndarray of shape (n_samples, C), or (n_samples, C + 1) with noise
            Sums of the responsibilities of the components of each cluster; each row sums to one.
            For `blocks`, an iterator over one such array per block; for Dask, a Dask array.

        Raises
        ------
        ValueError
            If X contains infinity or does not have the features of the fit.
        """
        members = self._members()
        return self._row_by_row(X, partial(cluster_probabilities, members), len(members))

    def _members(self) -> Array:
        """Return an array that is 1 where a density belongs to a cluster, which may be noise."""
        mixture = fitted_mixture(self._model)
        clusters = [*self._levels[self.n_clusters - 1], *noise_of(mixture)]
        return hierarchy.memberships(clusters, mixture.n_densities)

    def _row_by_row(self, X: Any, function: Any, *shape: int, dtype: Any = None) -> Any:
        source = validation.source(self._model, X, reset=False)
        with one_blas_thread():
            return prediction.row_by_row(
                fitted_mixture(self._model), source, function, *shape, dtype=dtype
            )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the hierarchy as a dendrogram, and the entropy against the number of clusters.

        The links within a cluster have its colour. In the plot of the entropy, two lines show the
        elbow, and a ring shows the number of clusters.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes for the dendrogram alone; None creates a figure with both panels.

        Returns
        -------
        matplotlib Axes
            Axes with the dendrogram.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the extra ``plot`` installs it.
        ValueError
            If the mixture has one component only, which has no hierarchy.
        """
        from scipy.cluster.hierarchy import dendrogram

        drawing.needs_matplotlib("MergedMixture.plot")
        K = len(self.component_to_cluster_)
        if K < 2:
            raise ValueError("The mixture has one component only: there is no hierarchy to draw.")
        beside = None
        if ax is None:
            ax, beside = drawing.new_figure(9.6, 3.8).subplots(1, 2)

        def colour(number: int) -> str:
            """Return the colour of a link, which is that of a cluster if it is within one."""
            below = number
            while below >= K:
                below = int(self.linkage_[below - K, 0])
            within = number - K < K - self.n_clusters
            cluster = self.component_to_cluster_[below]
            return drawing.COLOURS[cluster % len(drawing.COLOURS)] if within else drawing.GREY

        dendrogram(self.linkage_, ax=ax, link_color_func=colour)
        ax.set(xlabel="component", ylabel=HEIGHTS[self.method])
        ax.set_title(f"{self.n_clusters} of {K} clusters", fontsize="medium")
        if beside is not None:
            self._plot_entropy(beside)
        return ax

    def _plot_entropy(self, ax: Axes) -> None:
        n_clusters = np.arange(1, len(self.entropy_) + 1)
        ax.plot(n_clusters, self.entropy_, ".", ms=9, color=drawing.COLOURS[0])
        corner = hierarchy.elbow(self.entropy_)
        if corner < len(n_clusters):
            below, above = hierarchy.two_lines(self.entropy_, corner)
            line: dict[str, Any] = {"color": drawing.GREY, "lw": 1.2, "zorder": 1}
            ax.plot(n_clusters[:corner], below, **line)
            ax.plot(n_clusters[corner - 1 :], above, **line)
        ring: dict[str, Any] = {"ls": "", "marker": "o", "ms": 12, "mfc": "none", "color": "black"}
        ax.plot(self.n_clusters, self.entropy_[self.n_clusters - 1], **ring)
        ax.locator_params(axis="x", integer=True)
        ax.set(xlabel="number of clusters", ylabel="entropy (nats)")
        ax.set_title(f"elbow at {corner} clusters", fontsize="medium")


def merge_components(
    model: BaseMixture,
    X: Any,
    *,
    method: str = "entropy",
    n_clusters: int | None = None,
    sample_weight: Any = None,
) -> MergedMixture:
    """Merge the components of a fitted mixture into clusters, pair by pair.

    A cluster that is not Gaussian needs several components to describe its density. Merging these
    keeps the density and gives the clusters. All methods begin with the components and merge two
    clusters in each step, until one is left. Noise is never merged.

    Parameters
    ----------
    model : GaussianMixture or GaussianMixtureIC
        Fitted estimator.
    X : array-like of shape (n_samples, n_features), blocks or Dask
        Rows, usually those of the fit, with NaN where a value is missing. Rows without any observed
        value are ignored.
    method : {'entropy', 'bhattacharyya', 'ridge'}, default='entropy'
        Pair that is merged next. 'entropy' merges the pair whose merger reduces the entropy of the
        probabilities of the clusters most (Baudry et al. 2010, the method of R's ``clustCombi``);
        it reads X in K - 1 passes. The other methods of Hennig (2010) compare clusters by the
        Gaussians with their weights, means and covariances, and read X in one pass, for `entropy_`.
        'bhattacharyya' merges the pair with the largest Bhattacharyya coefficient. 'ridge' merges
        the pair with the largest ridgeline ratio, the lowest density between the two highest modes
        of the pair divided by the density at the lower one of these, which is 1 if there is one
        mode; of several such pairs, the one with the largest Bhattacharyya coefficient.
    n_clusters : int, default=None
        Number of clusters, from 1 to K. None selects the elbow of the entropy: the number from 2
        to K - 1 at which two straight lines that meet there fit `entropy_` best, as R's
        ``clustCombiOptim``. With fewer than three components there is no elbow, and nothing is
        merged. An elbow is found in any sequence, even if all components are well separated:
        examine it with `MergedMixture.plot`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row; 1 by default.

    Returns
    -------
    MergedMixture
        Hierarchy and clusters. `MergedMixture.cut` returns those of another number of clusters.

    Raises
    ------
    TypeError
        If the model is not an estimator of emgmm.
    NotFittedError
        If the model is not fitted.
    ValueError
        If the method is unknown, if `n_clusters` is not an integer from 1 to K, if X does not have
        the features of the model, or if a row is so far from all components that none is more
        probable than another.

    References
    ----------
    Baudry, Raftery, Celeux, Lo and Gottardo (2010), J. Comput. Graph. Stat. 19:332,
    doi 10.1198/jcgs.2010.08111.
    Hennig (2010), Adv. Data Anal. Classif. 4:3, doi 10.1007/s11634-010-0058-3.
    Ray and Lindsay (2005), Ann. Statist. 33:2042, doi 10.1214/009053605000000417.

    Examples
    --------
    The first two components are parts of one cluster.

    >>> import numpy as np
    >>> from emgmm import GaussianMixture, merge_components
    >>> model = GaussianMixture.from_parameters(
    ...     [0.3, 0.3, 0.4], [[0.0], [1.5], [9.0]], covariances=[1.0, 1.0, 1.0], covariance_type="E"
    ... )
    >>> X, _ = model.sample(500, random_state=0)
    >>> merged = merge_components(model, X)
    >>> merged.component_to_cluster_
    array([0, 0, 1])
    >>> merged.predict([[0.0], [1.5], [9.0]])
    array([0, 0, 1])
    """
    check_own(model, "merge_components")
    mixture = fitted_mixture(model)
    K = mixture.n_components
    if not isinstance(method, str) or method not in HEIGHTS:
        raise ValueError(
            f"method must be one of {sorted(HEIGHTS)}, but got {method!r}."
            f"{suggestion(method, HEIGHTS)}"
        )
    if n_clusters is not None:
        check_n_clusters(n_clusters, K)
    source = validation.source(model, X, sample_weight, reset=False)
    entropies = hierarchy.Entropies(mixture, source)
    with one_blas_thread():
        values = {
            "entropy": entropies.reductions,
            "bhattacharyya": hierarchy.similarities(mixture, by_ridgeline=False),
            "ridge": hierarchy.similarities(mixture, by_ridgeline=True),
        }[method]
        pairs, largest = hierarchy.agglomerate(K, values)
        partitions = hierarchy.levels(K, pairs)
        levels = [[*clusters, *noise_of(mixture)] for clusters in partitions]
        entropies(each for clusters in levels for each in clusters)
        entropy = np.array([sum(entropies(clusters)) for clusters in levels])
    reductions = entropy[-1] - entropy[-2::-1]
    heights = reductions if method == "entropy" else -np.expm1(largest)
    heights = np.maximum.accumulate(np.maximum(heights, 0.0))
    merged = MergedMixture(
        n_clusters=K,
        method=method,
        linkage_=hierarchy.linkage(K, pairs, heights),
        entropy_=entropy,
        component_to_cluster_=np.arange(K),
        _model=copy.deepcopy(model),  # later changes of the model do not change the clusters
        _levels=partitions,
    )
    return merged.cut(n_clusters)


def check_n_clusters(n_clusters: Any, n_components: int) -> None:
    """Check that a number of clusters is an integer from 1 to the number of components."""
    is_integer = isinstance(n_clusters, Integral) and not isinstance(n_clusters, bool)
    if not is_integer or not 1 <= n_clusters <= n_components:
        raise ValueError(
            f"n_clusters must be an integer from 1 to {n_components}, the number of components, or "
            f"None, but got {n_clusters!r}."
        )


def noise_of(mixture: Mixture) -> list[hierarchy.Members]:
    """Return the cluster that consists of noise, if there is any."""
    return [] if mixture.noise is None else [(mixture.n_components,)]


def cluster_probabilities(members: Array, e_step: EStepForBlock, block: Block) -> Array:
    """Return the probabilities of the clusters, (B, C), or (B, C + 1) with noise."""
    return e_step.responsibilities(block) @ members.T


def cluster_labels(
    members: Array, n_clusters: int, e_step: EStepForBlock, block: Block
) -> Integers:
    """Return the most probable cluster of each row, (B,); -1 means noise."""
    found = cluster_probabilities(members, e_step, block).argmax(axis=1)
    found[found == n_clusters] = -1
    return found
