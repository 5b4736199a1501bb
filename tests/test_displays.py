"""Pictures: what they show, against scipy and eigenvalues; how they look, against stored images."""

from __future__ import annotations

import copy
import pickle
import sys
from functools import partial

import matplotlib as mpl
import numpy as np
import pytest
from conftest import clusters, fit
from matplotlib.figure import Figure
from matplotlib.image import imread
from pictures import (
    SCENES,
    criterion,
    drawn,
    history,
    mixture,
    path_of,
    several_starts,
    with_noise,
)
from scipy import stats
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture as Theirs

from emgmm import (
    ConvergenceDisplay,
    GaussianMixture,
    GaussianMixtureDisplay,
    InformationCriterionDisplay,
    blocks,
    prediction,
)
from emgmm.datasets import question
from emgmm.drawing import GREY
from emgmm.plotting import panels
from emgmm.plotting.convergence import NO_STARTS
from emgmm.plotting.criterion import competitive_range
from emgmm.plotting.marginal import Marginal

of_mixture = GaussianMixtureDisplay.from_estimator

# What a blurred pixel may differ by, of 255: twice what storing 256 colours costs, and less than
# the thinnest ellipse that is missing.
LIMIT = 12


@pytest.fixture(autouse=True)
def own_style(monkeypatch):
    """matplotlib's own style, whatever the user's is; no window, and no figure is left open."""
    from matplotlib import pyplot as plt

    with mpl.rc_context():
        mpl.rcdefaults()
        plt.switch_backend("agg")
        yield
        plt.close("all")


def panel():
    return Figure(figsize=(3, 2.4), layout="constrained").add_subplot()


def named(artists, name):
    return [artist for artist in artists if type(artist).__name__ == name]


def said(ax):
    return "\n".join(text.get_text() for text in ax.texts)


def points_of(ax):
    """What is drawn of rows: markers without a line."""
    return [line for line in ax.lines if line.get_ls() == "None"]


def blurred(image):
    return gaussian_filter(image.astype(float), (1.5, 1.5, 0))


def difference(one, other):
    return np.abs(blurred(one) - blurred(other)).max()


# -- how they look ------------------------------------------------------------------------------
@pytest.mark.parametrize("scene", list(SCENES))
def test_a_picture_looks_as_it_did(scene):
    stored = 255 * imread(path_of(scene))[..., :3]
    assert stored.shape == (240, 300, 3)
    assert difference(stored, drawn(scene)) < LIMIT


@pytest.mark.parametrize("number", range(9))
def test_an_ellipse_that_is_missing_is_seen(number):
    def spoil(figure):
        named(figure.axes[0].patches, "Ellipse")[number].set_visible(False)

    stored = 255 * imread(path_of("ellipses"))[..., :3]
    assert difference(stored, drawn("ellipses", spoil)) > 4 * LIMIT


# -- what they show -----------------------------------------------------------------------------
@pytest.mark.parametrize("features", [(0, 1), (4, 2)])
def test_ellipses_are_the_marginals_eigenvectors(features):
    model, rows = mixture(5)
    ax = of_mixture(model, rows, features=features, ax=panel()).ax_
    found = named(ax.patches, "Ellipse")
    assert len(found) == 9
    pair = list(features)
    for k in range(3):
        projected = model.covariances_[k][np.ix_(pair, pair)]
        for sd, ellipse in zip((1, 2, 3), found[3 * k : 3 * k + 3], strict=True):
            angle = np.deg2rad(ellipse.angle)
            turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            half = np.array([ellipse.width, ellipse.height]) / 2 / sd
            np.testing.assert_allclose(turned * half**2 @ turned.T, projected)
            np.testing.assert_allclose(ellipse.center, model.means_[k, pair])


@pytest.mark.parametrize("covariance_type", ["tied", "diag", "spherical", "VEI"])
def test_every_family_has_its_marginal(covariance_type):
    rows = clusters(200, 3, 2)
    model = fit(GaussianMixture(2, covariance_type=covariance_type, random_state=0), rows)
    found = named(of_mixture(model, rows, features=[2, 0], ax=panel()).ax_.patches, "Ellipse")
    dense = model._mixture().dense_covariances()
    for k, ellipse in enumerate(found[::3]):
        sizes = np.sort([ellipse.width, ellipse.height]) / 2
        expected = np.linalg.eigvalsh(dense[k][np.ix_([2, 0], [2, 0])])
        np.testing.assert_allclose(sizes**2, expected)


