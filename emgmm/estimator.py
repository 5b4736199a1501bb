"""The face: scikit-learn's conventions on one side, the mixture and its fit on the other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from emgmm import door
from emgmm.diagnosis import Diagnosis, aitken, diagnose, has_coincident, warnings_of
from emgmm.em import EM
from emgmm.families import FAMILIES, DegenerateCovarianceError
from emgmm.fitting import Given, best_run, first_mixture
from emgmm.loop import Rules, Run, history, last_of_plain_em, nowhere
from emgmm.mixture import Mixture
from emgmm.notices import EMWarning, frames_to_user
from emgmm.portable import PortableEstimator
from emgmm.schemes import SCHEMES
from emgmm.sources import Source
from emgmm.starts import STARTS, from_callable
from emgmm.threads import one_blas_thread
from emgmm.typing import Integers
from emgmm.verbosity import Reporter


class GaussianMixture(PortableEstimator):
    """Gaussian mixture fitted by expectation-maximisation, a drop-in for scikit-learn's.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, K.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        Each component its own covariance matrix; one for all; each its own variances; each one
        variance.
    tol : float, default=1e-3
        EM stops when the mean log-likelihood per row (in nats) changes by less in one iteration.
        It is a gain per iteration, not the distance to the maximum.
    reg_covar : float, default=1e-6
        Added to the diagonal of every covariance after each M-step, in squared units of X. 0 gives
        the maximum likelihood; a singular covariance is then an error.
    max_iter : int, default=100
        Most iterations of EM. 0 returns what the start gives.
    n_init : int, default=1
        Starts; the one with the highest log-likelihood is kept. A start that fails is left out.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'} or callable, \
            default='kmeans'
        Where EM starts. A callable gets ``(X, n_components, random_state)``, `random_state` being
        a ``RandomState``, and returns integers (n,), the label of each row; or floats (n, K),
        responsibilities that sum to one in each row; or floats (K, D), means, each starting from
        the rows nearest to it. n is the number of rows it was handed: all up to 2**20, of
        more than these a random choice of 2**17.
    weights_init : array-like of shape (K,), default=None
        Weights to start from, instead of the start's.
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

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
        Shares of the components.
    means_ : ndarray of shape (K, D)
        Means.
    covariances_ : ndarray
        Covariances: (K, D, D) if full, (D, D) if tied, (K, D) if diag, (K,) if spherical.
    precisions_ : ndarray
        Their inverses, in the same shape.
    precisions_cholesky_ : ndarray
        U upper triangular with precision = U U^T; 1/sd for diag and spherical. Densities are
        computed from `weights_`, `means_` and this.
    converged_ : bool
        Whether the change fell below `tol`.
    n_iter_ : int
        Iterations of the start that was kept.
    lower_bound_ : float
        Mean log-likelihood per row of the fitted parameters: ``score(X)`` of the X that was fitted.
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
    >>> gm.ending_.name
    'FIXED_POINT'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions(set(FAMILIES))],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(STARTS)), callable],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "break_symmetry": ["boolean"],
        "acceleration": [StrOptions({name for name in SCHEMES if name is not None}), None],
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
        X : array-like of shape (n_samples, n_features)
            Rows, at least two and at least `n_components`. A Dask array or DataFrame is fitted
            where its chunks are, and predictions for one are Dask arrays.
        y : Ignored
            For scikit-learn's conventions.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counts; 1 by default. A weight of 2 is the row twice, 0 no row.

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
        before = dict(vars(self))
        try:
            with one_blas_thread():
                best, said = self._run(door.source(self, X, sample_weight, reset=True))
        except BaseException as error:
            self.__dict__.clear()
            self.__dict__.update(before)
            if isinstance(error, door.FailedFitError):
                self._forget()
            raise
        self._take(best)
        for warning in said:
            warnings.warn(warning, stacklevel=frames_to_user())
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
        """
        return self.fit(X, y, sample_weight).predict(X)

    def diagnose(self, X: Any, *, certify: bool = False, sample_weight: Any = None) -> Diagnosis:
        """Report on the fitted mixture: what its own statistics say of it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows that were fitted.
        certify : bool, default=False
            Whether to spend up to 75 more passes over X on the point itself: the length of one more
            EM step, EM's rate by power iteration, and finite moves of components.
        sample_weight : array-like of shape (n_samples,), default=None
            What each row counted in `fit`.

        Returns
        -------
        Diagnosis
            Prints as text, shows as a table in a notebook, has ``to_dict`` and ``plot``. It spends
            three passes over X without the certificate.

        References
        ----------
        Dempster, Laird and Rubin (1977), J. R. Stat. Soc. B 39:1,
        doi 10.1111/j.2517-6161.1977.tb01600.x (EM's rate).

        Examples
        --------
        >>> from emgmm import GaussianMixture
        >>> from emgmm.datasets import old_faithful
        >>> X = old_faithful().rows
        >>> gm = GaussianMixture(2, tol=1e-9, random_state=0).fit(X)
        >>> gm.diagnose(X, certify=True).verdict.name
        'LOCAL_MAXIMUM'
        """
        check_is_fitted(self)
        source = door.source(self, X, sample_weight, reset=False)
        mixture = self._mixture()
        objectives = last_of_plain_em(getattr(self, "history_", history([], [], [])))
        with one_blas_thread():
            em = EM(source, mixture.family, mixture.n_components, self.reg_covar)
            random = check_random_state(self.random_state)
            return diagnose(em, mixture, objectives, random, certified=certify)

    def _run(self, source: Source) -> tuple[Run, list[EMWarning]]:
        K, D = self.n_components, source.n_features
        family = FAMILIES[self.covariance_type]
        given = Given(
            self.weights_init if self.weights_init is None else door.weights(self.weights_init, K),
            self.means_init if self.means_init is None else door.means(self.means_init, K, D),
            self.precisions_init
            if self.precisions_init is None
            else door.whiteners_of_precisions(self.precisions_init, family, K, D),
        )
        goes_on = self.warm_start and self.__sklearn_is_fitted__()
        if goes_on:
            self._check_same_model(D)
        random = check_random_state(self.random_state)
        named = self.init_params
        start = from_callable(named) if callable(named) else STARTS[named]
        stuck = has_coincident if self.break_symmetry else nowhere
        em = EM(source, family, K, self.reg_covar)
        door.check_enough_rows(em.summary.n_rows, K)
        beginnings: list[Callable[[], Mixture]]
        if goes_on:
            beginnings = [self._mixture]
        else:
            beginnings = [lambda: first_mixture(em, start, given, random)] * self.n_init
        try:
            best = best_run(
                em,
                SCHEMES[self.acceleration],
                beginnings,
                rules=Rules(self.tol, self.max_iter, stuck),
                before=self._before_last() if goes_on else -np.inf,
                reporter=Reporter(int(self.verbose), self.verbose_interval),
                random=random,
            )
        except DegenerateCovarianceError as error:
            raise door.FailedFitError(error, source.dtype, self.reg_covar) from None
        n_rows = em.summary.n_rows
        return best, warnings_of(best, n_rows, self.reg_covar, break_symmetry=self.break_symmetry)

    def _check_same_model(self, n_features: int) -> None:
        for name, was, now in (
            ("n_components", len(self.means_), self.n_components),
            ("covariance_type", self._fitted_type(), self.covariance_type),
            ("the number of features", self.means_.shape[1], n_features),
        ):
            if was != now:
                raise ValueError(
                    f"warm_start=True goes on from the last fit, but {name} was {was!r} then and "
                    f"is {now!r} now; set warm_start=False to start anew."
                )

    def _before_last(self) -> float:
        """The last objective but one: the stopping rule compares a warm start's first to it."""
        objective = getattr(self, "history_", history([], [], []))["objective"]
        return float(objective[-2]) if len(objective) > 1 else -np.inf

    def _take(self, best: Run) -> None:
        seen = history(best.objectives, best.passes, best.events)
        self._adopt(
            best.step.mixture,
            converged_=best.converged,
            n_iter_=best.n_iter,
            lower_bound_=best.objectives[-1],
            lower_bounds_=best.objectives[1:],
            ending_=best.ending,
            history_=seen,
            remaining_gain_=aitken(last_of_plain_em(seen), best.step.mixture.means.dtype)[1],
        )
        if not best.converged and self.max_iter > 0:
            warnings.warn(
                "Best performing initialization did not converge. Try different init parameters, "
                "or increase max_iter, tol, or check for degenerate data. "
                f"({best.ending.sentence}{self._left()})",
                ConvergenceWarning,
                stacklevel=frames_to_user(),
            )

    def _left(self) -> str:
        """What is left to gain, in words, where that can be told."""
        if not 0 < self.remaining_gain_ < math.inf:
            return ""
        return f" About {self.remaining_gain_:.2g} nats per row are left to gain."
