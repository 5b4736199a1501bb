"""Scenes of which pictures are stored; ``python tests/pictures.py`` draws and stores them anew.

No fit is in them, no letter, and no layout that depends on letters: so all versions of matplotlib,
NumPy and scipy draw the same.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from emgmm import (
    ConvergenceDisplay,
    GaussianMixture,
    GaussianMixtureDisplay,
    InformationCriterionDisplay,
)
from emgmm.plotting.convergence import NO_STARTS

STORED = Path(__file__).parent / "data" / "pictures"


def mixture(n_features, n_components=3):
    """A mixture with given parameters, and rows of it."""
    random = np.random.RandomState(0)
    factors = random.normal(size=(n_components, n_features, n_features)) / 2
    covariances = factors @ factors.swapaxes(1, 2) + np.eye(n_features) / 4
    means = 2.5 * random.normal(size=(n_components, n_features))
    weights = np.arange(1, n_components + 1) / np.arange(1, n_components + 1).sum()
    model = GaussianMixture.from_parameters(weights, means, covariances=covariances)
    return model, model.sample(200, random_state=1)[0]


def with_noise():
    """A mixture that labels improbable rows as noise, and rows of which some are noise."""
    plain, rows = mixture(2, 2)
    model = GaussianMixture.from_parameters(
        (1 - 1e-9) * plain.weights_,
        plain.means_,
        covariances=plain.covariances_,
        noise=lambda rows: np.where(plain.score_samples(rows) < -6, 1e3, -np.inf),
        noise_weight=1e-9,
    )
    stray = np.random.RandomState(2).uniform(-8, 8, size=(60, 2))
    return model, np.concatenate([rows, stray])


def history(n_iter, events):
    """A history as fits leave them."""
    event = np.full(n_iter + 1, "step", dtype="U16")
    for name, places in events.items():
        event[places] = name
    event[0] = "start"
    gains = 0.5 ** np.arange(n_iter + 1)
    for place in events.get("escape", ()):
        gains[:place] += 0.4
    return {"objective": -3 - gains, "passes": np.arange(1, n_iter + 2), "event": event}


def several_starts():
    """What six starts came to, of which one failed and one did not converge."""
    return {
        "objective": np.array([-3.4, np.nan, -3.0, -3.6, -3.1, -3.25]),
        "n_iter": np.array([9, 0, 12, 14, 20, 6]),
        "converged": np.array([True, False, True, True, False, True]),
        "ending": np.array(["CONVERGED", "", "CONVERGED", "CONVERGED", "MAX_ITER", "CONVERGED"]),
    }


def criterion(n_families):
    """Arguments of a display: a valley for each family, a failed fit, two that are not sound."""
    n_components = np.tile(np.arange(1, 10), n_families)
    family = np.repeat(np.arange(n_families), 9)
    values = 500 + 20 * family + (60 + 9 * family) * np.abs(n_components - 3 - family % 3) ** 0.8
    values[-1] = np.nan
    sound = np.ones(9 * n_families, dtype=bool)
    sound[[5, -2]] = False
    values[-2] = 100  # by far the lowest, as likelihoods of collapsed components are
    return {
        "n_components": n_components,
        "covariance_type": np.array([f"F{f:02d}" for f in family]),
        "values": values,
        "best_index": int(np.nanargmin(np.where(sound, values, np.nan))),
        "criterion": "bic",
        "chosen_by": "bic",
        "sound": sound,
    }


def of_mixture(n_features, **options):
    model, rows = mixture(n_features)
    return lambda ax: GaussianMixtureDisplay.from_estimator(model, rows, ax=ax, **options)


def of_noise(ax):
    model, rows = with_noise()
    rows[::10, 1] = np.nan
    GaussianMixtureDisplay.from_estimator(model, rows, ax=ax, max_points=200)


def of_history(events, starts):
    return lambda ax: ConvergenceDisplay(
        history=history(12, events), remaining_gain=0.05, ending="CONVERGED", starts=starts
    ).plot(ax)


SCENES = {
    "ellipses": of_mixture(2),
    "probabilities": of_mixture(2, probabilities=[0.9]),
    "density": of_mixture(2, kind="density"),
    "one": of_mixture(2, features=1),
    "grid": of_mixture(4, features=None),
    "grid of densities": of_mixture(3, features=None, kind="density"),
    "noise": of_noise,
    "criterion": lambda ax: InformationCriterionDisplay(**criterion(3)).plot(ax),
    "criterion of fourteen": lambda ax: InformationCriterionDisplay(**criterion(14)).plot(ax),
    "events": of_history({"escape": [3], "leap": [6, 7, 9]}, NO_STARTS),
    "starts": of_history({}, several_starts()),
}


def drawn(scene, spoil=None):
    """The (H, W, 3) pixels of a scene, 300 wide, from 0 to 255; its figure may be spoiled before."""
    with mpl.rc_context():
        mpl.rcdefaults()
        figure = Figure(figsize=(3.0, 2.4), dpi=100)
        figure.subplots_adjust(left=0.2, bottom=0.15, right=0.85, top=0.97)
        SCENES[scene](figure.add_subplot())
        if spoil is not None:
            spoil(figure)
        return rendered(figure)


def rendered(figure):
    """Pixels of a figure without its letters, which every version of matplotlib sets otherwise."""
    for written in [*figure.findobj(Text), *figure.findobj(Legend)]:
        written.set_visible(False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def path_of(scene):
    return STORED / f"{scene.replace(' ', '_')}.png"


if __name__ == "__main__":
    from PIL.Image import Dither, Quantize, fromarray

    for each in SCENES:
        few = {"colors": 256, "method": Quantize.MAXCOVERAGE, "dither": Dither.NONE}
        fromarray(drawn(each)).quantize(**few).save(path_of(each), optimize=True)
