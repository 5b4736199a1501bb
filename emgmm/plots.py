"""A picture of a fitted mixture over two features; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emgmm.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from emgmm.diagnosis import Diagnosis
    from emgmm.methods import MixtureEstimator
    from emgmm.mixture import Mixture

# Okabe and Ito's palette: told apart by colour-blind readers, and in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def draw(
    model: MixtureEstimator,
    rows: Array,
    feature_names: Sequence[str],
    ax: Axes,
    *,
    features: tuple[int, int] = (0, 1),
) -> None:
    """Draw rows coloured by component, with ellipses at 1, 2 and 3 standard deviations.

    Parameters
    ----------
    model : fitted estimator
        Whose mixture is drawn; with more than two features, its marginal.
    rows : (N, D)
        Rows.
    feature_names : sequence of str
        Labels of the axes.
    ax : matplotlib Axes
        Where to draw.
    features : pair of int, default=(0, 1)
        Which features span the picture.
    """
    mixture, labels = model._mixture(), model.predict(rows)
    i, j = features
    for k in range(mixture.n_components):
        colour = COLOURS[k % len(COLOURS)]
        own = rows[labels == k]
        label = f"component {k}, weight {mixture.weights[k]:.2f}"
        ax.scatter(own[:, i], own[:, j], s=9, color=colour, alpha=0.45, lw=0, label=label)
        outline(mixture, k, ax, colour, features)
    ax.autoscale_view()
    ax.set_xlabel(feature_names[i])
    ax.set_ylabel(feature_names[j])
    ax.legend(frameon=False, fontsize="small", loc="upper left")


def outline(mixture: Mixture, k: int, ax: Axes, colour: str, features: tuple[int, int]) -> None:
    """Draw one component at 1, 2 and 3 standard deviations, its mean a cross."""
    from matplotlib.patches import Ellipse

    pair = list(features)
    variances, axes = np.linalg.eigh(mixture.dense_covariances()[k][np.ix_(pair, pair)])
    angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    x, y = mixture.means[k, pair]
    for sd in (1, 2, 3):
        height, width = 2 * sd * np.sqrt(np.maximum(variances, 0))
        ellipse = Ellipse((x, y), width, height, angle=angle, fill=False, ec=colour)
        ellipse.set_linewidth(2.2 - sd / 2)
        ax.add_patch(ellipse)
    ax.plot(x, y, marker="+", color="black", ms=9, mew=1.6)


def draw_diagnosis(diagnosis: Diagnosis, ax: Axes | None = None) -> Axes:
    """Draw the components, offending ones in red, and beside them the objective's history."""
    import matplotlib.pyplot as plt

    beside = None
    if ax is None:
        _, (ax, beside) = plt.subplots(1, 2, figsize=(10.5, 4.4), layout="constrained")
    mixture, offending = diagnosis._mixture, diagnosis.offending()
    for k in range(mixture.n_components):
        colour = "#CC0000" if k in offending else COLOURS[0]
        if mixture.n_features == 1:
            bell(mixture, k, ax, colour)
        else:
            outline(mixture, k, ax, colour, (0, 1))
    ax.autoscale_view()
    named = ", ".join(map(str, sorted(offending)))
    ax.set_title(f"in red: {named}" if offending else "components", fontsize="medium")
    if beside is not None:
        ascent(diagnosis, beside)
    return ax


def bell(mixture: Mixture, k: int, ax: Axes, colour: str) -> None:
    """Draw the weighted density of one component of a single feature."""
    mean, sd = float(mixture.means[k, 0]), float(np.sqrt(mixture.dense_covariances()[k, 0, 0]))
    x = mean + sd * np.linspace(-4, 4, 200)
    density = mixture.weights[k] * np.exp(-0.5 * ((x - mean) / sd) ** 2) / sd / np.sqrt(2 * np.pi)
    ax.plot(x, density, color=colour)


def ascent(diagnosis: Diagnosis, ax: Axes) -> None:
    """Draw the objective after each iteration, and where Aitken's estimate puts its limit."""
    objectives = diagnosis._objectives
    ax.plot(range(len(objectives)), objectives, marker=".", color=COLOURS[0])
    if objectives and np.isfinite(diagnosis.remaining_gain):
        limit = objectives[-1] + diagnosis.remaining_gain
        ax.axhline(limit, ls="--", color=COLOURS[1], label=f"Aitken's limit {limit:.6g}")
        ax.legend(frameon=False, fontsize="small", loc="lower right")
    ax.set_xlabel("iteration")
    ax.set_ylabel("mean log-likelihood")
    ax.set_title(diagnosis.verdict.name.replace("_", " ").lower(), fontsize="medium")
