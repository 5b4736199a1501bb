"""The report and its certificate: verdicts on points of which the truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import TYPES, clusters, fit, given_start
from long_form import em_in_long_form, own_start
from scipy.stats import entropy

from emgmm import Diagnosis, EMWarning, GaussianMixture, NormalInverseWishart, Verdict
from emgmm.datasets import old_faithful, question

types = pytest.mark.parametrize("covariance_type", TYPES)
X = clusters()


def sound(covariance_type="full", **more):
    arguments = {"tol": 1e-11, "max_iter": 3000, "random_state": 0, **more}
    return fit(GaussianMixture(3, covariance_type=covariance_type, **arguments), X)


@types
def test_the_questions_point_is_a_saddle_whose_rate_is_known(covariance_type):
    """There EM multiplies a small shift of the means by S Sigma^-1: 1 or, in diag and spherical, 1.86."""
    rows = question().rows
    model = fit(own_start(covariance_type, tol=0, max_iter=10), rows)
    diagnosis = model.diagnose(rows, certify=True)
    assert diagnosis.verdict is Verdict.SADDLE
    assert diagnosis.direction == "a split of components 0 and 1"
    scatter = np.cov(rows.T, ddof=0)
    spread = {"diag": np.diag(np.diag(scatter)), "spherical": np.eye(2) * np.trace(scatter) / 2}
    expected = np.linalg.eigvals(scatter @ np.linalg.inv(spread.get(covariance_type, scatter)))
    # In full, a change of the covariances grows faster than one of the means.
    assert diagnosis.rate > expected.real.max() - 1e-3
    if covariance_type != "full":
        assert diagnosis.rate == pytest.approx(expected.real.max(), abs=1e-3)
    best = fit(
        GaussianMixture(2, covariance_type=covariance_type, reg_covar=0, random_state=0), rows
    )
    assert diagnosis.gain == pytest.approx(best.lower_bound_ - model.lower_bound_, abs=1e-3)
    assert diagnosis.coincident == [(0, 1)]
    assert diagnosis.overlapping == [(0, 1)]
    np.testing.assert_allclose(diagnosis.overlap, 1.0)
    assert diagnosis.entropy == pytest.approx(np.log(2))


@types
def test_a_converged_fit_is_a_local_maximum(covariance_type):
    model = sound(covariance_type)
    diagnosis = model.diagnose(X, certify=True)
    assert diagnosis.verdict is Verdict.LOCAL_MAXIMUM
    assert diagnosis.step < 1e-4
    assert not diagnosis.offending()
    assert diagnosis.overlapping == []


def packed_parameters(weights, means, covariances):
    upper = np.triu_indices(len(means[0]))
    return np.concatenate(
        [weights[:-1], np.ravel(means), *(c[upper] for c in np.array(covariances))]
    )


def unpacked(vector, K, D):
    weights = np.append(vector[: K - 1], 1 - vector[: K - 1].sum())
    means = vector[K - 1 : K - 1 + K * D].reshape(K, D)
    covariances = np.zeros((K, D, D))
    upper = np.triu_indices(D)
    for covariance, part in zip(covariances, vector[K - 1 + K * D :].reshape(K, -1), strict=True):
        covariance[upper] = part
        covariance.T[upper] = part
    return weights, means, covariances


@pytest.mark.parametrize(("data", "K"), [("saddle", 2), ("faithful", 2), ("faithful", 3)])
def test_the_rate_is_the_largest_eigenvalue_of_ems_jacobian(data, K):
    """The Jacobian by central differences of EM in long form, one parameter at a time."""
    rows = question().rows[::4] if data == "saddle" else old_faithful().rows
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    if data == "saddle":
        given = [0.5, 0.5], [[0.0, 0.0]] * 2
        model = GaussianMixture.from_parameters(*given, covariances=[np.cov(rows.T, ddof=0)] * 2)
        model.reg_covar = 0
    else:
        model = GaussianMixture(K, reg_covar=0, tol=1e-14, max_iter=9999, random_state=0)
        fit(model, rows)
    point = packed_parameters(model.weights_, model.means_, model.covariances_)

    def em(vector):
        return packed_parameters(*em_in_long_form(rows, *unpacked(vector, K, 2), 1))

    jacobian = np.stack([(em(point + e) - em(point - e)) / 2e-5 for e in 1e-5 * np.eye(len(point))])
    expected = np.abs(np.linalg.eigvals(jacobian)).max()
    assert model.diagnose(rows, certify=True).rate == pytest.approx(expected, abs=0.02)


def test_a_fit_that_tol_cut_short_is_still_moving():
    rows = old_faithful().rows
    model = GaussianMixture(3, random_state=0).fit(rows)
    diagnosis = model.diagnose(rows, certify=True)
    assert diagnosis.verdict is Verdict.MOVING
    assert diagnosis.remaining_gain == model.remaining_gain_ > 0


def test_two_components_on_one_gaussian_are_flat():
    rows = np.random.default_rng(0).normal(size=(3000, 2))
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], [rows.mean(axis=0)] * 2, covariances=[np.cov(rows.T, ddof=0)] * 2
    )
    diagnosis = model.diagnose(rows, certify=True)
    assert diagnosis.coincident == [(0, 1)]
    assert diagnosis.verdict in (Verdict.FLAT, Verdict.SADDLE)
    assert diagnosis.gain < 2e-3


@types
@pytest.mark.parametrize("certify", [False, True])
def test_passes_spent_are_counted_and_bounded(covariance_type, certify, spy, monkeypatch):
    model = sound(covariance_type)
    monkeypatch.setattr(spy, "passes", 0)
    diagnosis = model.diagnose(X, certify=certify)
    assert diagnosis.extra_passes == spy.passes
    assert diagnosis.extra_passes <= (78 if certify else 3)


def test_figures_are_what_they_say():
    model = sound("full")
    diagnosis = model.diagnose(X)
    shares = model.predict_proba(X)
    np.testing.assert_allclose(diagnosis.mass, shares.sum(axis=0))
    assert diagnosis.entropy == pytest.approx(np.mean(entropy(shares, axis=1)))
    lengths = np.linalg.norm(shares, axis=0)
    np.testing.assert_allclose(diagnosis.overlap, shares.T @ shares / np.outer(lengths, lengths))
    np.testing.assert_allclose(diagnosis.condition_numbers, np.linalg.cond(model.covariances_))
    assert diagnosis.verdict is Verdict.UNTRIED
    assert diagnosis.remaining_gain is model.remaining_gain_ or (
        diagnosis.remaining_gain == pytest.approx(model.remaining_gain_, nan_ok=True)
    )


def test_overlapping_components_are_in_the_report_and_in_no_warning():
    rows = np.random.default_rng(0).normal(size=(400, 2)) * [3, 1]
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], [[-1, 0], [1, 0]], covariances=[np.diag([8.0, 1.0])] * 2
    )
    assert model.diagnose(rows).overlapping == [(0, 1)]


def test_collapsed_and_starved_components_are_in_the_report():
    rows = np.concatenate([clusters(100, 2, 2), np.zeros((30, 2))])
    model = fit(
        GaussianMixture(
            3, init_params=lambda r, *_: np.where(np.arange(130) < 100, r[:, 0] > 0, 2).astype(int)
        ),
        rows,
    )
    diagnosis = model.diagnose(rows)
    assert 2 in diagnosis.collapsed
    lonely = GaussianMixture.from_parameters(
        [0.999, 0.001], [rows.mean(axis=0), [1e3, 1e3]], covariances=[np.cov(rows.T), np.eye(2)]
    )
    assert lonely.diagnose(rows).starved == [1]


def test_text_page_and_dictionary_agree():
    rows = question().rows
    diagnosis = fit(own_start(tol=0, max_iter=5), rows).diagnose(rows, certify=True)
    for shown in (str(diagnosis), repr(diagnosis), diagnosis._repr_html_()):
        assert "A saddle: a finite move increases the likelihood" in shown
        assert "components 0 and 1" in shown
    names = [line for line in str(diagnosis).splitlines() if not line.startswith(" ")]
    assert len(names) == diagnosis._repr_html_().count("<tr>")
    assert max(map(len, str(diagnosis).splitlines())) <= 100
    named = diagnosis.to_dict()
    assert named["verdict"] == "SADDLE"
    assert named["coincident"] == [(0, 1)]
    assert set(named) >= {"mass", "overlap", "entropy", "rate", "remaining_gain", "extra_passes"}
    json.dumps({k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in named.items()})


def test_text_names_the_components_of_each_condition():
    rows = question().rows
    met = str(fit(own_start(tol=0, max_iter=5), rows).diagnose(rows)).splitlines()
    sound_fit = str(sound().diagnose(X)).splitlines()
    for condition in ("Coincident", "Overlapping"):
        assert f"{condition:19}components 0 and 1" in met
    for condition in ("Collapsed", "Starved"):
        assert f"{condition:19}none" in met
    for condition in ("Coincident", "Collapsed", "Starved", "Overlapping"):
        assert f"{condition:19}none" in sound_fit


def test_every_verdict_has_a_sentence_of_its_own():
    assert len({verdict.sentence for verdict in Verdict}) == len(Verdict)


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_the_picture(n_features):
    from matplotlib.figure import Figure

    rows = clusters(150, n_features, 2)
    model = fit(GaussianMixture(2, random_state=0), rows)
    diagnosis = model.diagnose(rows)
    components = diagnosis.plot()
    figure = components.figure
    assert len(figure.axes) == 2
    beside = figure.axes[1]
    np.testing.assert_allclose(beside.lines[0].get_ydata(), model.history_["objective"])
    assert [text.get_text() for text in components.texts] == ["0", "1"]
    second = "density" if n_features == 1 else "feature 1"
    assert (components.get_xlabel(), components.get_ylabel()) == ("feature 0", second)
    figure.clear()
    own = Figure().add_subplot()
    assert diagnosis.plot(own) is own
    drawn = own.lines[0].get_xydata()
    np.testing.assert_allclose(drawn[:, :n_features], rows[:, : len(drawn[0])][:, :2])
    assert len(own.lines) == (3 if n_features == 1 else 1)


def test_the_picture_of_a_large_table_shows_a_sample_of_its_rows():
    rows = clusters(2500, 2, 2)
    model = fit(GaussianMixture(2, random_state=0), rows)
    drawn = model.diagnose(rows).plot().lines[0].get_xydata()
    assert len(drawn) == 2000
    assert set(map(tuple, drawn)) <= set(map(tuple, rows))


def test_a_start_far_below_is_not_in_the_picture():
    rows = clusters(150, 2, 2)
    far = GaussianMixture(2, precisions_init=[1e6 * np.eye(2)] * 2, random_state=0)
    objective = fit(far, rows).history_["objective"]
    beside = far.diagnose(rows).plot().figure.axes[1]
    low, high = beside.get_ylim()
    assert objective[0] < low < objective[1:].min()
    assert objective.max() < high < 0
    assert "begins below" in beside.texts[0].get_text()


def test_offending_components_are_red():
    rows = question().rows
    diagnosis = fit(own_start(tol=0, max_iter=5), rows).diagnose(rows)
    ax = diagnosis.plot()
    assert {patch.get_edgecolor() for patch in ax.patches} == {(0.8, 0.0, 0.0, 1.0)}
    assert ax.get_title() == "Coincident: components 0 and 1"


def test_a_report_needs_a_fit_and_changes_nothing():
    model = sound("full")
    before = model.means_.copy()
    assert isinstance(model.diagnose(X, certify=True), Diagnosis)
    np.testing.assert_array_equal(model.means_, before)
    with pytest.raises(ValueError, match="3 features"):
        model.diagnose(X[:, :2])


def test_warnings_are_of_one_class():
    with pytest.warns(EMWarning) as caught:
        own_start(tol=1e-3, max_iter=5).fit(question().rows)
    assert caught[0].message.components == ((0, 1),)


PLANTED = [
    (1, 2, "full", float),
    (2, 3, "tied", float),
    (3, 4, "diag", float),
    (5, 3, "spherical", np.float32),
    (8, 5, "full", np.float32),
    (20, 2, "diag", float),
    (2, 10, "spherical", float),
]


@pytest.mark.parametrize(("n_features", "n_components", "covariance_type", "dtype"), PLANTED)
def test_identical_components_are_a_saddle_and_too_close_to_tell(
    n_features, n_components, covariance_type, dtype
):
    rows = clusters(400, n_features, n_components, seed=n_features, spread=6).astype(dtype)
    start = given_start(rows, n_components, covariance_type)
    start["means_init"] = np.tile(rows.mean(axis=0), (n_components, 1))
    model = fit(GaussianMixture(**start, break_symmetry=False, max_iter=20), rows)
    diagnosis = model.diagnose(rows, certify=True)
    assert diagnosis.verdict is Verdict.SADDLE
    assert diagnosis.gain > 1e-3
    everyone = tuple(range(n_components))
    assert diagnosis.coincident == [everyone]
    assert len(diagnosis.overlapping) == n_components * (n_components - 1) // 2


@pytest.mark.parametrize(("n_features", "n_components", "covariance_type", "dtype"), PLANTED)
def test_clear_clusters_are_no_saddle_and_can_be_told_apart(
    n_features, n_components, covariance_type, dtype
):
    random = np.random.default_rng(n_features)
    means = 12.0 * np.arange(n_components)[:, None] * np.ones(n_features)
    rows = np.repeat(means, 80, axis=0) + random.normal(size=(80 * n_components, n_features))
    rows = rows.astype(dtype)
    labels = np.repeat(np.arange(n_components), 80)
    model = GaussianMixture(
        n_components, covariance_type=covariance_type, tol=1e-9, init_params=lambda *_: labels
    )
    diagnosis = fit(model, rows).diagnose(rows, certify=True)
    assert diagnosis.verdict is Verdict.LOCAL_MAXIMUM
    assert diagnosis.overlapping == []
    assert diagnosis.entropy < 1e-3


DEGENERATE = {
    "repeated rows": np.repeat(clusters(4, 2), 10, axis=0),
    "as many rows as components": clusters(3, 2),
    "one row, repeated": np.ones((20, 2)),
    "indicators": np.eye(3)[np.arange(60) % 3][:, :2],
}


@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "VEI"])
@pytest.mark.parametrize("prior", [None, "conjugate"])
@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_degenerate_rows_have_a_report_with_a_verdict(kind, covariance_type, prior):
    rows = DEGENERATE[kind]
    if prior is not None and np.ptp(rows, axis=0).min() == 0:
        prior = NormalInverseWishart(scale=np.eye(2))
    model = GaussianMixture(3, covariance_type=covariance_type, prior=prior, random_state=0)
    model.fit(rows)
    with np.errstate(divide="raise", invalid="raise"):
        diagnosis = model.diagnose(rows, certify=True)
    assert diagnosis.verdict is not Verdict.UNTRIED
    assert not diagnosis.rate < 0
    assert diagnosis.gain >= 0


def test_a_next_step_to_a_singular_covariance_is_a_move():
    """EM goes from a sound mixture to two components of which each has a single row."""
    rows = np.array([[0.0], [1.0]])
    model = GaussianMixture.from_parameters([0.5, 0.5], rows, covariances=[[[1e-3]], [[1e-3]]])
    diagnosis = model.set_params(reg_covar=0).diagnose(rows, certify=True)
    assert diagnosis.verdict is Verdict.MOVING


@pytest.mark.parametrize("certify", [False, True])
def test_rows_of_which_nothing_was_observed_have_no_report(certify):
    model = sound()
    with pytest.raises(ValueError, match="X has no observed value in any row of positive weight"):
        model.diagnose(np.full_like(X, np.nan), certify=certify)


@pytest.mark.filterwarnings("ignore::emgmm.EMWarning")
def test_dependent_rows_that_are_nearly_all_noise_have_a_report():
    """Of the total covariance that is left for the components only rounding errors remain."""
    random = np.random.default_rng(19)
    amounts = np.exp(2 * random.normal(size=(78, 3)))
    rows = np.column_stack([amounts, amounts.sum(axis=1)]) * 1e3 ** np.arange(4)
    rows[random.random(rows.shape) < 0.3] = np.nan
    means = np.nanmean(rows, axis=0) * np.array([[1.0], [2.0], [0.5]])
    model = GaussianMixture(
        3, covariance_type="EEE", max_iter=0, noise=1e200, means_init=means, random_state=0
    ).fit(rows)
    assert model.diagnose(rows).collapsed == [0, 1, 2]
