"""The face: scikit-learn's conventions on one side, the mixture and its fit on the other."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval

from emgmm import validation
from emgmm.acceleration import SCHEMES
from emgmm.constraints import one_of
from emgmm.covariances import FAMILIES
from emgmm.exceptions import DegenerateCovarianceError, FailedFitError, issue
from emgmm.fitting import discrete
from emgmm.fitting.fit import fit_mixture
from emgmm.fitting.loop import history
from emgmm.fitting.progress import Reporter
from emgmm.incremental import IncrementalEstimator
from emgmm.initialization import STARTS
from emgmm.prior import NormalInverseWishart
from emgmm.sources import Source
from emgmm.storage.checkpoint import recorder
from emgmm.threads import one_blas_thread
from emgmm.typing import Integers


class GaussianMixture(IncrementalEstimator):
    """Gaussian mixture fitted by expectation-maximisation, a drop-in for scikit-learn's.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, K.
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'EII', 'VII', 'EEI', 'VEI', 'EVI', \
            'VVI', 'EEE', 'VEE', 'EVE', 'VVE', 'EEV', 'VEV', 'EVV', 'VVV', 'E', 'V'}, \
            default='full'
        scikit-learn's names: each component its own covariance matrix; one for all; each its own
        variances; each one variance. Or mclust's, whose letters say whether volume, shape and
        orientation are Equal or Variable, I standing for spheres and for axes that are not turned:
        full is VVV, tied EEE, diag VVI, spherical VII. E and V are for one feature. EVI, EVE and
        EVV need more rows than features in every component.
    tol : float, default=1e-3
        EM stops when the mean log-likelihood per row (in nats) changes by less in one iteration.
        It is a gain per iteration, not the distance to the maximum.
    reg_covar : float, default=1e-6
        Added to the diagonal of every covariance after each M-step, in squared units of X. 0 gives
        the maximum likelihood; a singular covariance is then an error.
    max_iter : int, default=100
        Most iterations of EM. 0 returns what the start gives.
    n_init : int, default=1
        Starts; the one with the highest `lower_bound_` is kept. A start that fails is left out.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data', 'hierarchical', \
            'whitened-kmeans', 'short-runs'} or callable, default='kmeans'
        Where EM starts. Beside scikit-learn's four, 'hierarchical' merges rows into clusters by
        their likelihood, as R's mclust does, of more than 2000 rows a random choice of so many;
        'whitened-kmeans' is k-means in coordinates that no unit of X has a part in; 'short-runs'
        goes on from the best of twenty short runs of EM on at most 2**13 rows. A callable gets
        ``(X, n_components, random_state)``, `random_state` being a ``RandomState``, and returns
        integers (n,), the label of each row, with noise -1 for it; or floats (n, K),
        responsibilities that sum to one in each row, with noise (n, K + 1) if it is to have some;
        or floats (K, D), means, each starting from the rows nearest to it. n is the number of rows
        it was handed: all up to 2**20, of more than these a random choice of 2**17.
    weights_init : array-like of shape (K,), default=None
        Weights to start from, instead of the start's. With noise, what they lack of 1 is its share.
    means_init : array-like of shape (K, D), default=None
        Means to start from, instead of the start's.
    precisions_init : array-like, default=None
        Inverse covariances to start from, in the shape of `precisions_`, instead of the start's.
    random_state : int, RandomState instance or None, default=None
        Of the starts, and of `sample`.
    warm_start : bool, default=False
        Whether `fit` goes on from where the last one ended, as if it had not been interrupted.
    verbose : int, default=0
        1 prints starts and iterations, 2 also changes and times.
    verbose_interval : int, default=10
        Iterations between two lines.
    break_symmetry : bool, default=True
        Whether components that EM cannot part are split, and EM goes on from there. False gives
        plain EM. Both warn.
    acceleration : {None, 'anderson'}, default=None
        How one mixture follows another. None is plain EM. 'anderson' extrapolates from the last few
        steps and keeps what raises the likelihood; where EM is slow it needs a fraction of the
        passes over X, and it may end at another maximum than plain EM does from the same start.
        Each mixture on the way is an iteration. `tol` speaks of EM's own steps all the same: two of
        them end a fit.
    prior : {None, 'conjugate'} or NormalInverseWishart, default=None
        Prior of the components' means and covariances: fits are then the mode of the posterior,
        which exists where the likelihood has no maximum, and `reg_covar` is not added. 'conjugate'
        is ``NormalInverseWishart()``, whose scale is that of the data.
    weight_concentration : float, default=1.0
        Of the weights' Dirichlet prior, at least 1, which is none. Each component has so many rows
        more, less one.
    noise : {None, 'uniform'}, float or callable, default=None
        One more component, of rows that belong to none, whose density is not estimated. 'uniform'
        is that of the data's volume: of the box along the features that holds them all, or of the
        one along their principal axes where that is smaller (where nothing is missing). A number is
        the density itself, the same everywhere; a function of (n, D) rows returns their (n,)
        log-densities.
    learning_decay : float, default=0.6
        Used by `partial_fit`, in (1/2, 1]. At call t the statistics move towards those of the block
        by the factor (t + learning_offset)^-learning_decay. Values near 1/2 forget the start and
        old blocks sooner; values near 1 average over more blocks.
    learning_offset : float, default=2
        Slows down early updates: larger values give the first blocks less influence.
    forgetting : float, default=None
        A constant share in (0, 1] in place of that formula, for a stream that changes: a block's
        part in the mixture is halved in about 0.7 / forgetting calls.
    checkpoint : str or path, default=None
        A file in which `fit` keeps how far it has come. A fit that was interrupted, or whose
        process was killed, goes on from there when `fit` is called again with the same path, the
        same X and the same parameters, `max_iter` and `verbose` aside, and ends as if it had not
        been. When `fit` is over the file is removed. It holds arrays and JSON, no code.
    checkpoint_every : float, default=60
        Seconds between two times that it is written; 0 writes it after every iteration.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
        Shares of the components; with noise they sum to 1 - `noise_weight_`.
    means_ : ndarray of shape (K, D)
        Means.
    covariances_ : ndarray
        Covariances: (K, D, D) if full, (D, D) if tied or EEE, (K, D) if diag, EEI, VEI, EVI or VVI,
        (K,) if spherical, EII, VII, E or V, and (K, D, D) of the other families.
    precisions_ : ndarray
        Their inverses, in the same shape.
    precisions_cholesky_ : ndarray
        U upper triangular with precision = U U^T; 1/sd for diag and spherical. Where parameters
        are set by hand, `weights_`, `means_` and any one of `covariances_`, `precisions_` and this
        are enough; those of the three that are present must agree to 1e-6.
    noise_weight_ : float
        Share of noise; 0 without.
    converged_ : bool
        Whether the change fell below `tol`.
    n_iter_ : int
        Iterations of the start that was kept.
    lower_bound_ : float
        Mean log-likelihood per row of the fitted parameters: ``score(X)`` of the X that was fitted.
        With a prior, what EM climbs instead: the log-likelihood plus the log-density of the priors,
        but for a constant, per row.
    lower_bounds_ : list of float
        The same after each of the `n_iter_` iterations.
    ending_ : Ending
        Why EM ended; ``ending_.sentence`` says it in words.
    history_ : dict of ndarray
        ``objective``, ``passes`` over the data so far, and ``event``, for the start and after each
        iteration. An event is ``start``, ``step`` of EM, ``escape`` of coincident components, or
        ``leap`` by acceleration.
    remaining_gain_ : float
        Aitken's estimate of the gain in mean log-likelihood that was left when EM ended, to the
        point it was heading for; nan where the last gains were rounding or too few, inf where they
        grew.
    n_features_in_ : int
        Number of features, D.
    feature_names_in_ : ndarray of str
        Names of the features, where X has them.

    See Also
    --------
    sklearn.mixture.GaussianMixture : The class that this one stands in for.

    References
    ----------
    Dempster, Laird and Rubin (1977), J. R. Stat. Soc. B 39:1,
    doi 10.1111/j.2517-6161.1977.tb01600.x.
    Anderson (1965), J. ACM 12:547, doi 10.1145/321296.321305.
    Banfield and Raftery (1993), Biometrics 49:803, doi 10.2307/2532201.
    Celeux and Govaert (1995), Pattern Recognition 28:781, doi 10.1016/0031-3203(94)00125-6.
    Fraley (1998), SIAM J. Sci. Comput. 20:270, doi 10.1137/S1064827596311451.
    Biernacki, Celeux and Govaert (2003), Comput. Statist. Data Anal. 41:561,
    doi 10.1016/S0167-9473(02)00163-9.

    Examples
    --------
    >>> import numpy as np
    >>> from emgmm import GaussianMixture
    >>> X = np.array([[1, 2], [2, 4], [0, 0], [1, 3], [10, 2], [11, 4], [9, 0], [10, 1]])
    >>> gm = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> gm.means_
    array([[10.  ,  1.75],
           [ 1.  ,  2.25]])
    >>> gm.predict([[0, 0], [12, 3]])
    array([1, 0])
    >>> gm.converged_
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [one_of(FAMILIES)],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [one_of(STARTS), callable],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "break_symmetry": ["boolean"],
        "prior": [one_of({"conjugate"}), NormalInverseWishart, None],
        "weight_concentration": [Interval(Real, 1.0, None, closed="left")],
        "noise": [
            one_of({"uniform"}),
            Interval(Real, 0.0, None, closed="neither"),
            callable,
            None,
        ],
        "acceleration": [one_of(name for name in SCHEMES if name is not None), None],
        "learning_decay": [Interval(Real, 0.5, 1.0, closed="right")],
        "learning_offset": [Interval(Real, 0.0, None, closed="left")],
        "forgetting": [Interval(Real, 0.0, 1.0, closed="right"), None],
        "checkpoint": [str, os.PathLike, None],
        "checkpoint_every": [Interval(Real, 0.0, None, closed="left")],
    }

    _doc_link_module = "emgmm"
    _doc_link_template = (
        "https://emgmm.readthedocs.io/en/stable/reference/emgmm.{estimator_name}.html"
    )

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str | Callable[..., Any] = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        break_symmetry: bool = True,
        acceleration: str | None = None,
        prior: str | NormalInverseWishart | None = None,
        weight_concentration: float = 1.0,
        noise: str | float | Callable[..., Any] | None = None,
        learning_decay: float = 0.6,
        learning_offset: float = 2,
        forgetting: float | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 60,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.break_symmetry = break_symmetry
        self.acceleration = acceleration
        self.prior = prior
        self.weight_concentration = weight_concentration
        self.noise = noise
        self.learning_decay = learning_decay
        self.learning_offset = learning_offset
        self.forgetting = forgetting
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every

    # -- fitting --------------------------------------------------------------------------------
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,  # noqa: ARG002
        sample_weight: Any = None,
    ) -> GaussianMixture:
        """Estimate the mixture's parameters from rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows, at least two and at least `n_components`; NaN where something is missing. The
            likelihood is that of what was observed, nothing is filled in (Ghahramani and Jordan
            1994); a row of which nothing was observed tells nothing, and counts as a row. An array
            that is not in memory (``numpy.memmap``, ``h5py.Dataset``, ``zarr.Array``) is read by
            slices in each pass, and never whole. A Dask array or DataFrame is fitted where its
            chunks are, and predictions for one are Dask arrays.
        y : Ignored
            For scikit-learn's conventions.
        sample_weight : array-like of shape (n_samples,), or blocks, default=None
            What each row counts; 1 by default. A weight of 2 is the row twice, 0 no row. Where X is
            `blocks`, it may be `blocks` too, with the same cuts.

        Returns
        -------
        GaussianMixture
            The estimator itself.

        Raises
        ------
        ValueError
            Where X or a parameter will not do, in which case nothing is changed; or where every
            start meets a singular covariance, after which the estimator is not fitted.
        """
        try:
            with self._unchanged_by_errors(), one_blas_thread(), self._generator() as random:
                source = validation.source(self, X, sample_weight, reset=True, least=2)
                found = self._fit(source, random)
        except FailedFitError:
            self._forget()
            raise
        issue(found)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Integers:
        """Fit to the rows of X and label them: ``fit(X).predict(X)``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            For scikit-learn's conventions.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts; 1 by default. A weight of 2 is the row twice, 0 no row.

        Returns
        -------
        ndarray of shape (n_samples,)
            Each row's most probable component.

        Raises
        ------
        TypeError
            Where X is `blocks`: call ``fit``, and then ``predict``, which returns an iterator.
        """
        validation.whole(X)
        return self.fit(X, y, sample_weight).predict(X)

    def _fit(self, source: Source, random: np.random.RandomState) -> tuple[UserWarning, ...]:
        """Fit to the rows of a source; the warnings of the fit are returned."""
        goes_on = self.warm_start and self.__sklearn_is_fitted__()
        options = self._options(source.n_features)
        if goes_on:
            self._check_same_model(source.n_features, "warm_start=True", "set warm_start=False")
        here = self._mixture() if goes_on else None
        problem, parameters = self._problem(here), self.get_params(deep=False)
        try:
            with recorder(self.checkpoint, self.checkpoint_every, parameters, source, here) as kept:
                result = fit_mixture(
                    source,
                    problem,
                    options,
                    random,
                    initial=here,
                    before=self._before_last() if goes_on else -np.inf,
                    reporter=Reporter(int(self.verbose), self.verbose_interval),
                    journal=kept,
                )
        except DegenerateCovarianceError as error:
            ridge = self.reg_covar if self.prior is None else None
            raise FailedFitError(
                error, ridge, source.dtype, source.feature_names, discrete.note(source)
            ) from None
        self.__dict__.pop("_waiting", None)
        self._adopt(result.mixture, **result.attributes())
        return result.warnings

    def _before_last(self) -> float:
        """The last objective but one: the stopping rule compares a warm start's first to it."""
        objective = getattr(self, "history_", history([], [], []))["objective"]
        return float(objective[-2]) if len(objective) > 1 else -np.inf
