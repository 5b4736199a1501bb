"""Animation of EM from identical components; ``python docs/pictures/animation.py`` draws em.gif."""

import warnings
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image
from sklearn.mixture import GaussianMixture as Theirs

from emgmm import GaussianMixture
from emgmm.covariances import FAMILIES
from emgmm.datasets import question
from emgmm.drawing import COLOURS, ellipses
from emgmm.fitting.first_pass import em_of
from emgmm.fitting.problem import Problem
from emgmm.fitting.split import splits
from emgmm.sources import ArraySource

data = question()
X = data.rows
start = {
    "n_components": 2,
    "reg_covar": 0,
    "weights_init": [0.5, 0.5],
    "means_init": [[10, 10], [10, 10]],
    "precisions_init": [np.eye(2) / 10] * 2,
    "random_state": 0,
}
first = GaussianMixture.from_parameters(
    [0.5, 0.5], [[10, 10]] * 2, covariances=[10 * np.eye(2)] * 2
)


def fits(estimator):
    """Fits that end after 1, 2, ... iterations, up to the one that ends by itself."""
    models = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the animation is about what the warning reports
        while not models or models[-1].n_iter_ == len(models):
            models.append(estimator(**start, max_iter=len(models) + 1).fit(X))
    return models[:-1]


def split(trapped):
    """Mixture immediately after the split of the coincident components of a fit."""
    em = em_of(ArraySource(X), Problem(FAMILIES["full"], n_components=2))
    mixture = trapped._mixture()
    proposed = splits(em, mixture, em.expect(mixture), [(0, 1)], np.random.RandomState(0))
    models = [
        GaussianMixture.from_parameters(m.weights, m.means, covariances=m.covariances)
        for m in proposed
    ]
    return max(models, key=lambda model: model.score(X))


# The mixtures after iterations 0, 1, 2, ... of both classes. A fit of emgmm that ends immediately
# after the split is returned as it was before, so that this mixture is computed here.
theirs = [first, *map(GaussianMixture.from_sklearn, fits(Theirs))]
fitted = fits(GaussianMixture)
history = fitted[-1].history_
at = int(np.flatnonzero(history["event"] == "escape")[0])
ours = [first, *fitted]
ours[at] = split(fitted[at - 2])
np.testing.assert_allclose([model.score(X) for model in ours], history["objective"], atol=1e-6)


def between(a, b, fraction):
    """Mixture between two iterations, for a smooth movement."""
    means = (1 - fraction) * a.means_ + fraction * b.means_
    covariances = (1 - fraction) * a.covariances_ + fraction * b.covariances_
    return GaussianMixture.from_parameters([0.5, 0.5], means, covariances=covariances)


DARK, GREEN = "#222222", "#00694B"
BLUE, ORANGE = (0.55 + 0.45 * np.array(to_rgb(colour)) for colour in COLOURS[:2])  # of rows
PALE = np.full(3, 0.78)  # of a row that both components explain equally well

figure, axes = plt.subplots(1, 2, figsize=(8, 5.1), dpi=100)
figure.subplots_adjust(left=0.055, right=0.985, top=0.915, bottom=0.25, wspace=0.13)
points = []
for ax, name in zip(axes, ("scikit-learn", "emgmm"), strict=True):
    ax.set_title(name, fontsize=17, fontweight="bold", color=DARK)
    ax.set(xlim=(-5.5, 17), ylim=(-5, 17), xticks=range(-5, 16, 5), yticks=range(-5, 16, 5))
    ax.tick_params(labelsize=10, colors="dimgrey")
    points.append(ax.scatter(*X.T, s=4, lw=0))