def test_ellipses_reach_the_edge_of_the_picture_and_no_further():
    model, rows = mixture(2)
    ax = of_mixture(model, rows[:1], ax=panel()).ax_
    reach = 3 * np.sqrt(np.diagonal(model.covariances_, axis1=1, axis2=2))
    low, high = (model.means_ - reach).min(axis=0), (model.means_ + reach).max(axis=0)
    np.testing.assert_allclose([ax.dataLim.min, ax.dataLim.max], [low, high])


def test_an_ellipse_holds_the_probability_that_was_asked_for():
    model, rows = mixture(2)
    ax = of_mixture(model, rows, probabilities=[0.9, 0.5], ax=panel()).ax_
    for number, share in enumerate([0.9, 0.5]):
        ellipse = named(ax.patches, "Ellipse")[number]
        radius = ellipse.width / 2 / np.sqrt(np.linalg.eigvalsh(model.covariances_[0])[-1])
        assert stats.chi2.cdf(radius**2, df=2) == pytest.approx(share)
    assert "ellipses hold 50, 90 %" in said(ax)


def test_contours_hold_the_probability_that_was_asked_for():
    model, rows = mixture(4)
    pair = [3, 1]
    ax = of_mixture(model, rows, features=pair, kind="density", ax=panel()).ax_
    (contours,) = named(ax.collections, "QuadContourSet")
    draws = model.sample(20_000, random_state=5)[0][:, pair]
    for level, share in zip(contours.levels, [0.99, 0.9, 0.5], strict=True):
        density = np.zeros(len(draws))
        for weight, mean, covariance in zip(
            model.weights_, model.means_, model.covariances_, strict=True
        ):
            normal = stats.multivariate_normal(mean[pair], covariance[np.ix_(pair, pair)])
            density += weight * normal.pdf(draws)
        assert (np.log(density) > level).mean() == pytest.approx(share, abs=0.015)
    assert "contours hold 50, 90, 99 %" in said(ax)


def test_contours_run_where_the_density_has_their_level():
    model, rows = mixture(2)
    ax = of_mixture(model, rows, kind="density", ax=panel()).ax_
    (contours,) = named(ax.collections, "QuadContourSet")
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        np.testing.assert_allclose(model.score_samples(path.vertices), level, atol=0.05)


def test_contours_are_drawn_about_a_component_too_narrow_for_a_grid():
    weights, means = [0.5, 0.5], [[0, 0], [5, 5]]
    covariances = [np.eye(2), 1e-6 * np.eye(2)]
    model = GaussianMixture.from_parameters(weights, means, covariances=covariances)
    ax = of_mixture(model, model.sample(50, 0)[0], kind="density", ax=panel()).ax_
    (contours,) = named(ax.collections, "QuadContourSet")
    vertices = np.concatenate([path.vertices for path in contours.get_paths()])
    assert (np.abs(vertices - 5).max(axis=1) < 0.01).sum() > 20


def test_one_feature_is_a_histogram_under_scipys_densities():
    model, rows = mixture(3)
    display = of_mixture(model, rows, features=2, ax=panel())
    *_, total, first, second, third = display.ax_.lines
    curves = [first, second, third]
    x = total.get_xdata()
    for k, curve in enumerate(curves):
        sd = np.sqrt(model.covariances_[k, 2, 2])
        expected = model.weights_[k] * stats.norm.pdf(x, model.means_[k, 2], sd)
        np.testing.assert_allclose(curve.get_ydata(), expected)
    np.testing.assert_allclose(total.get_ydata(), sum(c.get_ydata() for c in curves))
    assert trapezoid(total.get_ydata(), x) == pytest.approx(1, abs=2e-3)
    bars = named(display.ax_.patches, "Rectangle")
    assert sum(bar.get_width() * bar.get_height() for bar in bars) == pytest.approx(1)
    assert display.ax_.get_ylabel() == "density"


@pytest.mark.parametrize("size", [1e17, 1.7e18])  # such as times in nanoseconds
def test_a_histogram_of_numbers_that_differ_in_their_last_digits(size):
    model = GaussianMixture.from_parameters([1.0], [[size]], covariances=[[[500.0**2]]])
    rows = np.random.RandomState(0).normal(size, 500, size=(300, 1))
    ax = GaussianMixtureDisplay.from_estimator(model, rows, features=[0], ax=panel()).ax_
    bars = named(ax.patches, "Rectangle")
    assert all(bar.get_width() > 0 for bar in bars)
    assert sum(bar.get_width() * bar.get_height() for bar in bars) == pytest.approx(1)


