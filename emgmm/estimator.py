"""`GaussianMixture`: the estimator, under scikit-learn's conventions."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from emgmm import attributes, validation
from emgmm.acceleration import SCHEMES, Scheme
from emgmm.base import BaseMixture
from emgmm.callbacks import Attributes, Task
from emgmm.compatibility import CompatibilityMixin
from emgmm.constraints import Constraints, Given, are_masks, order_of
from emgmm.covariances import FAMILIES, Family, family_of
from emgmm.devices import Device, check_same_device
from emgmm.diagnostics import Diagnosis, diagnose
from emgmm.distributional import DistributionMixin
from emgmm.exceptions import DegenerateCovarianceError, FailedFitError, issue
from emgmm.fitting.attributes import attributes_of_run
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.fit import FitResult, fit_mixture
from emgmm.fitting.loop import Ending, Run, history
from emgmm.fitting.messages import discrete_columns
from emgmm.fitting.problem import constraints_on, given_of, options_of, problem_of
from emgmm.fitting.recorder import outcome_of
from emgmm.fitting.sampling import max_starts
from emgmm.incremental import PartialFitMixin
from emgmm.initialization import STARTS, start_of
from emgmm.interchange import InterchangeMixin
from emgmm.mixture import Mixture
from emgmm.parameters import ARRAYS, Hidden, Interval, generator, one_of, validated
from emgmm.prior import NormalInverseWishart
from emgmm.sources import Source
from emgmm.sources.known import LabelRules
from emgmm.storage.checkpoint import recorder
from emgmm.threads import one_blas_thread
from emgmm.typing import (
    Acceleration,
    CovarianceType,
    InitParams,
    Integers,
    NoiseName,
    Numbers,
    Order,
    PriorName,
    RandomState,
    Sampling,
)

# Function that calls a fit with its task, given the largest number of starts and the function that
# returns the attributes after a run.
Observe = Callable[[Callable[[Task], FitResult], int | None, Attributes], FitResult]


class GaussianMixture(
    PartialFitMixin, InterchangeMixin, DistributionMixin, CompatibilityMixin, BaseMixture
):
    """Gaussian mixture fitted by expectation-maximization, a drop-in for scikit-learn's class.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, K.
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'EII', 'VII', 'EEI', 'VEI', 'EVI', \
            'VVI', 'EEE', 'VEE', 'EVE', 'VVE', 'EEV', 'VEV', 'EVV', 'VVV', 'E', 'V'} or Family, \
            default='full'
        Constraint on the covariances, by a name of scikit-learn (one matrix per component, one
        common matrix, variances per component, one variance per component) or of mclust, whose
        letters state whether volume, shape and orientation are Equal or Variable among the
        components, or the Identity: full is VVV, tied EEE, diag VVI and spherical VII. E and V are
        for one feature. EVI, EVE and EVV need more rows than features in every component. An
        instance of a subclass of ``emgmm.covariances.Family`` is another constraint.
    tol : float, default=1e-3
        EM stops if an iteration changes the mean log-likelihood per row, in nats, by less. This
        is a gain per iteration, not the distance to the maximum.
    reg_covar : float, default=1e-6
        Ridge added to the diagonal of every covariance in each M-step, in squared units of X.
        With 0 the maximum likelihood is found, and a singular covariance is an error.
    max_iter : int, default=100
        Maximum number of iterations of EM; 0 returns the initial mixture.
    n_init : int, default=1
        Number of initializations, of which the one with the highest `lower_bound_` is kept. Those
        that fail are ignored.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data', 'hierarchical', \
            'whitened-kmeans', 'short-runs'}, callable or array-like, default='kmeans'
        Initialization. Besides scikit-learn's four methods, 'hierarchical' is the model-based
        agglomerative clustering of R's mclust, on a random sample of 2000 rows if there are more;
        'whitened-kmeans' is k-means in coordinates that do not depend on the units of X; and
        'short-runs' continues from the best of twenty short runs of EM on at most 2**13 rows. A
        callable is called as ``init_params(X, n_components, random_state)`` with a
        ``RandomState``, and returns integers (n,), the label of each row, with -1 for noise; or
        floats (n, K), responsibilities that sum to one in each row, with an additional last column
        for noise; or floats (K, D), means, each of which starts from the rows nearest to it. n is
        the number of rows that it is passed: all up to 2**20, and a random sample of 2**17 if there
        are more. An array has the meaning of such a result for all rows of X.
    weights_init : array-like of shape (K,), default=None
        Initial weights. With noise, its initial weight is 1 minus their sum.
    means_init : array-like of shape (K, D), default=None
        Initial means.
    precisions_init : array-like, default=None
        Initial precisions, in the shape of `precisions_`.
    random_state : int, RandomState instance or None, default=None
        Seed of the initialization, and the default seed of `sample`.
    warm_start : bool, default=False
        Whether `fit` continues from the previous fit, as if it had not been interrupted.
    verbose : int, default=0
        1 prints initializations and iterations, 2 also changes and times.
    verbose_interval : int, default=10
        Number of iterations between two printed lines.
    break_symmetry : bool, default=True
        Whether components that coincide, which EM cannot separate, are split before EM continues.
        False gives plain EM. A warning is issued in both cases.
    acceleration : {None, 'anderson'} or callable, default=None
        Acceleration of EM. None is plain EM. 'anderson' extrapolates from the last few steps and
        accepts what raises the likelihood. Where EM is slow this takes a fraction of the passes
        over X; it may end at another maximum than plain EM. Every mixture on the way counts as an
        iteration. `tol` still applies to steps of plain EM, of which two end the fit. A callable is
        another scheme (``emgmm.acceleration.Scheme``): it returns its state after a first step.
    sampling : {'auto', None}, default='auto'
        Whether a fit to more than 2**20 rows makes most of its steps on random samples of 2**17
        rows or more, at most 2**28 bytes. The starts are run on the smallest sample. Further steps
        on samples, whose statistics are corrected by those of all rows, follow as long as they gain
        much. EM on all rows, with Anderson acceleration, then continues until it meets `tol`.
        `n_iter_` and `lower_bounds_` count passes over all rows only. None runs EM on all rows from
        the start, as scikit-learn does. So does 'auto' if the fit continues another one
        (`warm_start`), if weights, means and precisions are given, if `init_params` is an array, if
        rows are labelled, or if `max_iter` is below 10.
    prior : {None, 'conjugate'} or NormalInverseWishart, default=None
        Prior of the components' means and covariances. The fit is then the mode of the posterior,
        which exists even if the likelihood has no maximum, and `reg_covar` is not used. 'conjugate'
        is ``NormalInverseWishart()``, whose scale is estimated from the data.
    weight_concentration : float, default=1.0
        Concentration of the Dirichlet prior of the weights, at least 1, which is no prior. It acts
        as `weight_concentration` - 1 additional rows in each component.
    noise : {None, 'uniform'}, float or callable, default=None
        Density of an additional component for outliers, which is not estimated. 'uniform' is the
        uniform density over the volume of the data: the box that contains all rows, along the
        features or, if that is smaller and nothing is missing, along the principal axes. A number
        is a constant density; a function of (n, D) rows returns their (n,) log-densities.
    fixed : set of {'weights', 'means', 'covariances'} or dict of these to bool (K,), default=None
        Parameters that keep the values of `weights_init`, `means_init` and `precisions_init`, which
        have to be given. A dict fixes those of some components only; covariances of some components
        can be fixed where each component has its own (full, diag, spherical, VVV, VVI, VII, V).
        Free weights share what remains of the sum of one. The ridge is not added to fixed
        covariances.
    equal_weights : bool, default=False
        Whether the components have equal weights; the weight of noise is free.
    order : {None, 'mean', 'weight'}, default=None
        Order of the components after the fit: by the mean of the first feature, ascending, or by
        the weight, the largest first. None keeps the order of the initialization.
    learning_decay : float, default=0.6
        Used by `partial_fit`, in (1/2, 1]. At call t the statistics move towards those of the block
        by the factor (t + learning_offset)^-learning_decay. Values near 1/2 reduce the influence of
        the start and of old blocks sooner; values near 1 average over more blocks.
    learning_offset : float, default=2
        Slows down early updates: larger values give the first blocks less influence.
    forgetting : float, default=None
        Constant factor in (0, 1] in place of that formula, for data that change over time: the
        influence of a block is halved in about 0.7 / forgetting calls.
    checkpoint : str or path, default=None
        File in which `fit` saves its state. If a fit is interrupted or its process is killed, the
        next `fit` with the same path, X and parameters (except `max_iter` and `verbose`) continues
        from there and gives the same result. The file is removed at the end of `fit`. It contains
        arrays and JSON, no code.
    checkpoint_every : float, default=60
        Seconds between two writes of that file; 0 writes it after every iteration.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
        Weights of the components; with noise they sum to 1 - `noise_weight_`.
    means_ : ndarray of shape (K, D)
        Means of the components.
    covariances_ : ndarray
        Covariances: (K, D, D) if full, (D, D) if tied or EEE, (K, D) if diag, EEI, VEI, EVI or VVI,
        (K,) if spherical, EII, VII, E or V, and (K, D, D) of the other families.
    precisions_ : ndarray
        Their inverses, in the same shape.
    precisions_cholesky_ : ndarray
        Upper triangular factors U with precision = U U^T; 1/sd for diag and spherical. If
        parameters are set by hand, `weights_`, `means_` and one of `covariances_`, `precisions_`
        and `precisions_cholesky_` suffice; those of the three that are present must agree to 1e-6.
    noise_weight_ : float
        Weight of the noise component; 0 if there is none.
    converged_ : bool
        Whether an iteration changed the objective by less than `tol`.
    n_iter_ : int
        Number of iterations of the best initialization.
    lower_bound_ : float
        Mean log-likelihood per row of the fitted parameters, which is ``score(X)`` for the fitted
        X. With a prior, the objective of EM instead: the log-likelihood plus the log-density of the
        priors up to a constant, per row. With labels, a labelled row contributes
        log pi_k + log N(x; mu_k, Sigma_k) of its component instead of its log-density, or the mean
        of this under its responsibilities.
    lower_bounds_ : list of float
        `lower_bound_` after each of the `n_iter_` iterations.
    ending_ : Ending
        Reason why EM ended; ``ending_.sentence`` explains it.
    history_ : dict of ndarray
        ``objective``, ``passes`` over the data so far, and ``event``, initially and after each
        iteration. An event is ``start``, ``step`` (of EM), ``escape`` (coincident components were
        split), ``leap`` (of the acceleration) or ``sample`` (of steps on a sample).
    remaining_gain_ : float
        Aitken's estimate of the distance in mean log-likelihood from the end of EM to the limit
        that it was approaching; nan if the last gains are rounding or too few, inf if they grew.
    n_features_in_ : int
        Number of features, D.
    feature_names_in_ : ndarray of str
        Names of the features, where X has them.

    See Also
    --------
    sklearn.mixture.GaussianMixture : The class that this one replaces.

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

    noise_weight_: float
    converged_: bool
    n_iter_: int
    lower_bounds_: list[float]
    ending_: Ending
    history_: dict[str, NDArray[Any]]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [one_of(FAMILIES), Hidden(Family)],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [one_of(STARTS), callable, *ARRAYS],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "break_symmetry": ["boolean"],
        "sampling": [one_of({"auto"}), None],
        "prior": [one_of({"conjugate"}), NormalInverseWishart, None],
        "weight_concentration": [Interval(Real, 1.0, None, closed="left")],
        "noise": [one_of({"uniform"}), Interval(Real, 0.0, None, closed="neither"), callable, None],
        "acceleration": [one_of(name for name in SCHEMES if name is not None), callable, None],
        "fixed": [set, frozenset, list, tuple, dict, None],
        "equal_weights": ["boolean"],
        "order": [one_of({"mean", "weight"}), None],
        "learning_decay": [Interval(Real, 0.5, 1.0, closed="right")],
        "learning_offset": [Interval(Real, 0.0, None, closed="left")],
        "forgetting": [Interval(Real, 0.0, 1.0, closed="right"), None],
        "checkpoint": [str, os.PathLike, None],
        "checkpoint_every": [Interval(Real, 0.0, None, closed="left")],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType | Family = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: InitParams | Callable[..., Any] | Numbers = "kmeans",
        weights_init: Numbers | None = None,
        means_init: Numbers | None = None,
        precisions_init: Numbers | None = None,
        random_state: RandomState = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        break_symmetry: bool = True,
        acceleration: Acceleration | Scheme | None = None,
        sampling: Sampling | None = "auto",
        prior: PriorName | NormalInverseWishart | None = None,
        weight_concentration: float = 1.0,
        noise: NoiseName | float | Callable[..., Any] | None = None,
        fixed: Collection[str] | Mapping[str, Any] | None = None,
        equal_weights: bool = False,
        order: Order | None = None,
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
        self.sampling = sampling
        self.prior = prior
        self.weight_concentration = weight_concentration
        self.noise = noise
        self.fixed = fixed
        self.equal_weights = equal_weights
        self.order = order
        self.learning_decay = learning_decay
        self.learning_offset = learning_offset
        self.forgetting = forgetting
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every

    # -- fitting --------------------------------------------------------------------------------
    @validated
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        labels: Any = None,
    ) -> Self:
        """Estimate the mixture's parameters from rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or blocks
            Rows, at least two and at least `n_components`, with NaN where a value is missing. The
            likelihood is that of the observed values, and nothing is imputed (Ghahramani and
            Jordan 1994); a row without observed values only counts as a row. An array that is not
            in memory (``numpy.memmap``, ``h5py.Dataset``, ``zarr.Array``) is read in slices in each
            pass. The chunks of a Dask array or DataFrame are processed where they are, and
            predictions for one are Dask arrays. Arrays of PyTorch, CuPy and other libraries stay on
            their device with ``sklearn.set_config(array_api_dispatch=True)``, and predictions for
            them are there, too.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), or blocks, default=None
            Weight of each row; 1 by default. A weight of 2 is the row twice, and 0 is no row. If X
            is `blocks`, `blocks` of the same lengths are accepted.
        labels : array-like of shape (n_samples,) or (n_samples, K), or blocks, default=None
            Labels or responsibilities of the rows. Integers are the component of each row, -1
            if it is not known, and K for noise if there is a noise component. Floats are
            responsibilities that do not change, with a row of NaN where nothing is known; with
            noise, they may have an additional column. Components with labelled rows start from the
            mean of these, and the others from `init_params`; an array as `init_params` determines
            the start of all. If all rows are
            labelled, the fit is a single M-step. The label of a row without observed values is
            ignored. `order` has to be None, since labels refer to the numbers of the components.
            If X is `blocks`, `blocks` of the same lengths are accepted.

        Returns
        -------
        GaussianMixture
            The estimator itself.

        Raises
        ------
        ValueError
            If X, a label or a parameter is invalid, in which case the estimator is unchanged, or if
            every initialization leads to a singular covariance, after which the estimator is not
            fitted.

        Warns
        -----
        ConvergenceWarning
            If EM stopped at `max_iter`.
        EMWarning
            If the fit is questionable; the subclasses name the reasons: coincident, collapsed or
            starved components, a fit that stopped far from its maximum, or a large ridge.
        UnobservedPairWarning
            If two features were never observed in the same row.

        Notes
        -----
        The tasks of callbacks, set by ``set_callbacks`` with scikit-learn 1.9 or later, are the
        starts and, within these, the iterations. If one of them asks to stop, the fit ends without
        a `ConvergenceWarning`, and ``ending_`` is ``Ending.STOPPED``.
        """

        def observe(
            fit: Callable[[Task], FitResult], n_starts: int | None, so_far: Attributes
        ) -> FitResult:
            return self._observed(fit, X, y, sample_weight, n_starts, attributes=so_far)

        return self._fit_rows(X, sample_weight, labels, observe)

    _own_fit = fit  # of `fit_predict`, whatever a subclass's `fit` is

    def _fit_rows(self, X: Any, sample_weight: Any, labels: Any, observe: Observe) -> Self:
        """Fit to the rows of X within a task that `observe` begins and ends."""
        self._check_overrides()
        try:
            with (
                attributes.unchanged_by_errors(self),
                one_blas_thread(),
                self._generator() as random,
            ):
                rules = LabelRules(self.n_components, self.noise is not None)
                source = validation.labelled_source(
                    self, X, sample_weight, labels, rules, reset=True
                )
                found = self._fit(source, random, observe)
        except FailedFitError:
            for name in attributes.present(self):
                delattr(self, name)
            raise
        issue(found)
        return self

    def fit_predict(
        self, X: Any, y: Any = None, sample_weight: Any = None, labels: Any = None
    ) -> Integers:
        """Fit to the rows of X and predict their components: ``fit(X).predict(X)``.

        As in scikit-learn, this does not call a `fit` that a subclass overrides, so that such a
        `fit` can call this method.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; 1 by default. A weight of 2 is the row twice, and 0 is no row.
        labels : array-like of shape (n_samples,) or (n_samples, K), default=None
            Labels or responsibilities of the rows, as in `fit`. The prediction does not use
            it: a row may be predicted to belong to another component than that of its label.

        Returns
        -------
        ndarray of shape (n_samples,)
            Most probable component of each row; -1 means noise.

        Raises
        ------
        TypeError
            If X is `blocks`: call ``fit``, and then ``predict``, which returns an iterator.
        """
        return self._fit_predict(X, y, sample_weight, labels)

    def diagnose(
        self, X: Any, *, certify: bool = False, sample_weight: Any = None, labels: Any = None
    ) -> Diagnosis:
        """Examine the fitted mixture for coincident, collapsed, starved and overlapping components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows that were fitted. The parameters of the estimator, such as `reg_covar` and `prior`,
            should be those of the fit too; those that were changed later determine what EM would do
            from here on.
        certify : bool, default=False
            Whether to make up to 75 more passes over X that examine whether EM ended at a local
            maximum: one more EM step, EM's rate of convergence by power iteration, and finite moves
            of components.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in `fit`.
        labels : array-like of shape (n_samples,) or (n_samples, n_components), default=None
            Labels or responsibilities of rows in `fit`, which take part in all EM steps. The
            overlap and the entropy are of the responsibilities that the mixture predicts.

        Returns
        -------
        Diagnosis
            Report that prints as text, is shown as a table in a notebook, and has ``to_dict`` and
            ``plot``. It takes three passes over X without the certificate. Blocks and files are
            read once more, for the rows of the plot.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X contains infinity or does not have the features of the fit, or if a row is so far
            from all components that none is more probable than another, or if `sample_weight` is
            not one finite, non-negative weight per row, or if `labels` is invalid.

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
        mixture = self._mixture()
        check_same_device(self, X, "diagnose")
        rules = LabelRules(mixture.n_components, mixture.noise is not None)
        source = validation.labelled_source(self, X, sample_weight, labels, rules, reset=False)
        objectives = attributes.trailing_plain_objectives(getattr(self, "history_", history([])))
        with one_blas_thread():
            constraints = self._constraints()
            problem = problem_of(self, Given.of(mixture), mixture, constraints=constraints)
            em = em_of(source, problem)
            validation.check_some_observed(em.summary.n_rows)
            random = check_random_state(self.random_state)
            return diagnose(em, mixture, objectives, random, certified=certify)

    def __sklearn_is_fitted__(self) -> bool:
        return attributes.are_fitted(self)

    def _mixture(self) -> Mixture:
        return attributes.mixture_of(self)

    def _derived(self, mixture: Mixture, features: list[int]) -> GaussianMixture:
        """Return a fitted estimator with a mixture of some of the features."""
        names, noise = self._names(), mixture.noise
        is_same = mixture.family is family_of(self.covariance_type)
        return attributes.estimator_with(
            GaussianMixture,
            mixture,
            [names[j] for j in features] if names else None,
            covariance_type=self.covariance_type if is_same else mixture.family.name,
            noise=None if noise is None else noise.density.parameter,
            random_state=self.random_state,
        )

    def _constraints(self) -> Constraints:
        mixture = self._mixture()
        given, K = Given.of(mixture), mixture.n_components
        masks = getattr(self, "_masks", None)  # None unless the attributes come from a fit
        if masks is None or not are_masks(masks, K):
            return constraints_on(self, given, mixture.family, K)
        return Constraints.of_masks(masks, given)

    def _generator(self) -> AbstractContextManager[np.random.RandomState]:
        """Return the random numbers of a fit; a user's function may keep what it is passed."""
        if callable(self.init_params):
            return nullcontext(check_random_state(self.random_state))
        return generator(self.random_state)

    def _fit(
        self, source: Source, random: np.random.RandomState, observe: Observe
    ) -> tuple[UserWarning, ...]:
        """Fit to the rows of a source, and return the warnings of the fit."""
        given = given_of(self, family_of(self.covariance_type), source.n_features)
        start = start_of(self.init_params, noise=self.noise is not None)
        fitted, before = None, -np.inf
        if self.warm_start and attributes.are_fitted(self):
            attributes.check_same_model(
                self, source.n_features, "warm_start=True", "set warm_start=False"
            )
            fitted = self._mixture()
            objectives = getattr(self, "history_", {}).get("objective", ())
            before = float(objectives[-2]) if len(objectives) > 1 else -np.inf
        problem, options = problem_of(self, given, fitted), options_of(self, start, given)
        # The stopping rule compares the first objective to the last one before.
        further: dict[str, Any] = {"initial": fitted, "before": before}

        def fit(task: Task) -> FitResult:
            further["reporter"] = task.reporter(int(self.verbose), self.verbose_interval)
            with recorder(self, source, fitted) as record:
                result = fit_mixture(source, problem, options, random, recorder=record, **further)
            self.__dict__.pop("_waiting", None)
            attributes.adopt(self, result.mixture, source.device, **result.attributes())
            return result

        so_far = partial(attributes_of_fit, self, device=source.device)
        n_starts = max_starts(source.n_rows_hint, self.n_init, sampling=options.sampling)
        try:
            return observe(fit, n_starts, so_far).warnings
        except DegenerateCovarianceError as error:
            ridge = self.reg_covar if self.prior is None else None
            names, discrete = source.feature_names, discrete_columns(source)
            raise FailedFitError(error, ridge, source.dtype, names, discrete) from None


def attributes_of_fit(
    model: GaussianMixture, run: Run, device: Device | None = None
) -> dict[str, Any]:
    """Return the fitted attributes of an estimator as if its fit had ended with a run."""
    if model.order is not None:
        run = run.permuted(order_of(run.step.mixture, model.order))
    mixture = run.step.mixture
    about_the_fit = attributes_of_run(run, (outcome_of(run),))
    del about_the_fit["_stream"]  # `partial_fit` will take its statistics from its first block
    constraints = constraints_on(model, Given.of(mixture), mixture.family, mixture.n_components)
    about_the_fit["_masks"] = constraints.masks
    return {**attributes.attributes_of(mixture, device), **about_the_fit}


def fitted_in(task: Task, model: GaussianMixture, X: Any, sample_weight: Any) -> GaussianMixture:
    """Fit a model to rows within a task of another estimator, and return it."""
    return model._fit_rows(X, sample_weight, None, lambda fit, *_: fit(task))
