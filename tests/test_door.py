"""Bad input gets one clear sentence, naming what and where, and changes nothing."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from conftest import TYPES, clusters
from scipy.sparse import csr_matrix
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints

from emgmm import GaussianMixture, GaussianMixtureIC, NormalInverseWishart, blocks
from emgmm.covariances import FAMILIES

X = clusters(60, 3)
NAMES = ["a", "b", "height"]


def spoiled(value, row=7, column=2):
    rows = X.copy()
    rows[row, column] = value
    return rows


class Tensor(list):
    """Stands in for an array of a device library."""


Tensor.__module__ = "torch"

BAD_ROWS = {
    "inf": (spoiled(np.inf), ValueError, r"Input X contains infinity .* row 7, column 2"),
    "named": (
        pd.DataFrame(spoiled(np.inf), columns=NAMES),
        ValueError,
        r"row 7, column 2 \('height'\)",
    ),
    "complex": (X + 1j, ValueError, "Complex data not supported"),
    "one-dimensional": (X[:, 0], ValueError, "Expected 2D array, got 1D array"),
    "three-dimensional": (X[None], ValueError, "Found array with dim 3"),
    "no rows": (X[:0], ValueError, r"Found array with 0 sample\(s\)"),
    "no features": (X[:, :0], ValueError, r"Found array with 0 feature\(s\)"),
    "words": (np.array([["a", "b"], ["c", "d"]], dtype=object), ValueError, "could not convert"),
    "sparse": (csr_matrix(X), TypeError, "Sparse data was passed"),
    "torch": (Tensor(X.tolist()), TypeError, r"X is a torch\.Tensor; .* convert it first"),
}


@pytest.mark.parametrize(("rows", "error", "message"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_rows_that_will_not_do(rows, error, message):
    good = pd.DataFrame(X, columns=NAMES) if isinstance(rows, pd.DataFrame) else X
    fresh, fitted = GaussianMixture(2), GaussianMixture(2, random_state=0).fit(good)
    for model in (fresh, fitted):
        before = pickle.dumps(vars(model))
        with pytest.raises(error, match=message):
            model.fit(rows)
        assert pickle.dumps(vars(model)) == before
    for method in (
        "predict",
        "predict_proba",
        "predict_log_proba",
        "score_samples",
        "score",
        "bic",
    ):
        with pytest.raises(error, match=message):
            getattr(fitted, method)(rows)
    assert pickle.dumps(vars(fitted)) == before


def test_one_row_cannot_be_fitted_but_can_be_scored():
    model = GaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        model.fit(X[:1])
    assert model.score(X[:1]) == pytest.approx(model.score_samples(X[:1])[0], rel=1e-12)


def test_another_width_or_other_names_in_predict():
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        GaussianMixture(2, random_state=0).fit(X).predict(X[:, :2])
    model = GaussianMixture(2, random_state=0).fit(pd.DataFrame(X, columns=NAMES))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(pd.DataFrame(X, columns=list("abd")))


def test_fewer_rows_than_components():
    message = "Expected n_samples >= n_components but got n_components = 5, n_samples = 4"
    with pytest.raises(ValueError, match=message):
        GaussianMixture(5).fit(X[:4])


BAD_STARTS = {
    "weights' shape": ({"weights_init": [1.0]}, r"'weights' should have the shape of \(2,\)"),
    "weights' range": (
        {"weights_init": [-0.5, 1.5]},
        r"range \[0, 1\], but got .* component 0 has",
    ),
    "weights' sum": ({"weights_init": [0.5, 0.4]}, r"normalized, but got sum\(weights\) = 0.90000"),
    "weights with nan": ({"weights_init": [np.nan, 1.0]}, "Input weights contains NaN"),
    "means' shape": ({"means_init": X[:2, :2]}, r"'means' should have the shape of \(2, 3\)"),
    "means with nan": ({"means_init": spoiled(np.nan, 0)[:2]}, "Input means contains NaN"),
    "precisions' shape": ({"precisions_init": np.eye(3)}, "'full precision' should have the shape"),
    "full, negative": (
        {"precisions_init": [np.eye(3), -np.eye(3)]},
        "'full precision' should be symmetric, positive-definite: that of component 1 is not",
    ),
    "full, crooked": (
        {"precisions_init": [np.eye(3) + np.eye(3, k=1), np.eye(3)]},
        "'full precision' should be symmetric, positive-definite: that of component 0 is not",
    ),
    "tied": (
        {"precisions_init": -np.eye(3), "covariance_type": "tied"},
        "'tied precision' should be symmetric, positive-definite",
    ),
    "diag": (
        {"precisions_init": [[1, 1, 1], [1, 0, 1]], "covariance_type": "diag"},
        "'diag precision' should be positive: that of component 1 is not",
    ),
    "spherical": (
        {"precisions_init": [1, -1], "covariance_type": "spherical"},
        "'spherical precision' should be positive: that of component 1 is not",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_STARTS.values(), ids=BAD_STARTS)
def test_starts_that_will_not_do(arguments, message):
    model = GaussianMixture(2, **arguments)
    before = pickle.dumps(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    assert pickle.dumps(vars(model)) == before


@pytest.mark.parametrize("name", [n for n in BAD_STARTS if "nan" not in n])
def test_scikit_learns_words_come_first(name):
    arguments, _ = BAD_STARTS[name]
    said = []
    for cls in (Theirs, GaussianMixture):
        with pytest.raises(ValueError, match="should") as caught:
            cls(2, **arguments).fit(X)
        said.append(str(caught.value))
    assert said[1].startswith(said[0])


WORDS = {
    "weights": ({"weights_init": [0.5, "half"]}, "'half' (weights holds it in row 1, "),
    "means": ({"means_init": [[0, 1, 2], [0, "x", 2]]}, "'x' (means holds it in row 1, column 1, "),
    "precisions": (
        {"precisions_init": [[[1, "y", 0]] * 3] * 2},
        "'y' (full precision holds it in row 0, ",
    ),
}


@pytest.mark.parametrize(("arguments", "place"), WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_word_in_a_start_is_named_with_its_parameter_and_its_place(arguments, place, method):
    with pytest.raises(ValueError, match="counted from 0: give numbers") as caught:
        getattr(GaussianMixture(2, **arguments), method)(X)
    assert place in str(caught.value)


def test_a_word_in_given_parameters_is_named_too():
    with pytest.raises(ValueError, match=r"'a' .means holds it in row 0, column 1"):
        GaussianMixture.from_parameters([1.0], [[0, "a"]], covariances=[np.eye(2)])


def test_a_masked_entry_of_a_start_is_missing():
    means = np.ma.masked_equal([[0.0, 1.0, 2.0], [0.0, 999.0, 2.0]], 999.0)
    with pytest.raises(ValueError, match="Input means contains NaN"):
        GaussianMixture(2, means_init=means).fit(X)


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_components": 0},
        {"covariance_type": "fll"},
        {"tol": -1},
        {"reg_covar": -1e-9},
        {"max_iter": -1},
        {"n_init": 0},
        {"warm_start": "yes"},
        {"verbose_interval": 0},
        {"means_init": 3},
    ],
)
def test_scikit_learns_words_for_hyper_parameters(arguments):
    said, ours = [], {f"'{name}'" for name in FAMILIES if name not in TYPES}
    for cls in (Theirs, GaussianMixture):
        with pytest.raises(InvalidParameterError) as caught:
            cls(**arguments).fit(X)
        words = re.split(r"[ {},]+", str(caught.value).partition(" Did you mean ")[0])
        said.append(sorted(word for word in words if word not in ours))  # sets have no order
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        ({"covariance_type": "ful"}, "full"),
        ({"covariance_type": "Diagonal"}, "diag"),
        ({"covariance_type": "vvl"}, "VVV"),
        ({"init_params": "kmean"}, "kmeans"),
        ({"noise": "unifrm"}, "uniform"),
        ({"covariance_type": "zzz"}, None),
        ({"covariance_type": 3}, None),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest_and_a_sorted_list(arguments, nearest):
    (given,) = arguments.values()
    with pytest.raises(InvalidParameterError) as caught:
        GaussianMixture(**arguments).fit(X)
    message = str(caught.value)
    listed = re.findall(r"'([^']*)'", re.search("{.*}", message).group())
    assert listed == sorted(listed)
    end = f" Got {given!r} instead." + (f" Did you mean {nearest!r}?" if nearest else "")
    assert message.endswith(end)


def test_other_estimators_and_constructors_suggest_the_nearest_name_too():
    with pytest.raises(ValueError, match="Did you mean 'VVV'"):
        GaussianMixtureIC(covariance_type=["EII", "vvl"]).fit(X)
    with pytest.raises(ValueError, match="Did you mean 'spherical'"):
        GaussianMixture.from_parameters(
            [1.0], [[0.0]], covariances=[1.0], covariance_type="sphericl"
        )


NUMERIC = [
    (estimator, name)
    for estimator in (GaussianMixture, GaussianMixtureIC)
    for name, constraints in estimator._parameter_constraints.items()
    if not {"boolean", "verbose"} & {each for each in constraints if isinstance(each, str)}
]


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(("estimator", "name"), NUMERIC, ids=lambda v: getattr(v, "__name__", v))
def test_a_boolean_is_no_number(estimator, name, value):
    model = estimator(**{name: value})
    before = dict(vars(model))
    with pytest.raises(ValueError, match=f"'{name}' parameter of .* boolean|{name} must be"):
        model.fit(X)
    assert vars(model) == before


def test_a_boolean_is_no_number_elsewhere_either():
    model = GaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(TypeError, match="n_samples must be an integer, but got True"):
        model.sample(True)
    with pytest.raises(ValueError, match="n_components must be a positive integer"):
        GaussianMixtureIC([2, True]).fit(X)
    for name in ("noise", "noise_weight"):
        arguments = {"noise": 0.5, "noise_weight": 0.5, name: True}
        with pytest.raises(ValueError, match=f"^{name} "):
            GaussianMixture.from_parameters(
                [0.5], [[0.0]], covariances=[1.0], covariance_type="spherical", **arguments
            )
    for name in ("shrinkage", "dof", "mean", "scale"):
        with pytest.raises(ValueError, match=f"the prior's {name} must be .* True"):
            NormalInverseWishart(**{name: True})


def test_flags_and_the_parameters_of_subclasses_may_be_booleans():
    class Own(GaussianMixture):
        def __init__(self, n_components=1, *, flag=False, random_state=None):
            super().__init__(n_components, random_state=random_state)
            self.flag = flag

    Own(2, flag=True, random_state=0).fit(X)
    GaussianMixture(2, break_symmetry=False, verbose=False, random_state=0).fit(X)


@pytest.mark.parametrize("factor", [1.0, 1e-9, 1e-150, 1e150])
@pytest.mark.parametrize("what", ["covariances", "precisions"])
def test_symmetry_is_judged_in_the_units_of_the_features(what, factor):
    matrix = factor * np.array([[1.0, 0.5], [0.5 + 1e-3, 1.0]])
    with pytest.raises(ValueError, match="should be symmetric"):
        GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], **{what: [matrix]})
    matrix[1, 0] = matrix[0, 1] * (1 + 1e-7)
    GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], **{what: [matrix]})


def test_what_init_params_and_break_symmetry_may_be():
    with pytest.raises(InvalidParameterError, match=r"'init_params' parameter .* a callable"):
        GaussianMixture(init_params="kmean").fit(X)
    with pytest.raises(InvalidParameterError, match="'break_symmetry' parameter"):
        GaussianMixture(break_symmetry=2.5).fit(X)


def test_defaults_satisfy_the_constraints():
    # `fit` takes this for granted, and looks at other values only.
    validate_parameter_constraints(
        GaussianMixture._parameter_constraints, GaussianMixture().get_params(), "GaussianMixture"
    )


def test_questions_to_an_unfitted_estimator():
    model = GaussianMixture()
    methods = ("predict", "predict_proba", "predict_log_proba", "component_log_prob", "score")
    for method in (*methods, "score_samples"):
        with pytest.raises(NotFittedError):
            getattr(model, method)(X)
    for method in (model.sample, model.n_parameters, model.to_sklearn):
        with pytest.raises(NotFittedError):
            method()


def test_singular_components_are_named():
    labels = np.zeros(60, dtype=int)
    labels[:2] = 2
    labels[2:30] = 1
    start = {"init_params": lambda *_: labels, "reg_covar": 0}
    with pytest.raises(
        ValueError, match=r"ill-defined .* \(Singular: component 2, with reg_covar=0"
    ):
        GaussianMixture(3, **start).fit(X)
    flat = X * [1, 1, 0]
    with pytest.raises(ValueError, match=r"Singular: all, because X is constant .* in column 2"):
        GaussianMixture(3, covariance_type="tied", **start).fit(flat)
    with pytest.raises(ValueError, match="float64 data instead of float32"):
        GaussianMixture(3, **start).fit(X.astype(np.float32))


@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, lambda X: blocks([X])])
def test_a_model_made_by_hand_knows_its_width(kind):
    fitted, model = GaussianMixture(2, random_state=0).fit(X), GaussianMixture(2)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        setattr(model, name, getattr(fitted, name))
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    for width in (2, 4):
        with pytest.raises(ValueError, match=f"X has {width} features, .* expecting 3 features"):
            list(model.predict(kind(np.ones((5, width)))))