def test_weights_count_in_histograms_and_rows_of_weight_0_are_left_out():
    model, rows = mixture(2)
    weights = np.repeat([0.0, 1.0, 3.0], [50, 100, 50])
    ax = of_mixture(model, rows, features=0, sample_weight=weights, ax=panel()).ax_
    bars = named(ax.patches, "Rectangle")
    edges = [bars[0].get_x(), *(bar.get_x() + bar.get_width() for bar in bars)]
    expected = np.histogram(rows[:, 0], edges, weights=weights, density=True)[0]
    np.testing.assert_allclose([bar.get_height() for bar in bars], expected)
    ax = of_mixture(model, rows, sample_weight=weights, ax=panel()).ax_
    assert len(drawn_rows(ax)) == 150


def test_rows_have_the_colour_of_their_component():
    model, rows = mixture(3)
    ax = of_mixture(model, rows, features=(1, 2), ax=panel()).ax_
    labels = model.predict(rows)
    for k, points in enumerate(points_of(ax)):
        np.testing.assert_array_equal(points.get_xydata(), rows[labels == k][:, 1:])
        assert points.get_color() == panels.colour_of(k)
        assert points.get_label() == f"component {k}, weight {model.weights_[k]:.2f}"


def test_more_components_than_colours_differ_in_markers_and_lines():
    looks = {
        (
            panels.colour_of(k),
            panels.style_of(k, panels.MARKERS),
            panels.style_of(k, panels.LINES),
        )
        for k in range(28)
    }
    assert len(looks) == 28


def test_noise_is_grey():
    model, rows = with_noise()
    ax = of_mixture(model, rows, ax=panel()).ax_
    (noise,) = [points for points in points_of(ax) if points.get_label() == "noise"]
    expected = rows[model.predict(rows) == -1]
    assert len(expected) > 20
    np.testing.assert_array_equal(noise.get_xydata(), expected)
    assert noise.get_color() == GREY
    assert "grey: noise" in said(ax)
    assert "noise among the rows" in said(of_mixture(model, rows, features=0, ax=panel()).ax_)


def test_numbers_stand_at_the_means_and_coincident_components_share_a_place():
    means = [[0, 0], [4, 4], [4, 4 + 1e-9]]
    model = GaussianMixture.from_parameters(np.full(3, 1 / 3), means, covariances=[np.eye(2)] * 3)
    ax = of_mixture(model, model.sample(100, 0)[0], ax=panel()).ax_
    places = {text.get_text(): text.get_position() for text in ax.texts if text.get_text()}
    assert places == {"0": (0, 0), "1, 2": (4, pytest.approx(4))}


# -- rows ---------------------------------------------------------------------------------------
def drawn_rows(ax):
    return np.concatenate([points.get_xydata() for points in points_of(ax)])


def test_of_many_rows_a_seeded_choice_is_drawn_and_only_it_is_labelled(monkeypatch):
    model, _ = mixture(2)
    rows = model.sample(3000, random_state=0)[0]
    labelled = []
    labels = prediction.labels

    def counting(form, block):
        labelled.append(block.rows.shape[1])
        return labels(form, block)

    monkeypatch.setattr(prediction, "labels", counting)
    ax = of_mixture(model, rows, max_points=1000, ax=panel()).ax_
    assert sum(labelled) == 1000
    assert said(ax).endswith("1 000 of 3 000 rows")
    found = drawn_rows(ax)
    assert len(found) == 1000 == len(np.unique(found, axis=0))
    assert set(map(tuple, found.tolist())) <= set(map(tuple, rows.tolist()))
    again = of_mixture(model, rows, max_points=1000, ax=panel()).ax_
    np.testing.assert_array_equal(drawn_rows(again), found)
    other = of_mixture(model, rows, max_points=1000, random_state=1, ax=panel()).ax_
    assert not np.array_equal(drawn_rows(other), found)
    assert "of" not in said(of_mixture(model, rows, ax=panel()).ax_)


def test_a_grid_draws_no_more_points_than_a_panel():
    model, _ = mixture(4)
    rows = model.sample(900, random_state=0)[0]
    display = of_mixture(model, rows, features=None, max_points=1200)
    pairs = [display.axes_[i, j] for i, j in zip(*np.tril_indices(4, -1), strict=True)]
    assert [len(drawn_rows(ax)) for ax in pairs] == [200] * 6
    corner = display.figure_.axes[-1]
    assert "200 of 900 rows" in corner.get_legend().get_title().get_text()