def panel(ax, dots, model, iteration, score, status, colour):
    """Draw one class's mixture; return the artists, which the next frame replaces."""
    blue = model.predict_proba(X)[:, [model.means_[:, 0].argmin()]]
    certain = np.abs(2 * blue - 1)
    dots.set_color(certain * np.where(blue > 0.5, BLUE, ORANGE) + (1 - certain) * PALE)
    before = set(ax.get_children())
    order = model.means_[:, 0].argsort(kind="stable")
    looks = list(zip(order, COLOURS[:2], ("-", (0, (4, 4))), strict=True))
    for k, shade, style in looks:
        ellipses(ax, model.means_[k], model.covariances_[k], shade, (1, 2), style)
    for ellipse in {*ax.get_children()} - before:
        ellipse.set_linewidth(1.8 * ellipse.get_linewidth())
    for k, shade, style in looks:
        mark = {"marker": "o", "ms": 9 if style == "-" else 5, "color": shade, "mec": "white"}
        ax.add_artist(plt.Line2D(*model.means_[k][:, None], **mark))
    centre = sum(ax.get_position().intervalx) / 2
    line = f"log-likelihood per row  \N{MINUS SIGN}{-score:.4f}"
    written = [
        ax.text(0.03, 0.93, f"iteration {iteration}", transform=ax.transAxes, fontsize=13),
        figure.text(centre, 0.14, line, ha="center", fontsize=14, fontweight="bold", color=DARK),
        figure.text(centre, 0.067, status, ha="center", va="center", fontsize=12, color=colour),
    ]
    return {*ax.get_children(), *written} - before


def frame(left, right):
    """Image of one frame."""
    artists = set()
    for ax, dots, shown in zip(axes, points, (left, right), strict=True):
        artists |= panel(ax, dots, *shown)
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    for artist in artists:
        artist.remove()
    return image


def status_of_theirs(t):
    """Text about iteration t of scikit-learn, and its colour."""
    if t == 0:
        return "both components start at the same place", DARK
    if t < len(theirs) - 1:
        return "both components are identical", DARK
    return "converged, without a warning:\nboth components are identical", COLOURS[1]


def status_of_ours(t):
    """Text about iteration t of emgmm, and its colour."""
    if t == 0:
        return "both components start at the same place", DARK
    if t < at:
        return "both components are identical", DARK
    if t == at:
        return "the identical components are split", GREEN
    if t < len(ours) - 1:
        return "EM continues", GREEN
    return "converged to the maximum; a warning\nreports the identical components", GREEN


def state(models, statuses, t):
    """What a panel shows at iteration t; the last iteration remains."""
    t = min(t, len(models) - 1)
    return models[t], t, models[t].score(X), *statuses(t)


def moving(before, after, fraction):
    """State between those of two iterations; it is the first if the mixture is the same."""
    if before[0] is after[0]:
        return before
    iteration = f"{before[1]} \N{RIGHTWARDS ARROW} {after[1]}"
    return between(before[0], after[0], fraction), iteration, *before[2:]


images, durations, last = [], [], ()
MOVES = {1: 10, at: 12, at + 1: 8}  # frames of the movement to an iteration at which much changes
PAUSES = {0: 1600, at: 1600, len(ours) - 1: 5000}
for t in range(len(ours)):
    pair = state(theirs, status_of_theirs, t), state(ours, status_of_ours, t)
    for i in range(1, MOVES.get(t, 0)):
        fraction = (1 - np.cos(np.pi * i / MOVES[t])) / 2
        images.append(
            frame(*(moving(*states, fraction) for states in zip(last, pair, strict=True)))
        )
        durations.append(60)
    images.append(frame(*pair))
    durations.append(PAUSES.get(t, 900))
    last = pair

# One palette for all frames, from three of them and from patches of the main colours, and no
# dithering, so that successive frames differ only where something moves.
shown = [images[0], images[len(images) // 2], images[-1]]
sheet = Image.new("RGB", (images[0].width, 3 * images[0].height + 300), "white")
for i, image in enumerate(shown):
    sheet.paste(image, (0, i * image.height))
for i, colour in enumerate((*COLOURS[:2], DARK, GREEN)):
    sheet.paste(colour, (i * 150, sheet.height - 150, (i + 1) * 150, sheet.height))
palette = sheet.quantize(96, dither=Image.Dither.NONE)
colours = np.array(palette.getpalette()).reshape(-1, 3)
colours[colours.min(axis=1) > 245] = 255  # the background is exactly white
palette.putpalette(colours.ravel().tolist())
frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
path = Path(__file__).with_name("em.gif")
frames[0].save(
    path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True
)
print(f"{path.name}: {len(frames)} frames, {path.stat().st_size / 1000:.0f} kB")
