"""`summary()`: figures against oracles of their own, and text that holds everything and fits."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from conftest import clusters, dense, fit
from numpy.testing import assert_allclose, assert_array_equal

from emgmm import GaussianMixture, GaussianMixtureIC, blocks
from emgmm.covariances import DIAGONAL, FAMILIES, ISOTROPIC
from emgmm.datasets import old_faithful
from emgmm.diagnostics.summary import MOST_PAIRS, WIDTH, aligned
from emgmm.fitting.loop import Ending
from emgmm.selection.candidates import SHOWN

LETTERS = list("abcdefghijklmnopqrstuvwxyz")
QUICK = "whitened-kmeans"  # one start for each number of components
UNCORRELATED = [
    name
    for name, family in FAMILIES.items()
    if family.most_features is None and family.structure in (DIAGONAL, ISOTROPIC)
]


def model_of(X, covariance_type="full", n_components=3, **parameters):
    model = GaussianMixture(
        n_components, covariance_type=covariance_type, random_state=0, **parameters
    )
    return fit(model, X)


def far_apart(n_features=3):
    """Rows in clusters so far apart that each belongs to one component alone."""
    random = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [50, 80, 120])
    factors = random.normal(size=(3, n_features, n_features))
    X = np.einsum("nij,nj->ni", factors[labels], random.normal(size=(250, n_features)))
    return X + 1000 * labels[:, None], labels


def noisy():
    """A model with noise, and rows of which it takes some for noise."""
    random = np.random.default_rng(0)
    X = np.concatenate([clusters(300, 2), random.uniform(-40, 40, size=(60, 2))])
    return model_of(X, noise="uniform", tol=1e-9, max_iter=1000), X


def plain(text):
    """Text without its line breaks."""
    return " ".join(text.split())


def table(text, title):
    """The lines below a title."""
    (own,) = (part for part in text.split("\n\n") if part.startswith(title))
    return own.splitlines()[1:]


# -- figures ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "covariance_type", [name for name, family in FAMILIES.items() if family.most_features is None]
)
def test_parameters_are_those_of_the_model(covariance_type):
    model = model_of(clusters(), covariance_type)
    summary = model.summary()
    assert summary.covariance_type == covariance_type
    assert_array_equal(summary.weights, model.weights_)
    assert_array_equal(summary.means, model.means_)
    variances = np.array([np.diag(covariance) for covariance in dense(model)])
    assert_allclose(summary.standard_deviations, np.sqrt(variances), rtol=1e-12)
    assert summary.noise_weight is None
    assert summary.n_parameters == model.n_parameters()
    assert summary.correlations is None


@pytest.mark.parametrize("covariance_type", ["E", "V", "full", "tied", "diag", "spherical"])
def test_of_one_feature_standard_deviations_are_roots(covariance_type):
    model = model_of(clusters(n_features=1), covariance_type)
    summary = model.summary(correlations=True)
    variances = np.broadcast_to(np.ravel(model.covariances_), 3)
    assert_allclose(summary.standard_deviations, np.sqrt(variances)[:, None], rtol=1e-12)
    assert_allclose(summary.correlations, np.ones((3, 1, 1)))
    assert "Correlations" not in str(summary)


def test_figures_of_components_are_numpys_where_each_row_belongs_to_one():
    X, labels = far_apart()
    model = model_of(X, init_params=lambda *_: labels, reg_covar=0)
    summary = model.summary(X, correlations=True)
    assert_array_equal(summary.counts, [50, 80, 120])
    for k in range(3):
        own = X[labels == k]
        assert summary.weights[k] == pytest.approx(len(own) / len(X))
        assert_allclose(summary.means[k], own.mean(axis=0), rtol=1e-10)
        assert_allclose(summary.standard_deviations[k], own.std(axis=0), rtol=1e-8)
        assert_allclose(summary.correlations[k], np.corrcoef(own.T), rtol=1e-8, atol=1e-10)
    lines = [re.split("  +", line.strip()) for line in table(str(summary), "Correlations:")]
    assert lines[0] == ["features", "0", "1", "2"]
    for pair, *cells in lines[1:]:
        i, j = (int(name[1:]) for name in pair.split(", "))
        assert cells == [f"{np.corrcoef(X[labels == k].T)[i, j]:.2f}" for k in range(3)]
    assert [line[0] for line in lines[1:]] == ["x0, x1", "x0, x2", "x1, x2"]


@pytest.mark.parametrize("covariance_type", ["tied", "EEE", "EEV", "VEE", "EVE"])
def test_correlations_are_those_of_the_covariances(covariance_type):
    model = model_of(clusters(), covariance_type)
    summary = model.summary(correlations=True)
    for covariance, found in zip(dense(model), summary.correlations, strict=True):
        factor = np.linalg.cholesky(covariance)
        unit = factor / np.linalg.norm(factor, axis=1)[:, None]
        assert_allclose(found, unit @ unit.T, atol=1e-12)
    assert "Correlations:" in str(summary)
    assert "<caption>Correlations</caption>" in summary._repr_html_()


@pytest.mark.parametrize("covariance_type", UNCORRELATED)
def test_without_correlations_in_the_family_none_are_shown(covariance_type):
    summary = model_of(clusters(), covariance_type).summary(correlations=True)
    assert_allclose(summary.correlations, np.tile(np.eye(3), (3, 1, 1)), rtol=1e-15)
    assert "orrelations" not in str(summary)
    assert "orrelations" not in summary._repr_html_()


def test_of_many_pairs_the_strongest_are_shown():
    covariances = np.tile(np.eye(12), (2, 1, 1))
    covariances[1, 2, 7] = covariances[1, 7, 2] = -0.9
    covariances[0, 4, 5] = covariances[0, 5, 4] = 0.8
    model = GaussianMixture.from_parameters([0.5, 0.5], np.zeros((2, 12)), covariances=covariances)
    lines = table(str(model.summary(correlations=True)), f"The {MOST_PAIRS} strongest of 66")
    assert len(lines) == 1 + MOST_PAIRS
    assert lines[1].split() == ["x2,", "x7", "0.00", "-0.90"]
    assert lines[2].split() == ["x4,", "x5", "0.80", "0.00"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("noise", [False, True])
def test_rows_are_counted_by_their_labels(weighted, noise):
    model, X = noisy() if noise else (model_of(clusters(n_features=2)), clusters(n_features=2))
    weights = np.random.default_rng(1).uniform(0, 3, len(X)) if weighted else None
    labels = model.predict(X)
    assert (labels == -1).any() == noise
    lines = 3 + noise
    expected = np.bincount(np.where(labels < 0, 3, labels), weights, minlength=lines)
    found = model.summary(X, sample_weight=weights)
    assert_allclose(found.counts, expected, rtol=1e-12)
    (line,) = (x for x in str(found).splitlines() if x.split()[:1] == ["rows"])
    assert_allclose([float(cell) for cell in line.split()[1:]], expected, rtol=1e-5)
    share = found.log_likelihood / (len(X) if weights is None else weights.sum())
    assert f"({share:.6f} per row)" in plain(str(found))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("noise", [False, True])
def test_the_likelihood_and_the_criteria_are_those_of_the_methods(weighted, noise):
    model, X = noisy() if noise else (model_of(clusters(), tol=1e-9, max_iter=500), clusters())
    weights = np.random.default_rng(1).uniform(0, 3, len(X)) if weighted else np.ones(len(X))
    summary = model.summary(X, sample_weight=weights)
    assert summary.log_likelihood == pytest.approx(weights @ model.score_samples(X), rel=1e-12)
    assert summary.bic == model.bic(X, sample_weight=weights)
    assert summary.icl == model.icl(X, sample_weight=weights)
    text = plain(str(summary))
    assert f"Log-likelihood {summary.log_likelihood:.4f} (" in text
    assert f"{model.n_parameters()} free parameters" in text
    assert f"BIC {summary.bic:.4f}, ICL {summary.icl:.4f} (lower is better)" in text


@pytest.mark.parametrize("n_rows", [999_999, 1_234_567])
def test_rows_are_whole_numbers_in_the_text(n_rows):
    model = GaussianMixture.from_parameters([1.0], [[0.0]], covariances=[1.0], covariance_type="V")
    summary = model.summary([[0.0]], sample_weight=[float(n_rows)])
    assert str(n_rows) in str(summary).split()
    assert "0.123457" in str(model.summary([[0.0]], sample_weight=[0.123456789])).split()


def test_without_rows_nothing_is_said_of_them():
    summary = model_of(clusters()).summary()
    for figure in (summary.counts, summary.log_likelihood, summary.bic, summary.icl):
        assert figure is None
    for text in (str(summary), summary._repr_html_()):
        assert "29 free parameters." in text
        for word in ("rows", "per row", "Log-likelihood", "BIC", "ICL", "None", "nan"):
            assert word not in text
    assert "rows" not in summary.to_frame()


@pytest.mark.parametrize("max_iter", [0, 1, 200])
def test_how_em_ended_is_said(max_iter):
    model = model_of(clusters(), max_iter=max_iter)
    expected = {0: "START_ONLY", 1: "MAX_ITER", 200: "CONVERGED"}[max_iter]
    summary = model.summary()
    assert summary.ending is model.ending_ is Ending[expected]
    assert summary.n_iter == model.n_iter_
    found = plain(str(summary))
    iterations = "1 iteration" if max_iter == 1 else f"{model.n_iter_} iterations"
    made = f"EM ended after {iterations} ({expected}). {model.ending_.sentence}"
    assert (made in found) == (max_iter > 0)
    assert model.ending_.sentence in found


def test_one_is_singular():
    model = GaussianMixture.from_parameters([1.0], [[0.0]], covariances=[1.0], covariance_type="V")
    assert str(model.summary()).startswith("Gaussian mixture of 1 component in 1 feature: V (")


# -- where models and rows come from ------------------------------------------------------------
def test_parameters_that_were_given():
    model = GaussianMixture.from_parameters(
        [0.25, 0.5],
        [[0.0, 1.0], [4.0, -2.0]],
        covariances=[[[4.0, 3.0], [3.0, 9.0]], np.eye(2)],
        feature_names=["width", "height"],
        noise=1e-3,
        noise_weight=0.25,
    )
    summary = model.summary(correlations=True)
    assert summary.feature_names == ("width", "height")
    assert_array_equal(summary.standard_deviations, [[2, 3], [1, 1]])
    assert_allclose(summary.correlations[:, 0, 1], [0.5, 0])
    assert summary.noise_weight == 0.25
    assert summary.ending is Ending.GIVEN
    assert table(str(summary), "Means")[0].split() == ["component", "0", "1", "noise"]
    assert table(str(summary), "Means")[1].split() == ["weight", "0.2500", "0.5000", "0.2500"]


def test_float32():
    X = clusters().astype(np.float32)
    model = model_of(X)
    summary = model.summary(X, correlations=True)
    arrays = (summary.weights, summary.means, summary.standard_deviations, summary.correlations)
    assert all(array.dtype == np.float64 for array in arrays)
    variances = np.diagonal(model.covariances_.astype(float), axis1=1, axis2=2)
    assert_allclose(summary.standard_deviations, np.sqrt(variances), rtol=1e-12)
    assert summary.bic == model.bic(X)
    assert "np." not in str(summary)


def test_names_are_those_of_a_table():
    X = pd.DataFrame(clusters(), columns=["length", "width", "height"])
    summary = model_of(X).summary(X)
    assert summary.feature_names == ("length", "width", "height")
    assert [line.split()[0] for line in table(str(summary), "Means")[3:]] == list(X.columns)
    assert model_of(clusters()).summary().feature_names == ("x0", "x1", "x2")


def test_blocks_are_summarized_as_the_whole_is():
    X = clusters()
    model = model_of(X)
    found = model.summary(blocks(lambda: iter([X[:150], X[150:]])))
    whole = model.summary(X)
    assert_array_equal(found.counts, whole.counts)
    for figure in ("log_likelihood", "bic", "icl"):
        assert getattr(found, figure) == pytest.approx(getattr(whole, figure), rel=1e-12)


def test_only_what_is_fitted_has_a_summary():
    for model in (GaussianMixture(), GaussianMixtureIC()):
        with pytest.raises(ValueError, match="not fitted"):
            model.summary()


# -- text ---------------------------------------------------------------------------------------
def many(names):
    """A model of 9 components in as many features as there are names, and rows."""
    random = np.random.default_rng(0)
    D = len(names)
    factors = random.normal(size=(9, D, D)) * 10.0 ** random.integers(-4, 5, D)[:, None]
    model = GaussianMixture.from_parameters(
        np.full(9, 1 / 9),
        random.normal(size=(9, D)) * 1e4,
        covariances=factors @ factors.transpose(0, 2, 1),
        feature_names=names,
    )
    return model, model.sample(50)[0]


@pytest.mark.parametrize("length", [1, 12, 40, 41, 98, 99, 300])
def test_text_has_every_name_and_every_figure_in_lines_of_at_most_100_columns(length):
    names = [f"n{j:02}" + (length - 3) * LETTERS[j % 26] for j in range(30)]
    model, X = many(names)
    summary = model.summary(pd.DataFrame(X, columns=names), correlations=True)
    text = str(summary)
    assert max(map(len, text.splitlines())) <= WIDTH == 100
    assert text == repr(summary)
    lines = table(text, "Means")
    joined = "".join(line.strip() for line in lines)
    assert all(name in joined for name in names)
    # Parts stand one below the other; in each, features follow one another.
    parts = [line.split()[1:] for line in lines if line.split()[0] == "component"]
    assert [cell for part in parts for cell in part] == [str(k) for k in range(9)]
    cells = iter(re.findall(r"(?<= )(-?[\d.]+(?:e[+-]\d+)?) \(([\d.]+(?:e[+-]\d+)?)\)", text))
    for part in parts:
        for j in range(30):
            for k in map(int, part):
                mean, sd = map(float, next(cells))
                wanted = summary.standard_deviations[k, j]
                assert sd == pytest.approx(wanted, rel=5.1e-3)
                assert mean == pytest.approx(summary.means[k, j], abs=5.1e-3 * wanted)
    counted = Counter(re.findall(r"n\d\d", joined))
    assert set(counted.values()) == {len(parts)}


@pytest.mark.parametrize("words", [3, 20, 80])
def test_names_of_words_are_broken_between_them(words):
    names = [
        " ".join([f"feature {j}", *(LETTERS[j] * (3 + i % 7) for i in range(words))])
        for j in range(4)
    ]
    text = str(many(names)[0].summary(correlations=True))
    assert max(map(len, text.splitlines())) <= WIDTH
    for j, name in enumerate(names):
        assert f" {name} " in plain(text)
        for other in names[j + 1 :]:
            assert f" {name}, {other} " in plain(text)


def test_long_sentences_are_folded():
    model = GaussianMixture(2, prior="conjugate", random_state=0)
    X = np.column_stack([clusters(60, 2), clusters(60, 2) @ [1, 2]])  # collinear columns
    summary = fit(model.set_params(max_iter=2), X).summary(X)
    assert summary.ending is Ending.MAX_ITER
    assert len(f"EM ended after 2 iterations (MAX_ITER). {summary.ending.sentence}") > WIDTH
    assert max(map(len, str(summary).splitlines())) <= WIDTH
    assert summary.ending.sentence in plain(str(summary))


def test_parts_of_a_table_are_as_wide_as_the_page():
    """Two spaces and four letters of a name, and two columns of 47 with the spaces before them."""
    heading, row = ["name", "a", "b"], ["x", 45 * "1", 45 * "2"]
    lines = aligned(heading, [row]).splitlines()
    assert [len(line) for line in lines] == [WIDTH] * 2
    assert len(aligned(heading, [[*row[:2], 46 * "2"]]).splitlines()) == 4


def test_a_mixture_that_no_fit_made_has_no_ending():
    model = GaussianMixture()
    model.weights_, model.means_ = np.array([1.0]), np.array([[0.0]])
    model.covariances_ = np.array([[[1.0]]])
    summary = model.summary()
    assert (summary.ending, summary.n_iter) == (None, 0)


def test_small_standard_deviations_have_three_digits():
    model = GaussianMixture.from_parameters(
        np.full(5, 0.2),
        [[1234.5678], [1.0], [1e12], [3.0], [-7.0]],
        covariances=[1e-4**2, 250.0**2, 1.0, 1e-12**2, 1e10**2],
        covariance_type="V",
    )
    line = table(str(model.summary()), "Means")[2]
    wanted = "x0 1234.567800 (0.000100) 1 (250) 1e+12 (1) 3 (1e-12) -7 (1e+10)"
    assert " ".join(line.split()) == wanted


# -- tables -------------------------------------------------------------------------------------
def test_a_frame_has_a_row_for_each_component_and_for_noise():
    model, X = noisy()
    frame = model.summary(X).to_frame()
    assert list(frame.index) == ["0", "1", "2", "noise"]
    assert frame.index.name == "component"
    assert list(frame) == ["weight", "rows", "mean x0", "mean x1", "sd x0", "sd x1"]
    assert_allclose(frame["weight"], [*model.weights_, model.noise_weight_], rtol=1e-12)
    assert frame["weight"].sum() == pytest.approx(1)
    assert frame["rows"].sum() == len(X)
    assert_allclose(frame[["mean x0", "mean x1"]][:3], model.means_)
    sds = np.sqrt([np.diag(covariance) for covariance in model.covariances_])
    assert_allclose(frame[["sd x0", "sd x1"]][:3], sds)
    assert frame.loc["noise"].drop(["weight", "rows"]).isna().all()


def test_a_frame_without_noise_or_rows():
    X = pd.DataFrame(clusters(n_features=2), columns=["a", "b"])
    frame = model_of(X).summary().to_frame()
    assert list(frame.index) == ["0", "1", "2"]
    assert list(frame) == ["weight", "mean a", "mean b", "sd a", "sd b"]
    assert not frame.isna().any(axis=None)


def test_features_of_the_same_name_have_a_column_each():
    model = GaussianMixture.from_parameters(
        [1.0],
        [[1.0, 2.0]],
        covariances=[[1.0, 4.0]],
        covariance_type="diag",
        feature_names=["a", "a"],
    )
    frame = model.summary().to_frame()
    assert list(frame) == ["weight", "mean a", "mean a", "sd a", "sd a"]
    assert frame.iloc[0].tolist() == [1, 1, 2, 1, 2]


def test_names_are_escaped_on_a_page():
    X = pd.DataFrame(clusters(n_features=2), columns=["<b>&", "</table>"])
    page = model_of(X).summary(X, correlations=True)._repr_html_()
    assert "<th>&lt;b&gt;&amp;</th>" in page
    assert "<th>&lt;/table&gt;</th>" in page
    assert "<th>&lt;b&gt;&amp;, &lt;/table&gt;</th>" in page
    assert "<b>" not in page
    assert page.count("</table>") == page.count("<table>") == 2


def test_a_page_has_what_the_text_has():
    model, X = noisy()
    summary = model.summary(X, correlations=True)
    words = re.sub("<[^>]*>", " ", summary._repr_html_()).split()
    expected = re.sub(r":\n  |\n", " ", str(summary)).split()
    assert Counter(word.rstrip(":") for word in words) == Counter(
        word.rstrip(":") for word in expected
    )


# -- a choice -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def chosen():
    X = old_faithful().rows
    grid = GaussianMixtureIC(range(1, 5), covariance_type=["EII", "VII", "EEE", "VVV"])
    return fit(grid.set_params(init_params=QUICK, random_state=0), X), X


def best(results, criterion):
    """The best candidates, each model once."""
    frame = pd.DataFrame(results)[["n_components", "covariance_type", criterion]]
    frame["model"] = frame["covariance_type"]
    # With one component the two spherical families are one model, and so are the two others.
    same = {"EII": "spheres", "VII": "spheres", "EEE": "ellipsoids", "VVV": "ellipsoids"}
    one = frame["n_components"] == 1
    frame.loc[one, "model"] = frame.loc[one, "covariance_type"].map(same)
    frame = frame[results["sound"]].drop_duplicates(["n_components", "model"])
    frame = frame.sort_values(criterion).drop(columns="model")[:SHOWN]
    return [tuple(row) for row in frame.itertuples(index=False)]


def assert_are_best(summary, results, criterion):
    wanted = best(results, criterion)
    found = summary.candidates[criterion]
    assert [line[:2] for line in found] == [line[:2] for line in wanted]
    assert_allclose([line[2] for line in found], [line[2] for line in wanted], rtol=1e-13)
    least = wanted[0][2]
    assert_allclose([line[3] for line in found], [line[2] - least for line in wanted], atol=1e-9)
    lines = table(str(summary), f"The best candidates by {criterion.upper()}:")
    assert lines[0].split() == ["model", "components", criterion.upper(), "difference"]
    assert [line.split() for line in lines[1:]] == [
        [name, str(K), f"{value:.2f}", f"{value - least:.2f}"] for K, name, value in wanted
    ]


@pytest.mark.parametrize("criterion", ["bic", "icl"])
def test_the_best_three_candidates_by_each_criterion(chosen, criterion):
    grid, X = chosen
    summary = grid.summary(X)
    assert len(summary.candidates[criterion]) == SHOWN == 3
    assert_are_best(summary, grid.results_, criterion)


@pytest.mark.parametrize("criterion", ["bic", "icl"])
def test_the_same_model_is_listed_once(criterion):
    names = ["EII", "VII", "EEE", "VVV"]
    grid = fit(
        GaussianMixtureIC(1, covariance_type=names, init_params=QUICK, random_state=0),
        old_faithful().rows,
    )
    summary = grid.summary()
    assert [line[:2] for line in summary.candidates[criterion]] == [(1, "EEE"), (1, "EII")]
    assert_are_best(summary, grid.results_, criterion)


def test_a_summary_of_a_choice_is_that_of_the_best_estimator(chosen):
    grid, X = chosen
    summary, own = grid.summary(X, correlations=True), grid.best_estimator_.summary(X)
    for figure in ("covariance_type", "log_likelihood", "bic", "icl", "n_iter", "n_parameters"):
        assert getattr(summary, figure) == getattr(own, figure)
    assert summary.ending is own.ending is not None
    assert_array_equal(summary.means, grid.means_)
    assert_array_equal(summary.standard_deviations, own.standard_deviations)
    assert_array_equal(summary.counts, np.bincount(grid.predict(X)))
    assert summary.bic == pytest.approx(grid.results_["bic"][grid.best_index_], rel=1e-12)
    assert own.candidates == {}
    assert list(summary.candidates) == ["bic", "icl"]


def test_names_reach_the_summary_of_a_choice():
    X = pd.DataFrame(old_faithful().rows, columns=["eruptions", "waiting"])
    grid = fit(GaussianMixtureIC(2, covariance_type="EEE", init_params=QUICK, random_state=0), X)
    assert grid.summary().feature_names == ("eruptions", "waiting")


def test_it_is_noted_where_more_components_may_be_better(chosen):
    X, most = chosen[1], "The number of components is the largest that was tried"
    assert chosen[0].best_params_["n_components"] == 3
    for numbers, noted in ((range(1, 5), False), ([2, 1], True), (1, False)):
        grid = chosen[0]
        if numbers != range(1, 5):
            grid = fit(
                GaussianMixtureIC(
                    numbers, covariance_type="VVV", init_params=QUICK, random_state=0
                ),
                X,
            )
        summary = grid.summary(X)
        assert any(note.startswith(most) for note in summary.notes) == noted
        assert (most in plain(str(summary))) == noted
        assert (most in summary._repr_html_()) == noted


def test_it_is_noted_where_no_candidate_is_sound():
    X = np.repeat(np.random.default_rng(0).normal(size=(6, 2)), 2, axis=0)
    grid = GaussianMixtureIC(4, covariance_type="diag", reg_covar=1e-6, random_state=0)
    summary = fit(grid, X).summary()
    (reason,) = grid.results_["reason"]
    assert "collapsed" in reason
    assert f"No candidate is sound. This one: {reason}." in plain(str(summary))
    assert len(summary.candidates["bic"]) == 1