def test_rows_that_lack_a_drawn_feature_are_left_out_and_that_is_said():
    model, rows = mixture(3)
    rows[:30, 1] = np.nan
    rows[20:50, 2] = np.nan
    ax = of_mixture(model, rows, features=(0, 1), ax=panel()).ax_
    assert len(drawn_rows(ax)) == len(rows) - 30
    assert "30 with missing values left out" in said(ax)
    assert said(of_mixture(model, rows, features=0, ax=panel()).ax_).count("missing") == 0
    display = of_mixture(model, rows, features=None)
    counts = [len(drawn_rows(display.axes_[place])) for place in ((1, 0), (2, 0), (2, 1))]
    assert counts == [len(rows) - 30, len(rows) - 30, len(rows) - 50]


def test_rows_may_come_as_anything_that_fit_takes(tmp_path):
    import pandas

    model, rows = mixture(2)
    whole = drawn_rows(of_mixture(model, rows, max_points=50, ax=panel()).ax_)
    path = tmp_path / "rows.npy"
    np.save(path, rows)
    parts = blocks([rows[:70], rows[70:]])
    for X in (parts, np.load(path, mmap_mode="r"), pandas.DataFrame(rows), rows.tolist()):
        found = drawn_rows(of_mixture(model, X, max_points=50, ax=panel()).ax_)
        np.testing.assert_array_equal(found, whole)


def test_features_have_the_names_that_the_model_knows():
    import pandas

    rows = pandas.DataFrame(clusters(100, 3, 2), columns=["length", "width", "depth"])
    model = fit(GaussianMixture(2, random_state=0), rows)
    ax = of_mixture(model, rows, features=["depth", "length"], ax=panel()).ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("depth", "length")
    np.testing.assert_array_equal(np.sort(drawn_rows(ax)[:, 0]), np.sort(rows["depth"]))
    assert of_mixture(model, rows, features="width", ax=panel()).ax_.get_xlabel() == "width"
    model, rows = mixture(2)
    assert of_mixture(model, rows, ax=panel()).ax_.get_xlabel() == "feature 0"


# -- scikit-learn's convention ------------------------------------------------------------------
def test_a_display_draws_again_and_knows_its_axes():
    model, rows = mixture(2)
    display = of_mixture(model, rows)
    assert display.ax_.figure is display.figure_
    own = panel()
    assert display.plot(own, kind="density") is display
    assert display.ax_ is own
    assert display.axes_.shape == (1, 1)
    assert named(own.collections, "QuadContourSet")


@pytest.mark.parametrize("n_features", [3, 6])
def test_a_grid_has_panels_up_to_its_diagonal(n_features):
    model, rows = mixture(n_features)
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    display = of_mixture(model, rows, features=None, ax=right)
    assert display.axes_.shape == (n_features, n_features)
    assert display.figure_ is figure
    kinds = [[ax and bool(points_of(ax)) for ax in line] for line in display.axes_]
    expected = np.tril(np.ones((n_features, n_features), dtype=bool), -1).astype(object)
    expected[np.triu_indices(n_features, 1)] = None
    assert kinds == expected.tolist()
    assert display.ax_.get_xlabel().split() == ["feature", "0"]
    assert not left.lines
    inner = display.axes_[2, 1]
    assert not inner.yaxis.get_tick_params()["labelleft"]
    assert not inner.get_ylabel()
    labels = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert labels == [f"{k}: {weight:.2f}" for k, weight in enumerate(model.weights_)]


def test_one_feature_of_a_model_that_has_no_other():
    rows = clusters(200, 1, 2)
    model = fit(GaussianMixture(2, covariance_type="V", random_state=0), rows)
    for features in (0, None, [0]):
        ax = of_mixture(model, rows, features=features, ax=panel()).ax_
        assert len(ax.lines) == 3


BAD = {
    "there is no such": ({"features": (0, 3)}, ValueError, "no feature 3: the model has 3"),
    "negative": ({"features": -1}, ValueError, "no feature -1"),
    "unnamed": ({"features": "width"}, ValueError, "'width': it was fitted without names"),
    "twice": ({"features": (1, 1)}, ValueError, "twice"),
    "no feature": ({"features": []}, ValueError, "1 to 6 features, but got 0"),
    "neither number nor name": ({"features": (0, 1.5)}, TypeError, "but got 1.5"),
    "kind": ({"kind": "boxes"}, ValueError, "kind must be one of"),
    "sds": ({"sds": [1, -1]}, ValueError, "sds must be"),
    "a number of sds": ({"sds": 2}, ValueError, "sds must be a sequence"),
    "probabilities": ({"probabilities": [90]}, ValueError, "between 0 and 1"),
    "max_points": ({"max_points": 0}, ValueError, "max_points"),
    "no place": ({"features": None, "ax": "apart"}, ValueError, "add_axes"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_what_cannot_be_drawn_is_said_in_one_sentence(case):
    options, kind, message = BAD[case]
    model, rows = mixture(3)
    if options.get("ax") == "apart":
        options = {**options, "ax": Figure().add_axes((0.1, 0.1, 0.8, 0.8))}
    with pytest.raises(kind, match=message) as caught:
        of_mixture(model, rows, **options)
    assert "\n" not in str(caught.value)


LEVELS = ["kind", "sds", "a number of sds", "probabilities"]


@pytest.mark.parametrize("case", LEVELS)
def test_levels_that_cannot_be_drawn_are_refused_when_a_display_is_drawn_again(case):
    options, kind, message = BAD[case]
    display = of_mixture(*mixture(3), ax=panel())
    drawn_before = display.ax_
    with pytest.raises(kind, match=message):
        display.plot(**options)
    assert display.ax_ is drawn_before


@pytest.mark.parametrize("case", LEVELS)
def test_levels_that_cannot_be_drawn_are_refused_before_any_row_is_read(case):
    options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        of_mixture(mixture(3)[0], "no rows", **options)


def test_models_and_rows_that_cannot_be_drawn():
    model, rows = mixture(3)
    with pytest.raises(NotFittedError):
        of_mixture(GaussianMixture(), rows)
    with pytest.raises(NotFittedError):
        ConvergenceDisplay.from_estimator(GaussianMixture())
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        of_mixture(model, rows[:, :2])
    with pytest.raises(TypeError, match=r"from_sklearn takes scikit-learn's"):
        of_mixture(Theirs(2).fit(rows), rows)
    alone = fit(GaussianMixture(2, random_state=0), rows[:, :1])
    with pytest.raises(
        ValueError, match="no feature 1: the model has 1 feature, 0; the parameter features selects"
    ):
        of_mixture(alone, rows[:, :1])
    many = fit(GaussianMixture(1), clusters(50, 7))
    with pytest.raises(ValueError, match="1 to 6 features, but got 7"):
        of_mixture(many, clusters(50, 7), features=None)
    given = {"covariances": [[[1.0]]], "feature_names": ["width"]}
    width = GaussianMixture.from_parameters([1.0], [[0.0]], **given)
    with pytest.raises(ValueError, match="'depth': its features are"):
        of_mixture(width, rows[:, :1], features="depth")
    with pytest.raises(ValueError, match=r"no history.*parameters were given"):
        ConvergenceDisplay.from_estimator(model)
    with pytest.raises(ValueError, match=r"no history.*stream"):
        ConvergenceDisplay.from_estimator(GaussianMixture(2).partial_fit(rows))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: of_mixture(*mixture(2)),
        lambda: ConvergenceDisplay.from_estimator(GaussianMixture()),
        lambda: InformationCriterionDisplay.from_estimator(Choice()),
        lambda: InformationCriterionDisplay(**criterion(1)).plot(),
    ],
)
def test_a_missing_matplotlib_is_said_with_the_extra(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Display\.\w+ requires matplotlib: pip install"):
        draw()


# -- how a fit went -----------------------------------------------------------------------------
def test_the_history_its_limit_and_its_events():
    rows = question().rows
    start = {
        "weights_init": [0.5, 0.5],
        "means_init": [[10, 10], [10, 10]],
        "precisions_init": [np.eye(2) / 10] * 2,
    }
    model = fit(GaussianMixture(2, **start, random_state=0, acceleration="anderson"), rows)
    ax = ConvergenceDisplay.from_estimator(model, ax=panel()).ax_
    curve, limit, escape = ax.lines
    objective, events = model.history_["objective"], model.history_["event"]
    np.testing.assert_array_equal(curve.get_ydata(), objective)
    np.testing.assert_allclose(limit.get_ydata()[0], objective[-1] + model.remaining_gain_)
    np.testing.assert_array_equal(escape.get_xdata(), np.flatnonzero(events == "escape"))
    np.testing.assert_array_equal(escape.get_ydata(), objective[events == "escape"])
    assert escape.get_label() == "escape"
    assert f"CONVERGED, {model.n_iter_} iterations" in said(ax)
    assert f"{model.history_['passes'][-1]} passes over the rows" in said(ax)


def test_a_start_far_below_the_rest_is_cut_off_and_that_is_said():
    below = history(8, {})
    below["objective"][0] = -50
    arguments = {"remaining_gain": np.nan, "ending": "MAX_ITER", "starts": NO_STARTS}
    ax = ConvergenceDisplay(history=below, **arguments).plot(panel()).ax_
    assert ax.get_ylim()[0] > -5
    assert "begins below, at -50" in said(ax)
    assert len(ax.lines) == 1
    ax = ConvergenceDisplay(history=history(8, {}), **arguments).plot(panel()).ax_
    assert ax.get_ylim()[0] < -4
    assert "begins" not in said(ax)


@pytest.mark.parametrize("parameters", [{"prior": "conjugate"}, {"weight_concentration": 2.0}])
def test_with_a_prior_the_objective_is_penalised(parameters):
    rows = clusters(100, 2, 2)
    for options, name in ((parameters, "penalised log-likelihood"), ({}, "log-likelihood")):
        model = fit(GaussianMixture(2, random_state=0, **options), rows)
        ax = ConvergenceDisplay.from_estimator(model, ax=panel()).ax_
        assert ax.get_ylabel() == f"{name} per row"


@pytest.mark.parametrize("kind", [bool, int, object])
def test_the_ends_of_all_starts(kind):
    starts = several_starts()
    starts["converged"] = np.asarray(starts["converged"]).astype(kind)
    display = ConvergenceDisplay(
        history=history(12, {}), remaining_gain=np.nan, ending="CONVERGED", starts=starts
    )
    ax = display.plot(panel()).ax_
    _, converged, others = ax.lines
    np.testing.assert_array_equal(converged.get_xdata(), [9, 12, 14, 6])
    np.testing.assert_array_equal(converged.get_ydata(), [-3.4, -3.0, -3.6, -3.25])
    assert (others.get_xdata().tolist(), others.get_ydata().tolist()) == ([20], [-3.1])
    assert "CONVERGED: 4 of 6 starts\nFAILED: 1 of 6 starts\nMAX_ITER: 1 of 6 starts" in said(ax)


def lower_bounds(rows, seeds, **parameters):
    """What fits from one start each end with, whose random numbers follow one another."""
    random = np.random.RandomState(0)
    models = [fit(GaussianMixture(random_state=random, **parameters), rows) for _ in range(seeds)]
    return [(model.lower_bound_, model.n_iter_, model.converged_) for model in models]


def test_a_fit_keeps_what_each_of_its_starts_came_to(tmp_path):
    rows = clusters(120, 2, 3)
    parameters = {"n_components": 3, "init_params": "random", "max_iter": 20}
    model = GaussianMixture(n_init=4, random_state=np.random.RandomState(0), **parameters)
    fit(model.set_params(random_state=np.random.RandomState(0)), rows)
    starts = model._starts
    columns = (starts[name].tolist() for name in ("objective", "n_iter", "converged"))
    assert list(zip(*columns, strict=True)) == lower_bounds(rows, 4, **parameters)
    assert starts["objective"].max() == model.lower_bound_
    assert model.ending_.name in starts["ending"]
    path = tmp_path / "model.json"
    model.set_params(random_state=0).save(path)
    for other in (GaussianMixture.load(path), pickle.loads(pickle.dumps(model)), copy.copy(model)):
        for name, column in starts.items():
            np.testing.assert_array_equal(other._starts[name], column)
            assert other._starts[name].dtype == column.dtype
    ax = ConvergenceDisplay.from_estimator(GaussianMixture.load(path), ax=panel()).ax_
    ends = np.concatenate([line.get_xydata() for line in ax.lines if line.get_ls() == "None"])
    expected = np.column_stack([starts["n_iter"], starts["objective"]])
    assert sorted(ends.tolist()) == sorted(expected.tolist())
    assert "_starts" not in vars(model.to_sklearn())
    assert not hasattr(model.partial_fit(rows), "_starts")


def test_a_start_that_failed_is_kept_as_such():
    rows = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [5.0, 5.0]], [20, 20, 20, 2], axis=0)
    rows[:60] += np.random.RandomState(0).normal(size=(60, 2))
    labels = iter([np.repeat([0, 1], [60, 2]), np.repeat([0, 1], [30, 32])])
    model = GaussianMixture(2, n_init=2, reg_covar=0, init_params=lambda *_: next(labels))
    starts = fit(model, rows)._starts
    np.testing.assert_array_equal(np.isnan(starts["objective"]), [True, False])
    assert starts["ending"].tolist() == ["", model.ending_.name]
    assert starts["converged"].tolist() == [False, model.converged_]


# -- how many components ------------------------------------------------------------------------
class Choice(BaseEstimator):
    """As much of a choice as its display relies on."""

    def __init__(self, criterion="bic"):
        self.criterion = criterion

    def fit(self, X):
        """Fit nothing."""

    @classmethod
    def of(cls, n_families):
        known = criterion(n_families)
        choice = cls()
        choice.best_index_ = known["best_index"]
        names = ("n_components", "covariance_type", "sound")
        choice.results_ = {name: known[name] for name in names}
        choice.results_ |= {"bic": known["values"], "aic": known["values"][::-1]}
        return choice


def plotted(**known):
    return InformationCriterionDisplay(**known).plot().ax_


def table(values, families="abcdefghijklmn"):
    """Arguments of a display for an array of values, of shape (families, numbers of components)."""
    values = np.asarray(values, dtype=float)
    return {
        "n_components": np.tile(np.arange(1, values.shape[1] + 1), len(values)),
        "covariance_type": np.repeat(list(families[: len(values)]), values.shape[1]),
        "values": values.ravel(),
        "best_index": int(np.nanargmin(values)),
        "criterion": "bic",
        "chosen_by": "bic",
    }


def valleys(bests, n_numbers=9):
    """A valley for each family, all with the same bottom, 10 higher for each component off it."""
    return np.add.outer(np.asarray(bests), 10.0 * np.abs(np.arange(n_numbers) - 3))


def note(ax):
    return ax.texts[-1].get_text().replace("\n\n", "; ").replace("\n", " ")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("n_families", [1, 14])
def test_a_line_for_each_family_and_the_choice(n_families):
    choice = Choice.of(n_families)
    display = InformationCriterionDisplay.from_estimator(choice, ax=panel())
    *lines, unsound, ring = display.ax_.lines
    assert len(lines) == n_families
    results = choice.results_
    values = np.where(results["sound"], results["bic"], np.nan).reshape(n_families, 9)
    # In this table the families are in the order of their best values.
    for number, line in enumerate(lines):
        assert line.get_label() == f"F{number:02d}"
        np.testing.assert_array_equal(line.get_xdata(), range(1, 10))
        np.testing.assert_array_equal(line.get_ydata(), values[number])
    best = np.unravel_index(np.nanargmin(values), values.shape)
    assert ring.get_xydata().tolist() == [[best[1] + 1, np.nanmin(values)]]
    assert display.ax_.texts[0].get_text() == f"F{best[0]:02d}, {best[1] + 1} components"
    assert f"1 of {9 * n_families} fits failed" in note(display.ax_)
    looks = {(line.get_color(), line.get_marker()) for line in lines}
    assert len(looks) == min(n_families, 8)  # seven, and what the others have in common
    assert unsound.get_label() == "not sound"


def test_another_criterion_shows_what_the_first_one_chose():
    choice = Choice.of(3)
    ax = InformationCriterionDisplay.from_estimator(choice, criterion="aic", ax=panel()).ax_
    assert ax.get_xlabel() == "number of components"
    assert ax.get_ylabel() == "AIC (lower is better)"
    value = choice.results_["aic"][choice.best_index_]
    assert ax.lines[-1].get_ydata().tolist() == [value]
    assert ax.texts[0].get_text().endswith("\nchosen by BIC")
    with pytest.raises(ValueError, match="criterion must be one of"):
        InformationCriterionDisplay.from_estimator(choice, criterion="time")
    with pytest.raises(NotFittedError):
        InformationCriterionDisplay.from_estimator(Choice())


@pytest.mark.parametrize(
    ("bests", "n_numbers", "reach"),
    [
        # Numbers of components decide: half of the best values are at most 20 above the lowest.
        ([0, 2, 4, 6, 8], 9, 40),
        # Families decide: half of them are at most 50 above the lowest.
        ([0, 30, 50, 5000, 6000], 9, 100),
        # Of two families the better one is shown, of two numbers of components both.
        ([0, 5000], 9, 40),
        ([0, 2, 4], 2, 14),
        ([0], 2, 10),
        # With few fits up to the highest value.
        ([0], 1, 0),
        ([0, 30], 1, 30),
        ([0, 1, 1], 1, 1),
    ],
)
def test_the_range_is_twice_what_half_of_families_and_of_numbers_need(bests, n_numbers, reach):
    known = table(1000 + valleys(bests, n_numbers))
    names = ("n_components", "covariance_type", "values")
    low, high = competitive_range(*(known[name] for name in names))
    assert low == known["values"].min()
    assert high == pytest.approx(low + reach)
    ax = plotted(**known)
    bottom, top = ax.get_ylim()
    height = reach or 1
    assert (bottom, top) == pytest.approx(
        (low - 0.16 * height, low + 1.04 * reach + 0.04 * (not reach))
    )


def test_what_is_far_above_is_out_of_the_range_and_counted():
    values = 1000 + valleys([0, 8, 2, 6, 4])
    near = plotted(**table(values))
    assert note(near) == "9 of 45 fits lie above"
    values[:, 0] += 5000
    values[[1, 3]] += 5000
    far = plotted(**table(values))
    assert far.get_ylim() == near.get_ylim()
    assert note(far) == "2 of 5 families and 26 of 45 fits lie above"
    assert legend(far) == ["a", "c", "e"]
    assert note(plotted(**table([[5.0, 5.1, 5.2, 90.0]]))) == "1 of 4 fits lies above"
    assert note(plotted(**table([[5.0, 5.1, 5.2]]))) == ""


def test_the_legend_begins_with_the_best_family():
    bests = np.random.RandomState(0).permutation(np.arange(10))
    ax = plotted(**table(1000 + valleys(bests)))
    in_order = ["abcdefghij"[number] for number in np.argsort(bests)]
    assert legend(ax) == [*in_order[:7], "3 others"]
    drawn_in = [line.get_color() for line in ax.lines[:10]]
    assert len(set(drawn_in[:7])) == 7
    assert len(set(drawn_in[7:])) == 1
    handles = ax.get_legend().get_lines()
    assert [handle.get_color() for handle in handles] == drawn_in[:8]
    assert legend(plotted(**table(1000 + valleys(bests[:8]))))[-1] == "1 other"


@pytest.mark.parametrize("value", [1e6, 1030.0, -1e6])
def test_fits_that_are_not_sound_are_grey_and_do_not_set_the_range(value):
    values = 1000 + valleys([0, 2, 4])
    without = plotted(**table(values))
    known = table(values)
    sound = np.ones(27, dtype=bool)
    sound[[7, 26]] = False
    known["values"][~sound] = value
    ax = plotted(**known | {"sound": sound})
    assert ax.get_ylim() == without.get_ylim()
    assert note(ax) == "2 of 27 fits are not sound; 4 of 27 fits lie above"
    *lines, unsound, _ = ax.lines
    assert (unsound.get_ls(), unsound.get_mec(), unsound.get_mfc()) == ("None", GREY, "white")
    np.testing.assert_array_equal(unsound.get_xydata(), [[8, value], [9, value]])
    for line in lines:
        own = (known["covariance_type"] == line.get_label()) & ~sound
        np.testing.assert_array_equal(
            np.isnan(line.get_ydata()), np.isin(range(1, 10), known["n_components"][own])
        )
    shown = ["not sound"] if value == 1030 else []
    assert legend(ax) == ["a", "b", "c", *shown]
    sound[7] = True
    for kind in (bool, int, object):
        ax = plotted(**known | {"sound": sound.astype(kind)})
        assert "1 of 27 fits is not sound" in note(ax)


def test_the_choice_is_always_in_the_picture():
    known = table(1000 + valleys([0, 2, 4]))
    for index, sound in [(0, None), (26, None), (0, np.zeros(27, dtype=bool))]:
        known["values"][index] = 3000
        ax = plotted(**known | {"best_index": index, "sound": sound})
        bottom, top = ax.get_ylim()
        assert bottom < 1000
        assert top > 3000
        assert ax.lines[-1].get_ydata().tolist() == [3000]
    assert note(ax) == "27 of 27 fits are not sound"
    assert legend(ax) == ["not sound"]


def test_a_marginal_is_that_of_the_mixture():
    model, rows = mixture(4)
    marginal = Marginal.of(model._mixture(), [2, 0]).on(1)
    variances = model.covariances_[:, 0, 0]
    expected = stats.norm.pdf(rows[:, :1], model.means_[:, 0], np.sqrt(variances)) @ model.weights_
    np.testing.assert_allclose(np.exp(marginal.log_density(rows[:, :1])), expected)
    np.testing.assert_allclose(marginal.curves(rows[:, 0]).sum(axis=0), expected)


def test_a_singular_marginal_has_no_density():
    marginal = partial(Marginal, np.ones(1), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="component 0 is singular"):
        marginal(np.ones((1, 2, 2))).log_density(np.zeros((3, 2)))
