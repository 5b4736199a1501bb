"""A picture of a fitted mixture over two features; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emgmm.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from emgmm.methods import MixtureEstimator

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
    from matplotlib.patches import Ellipse

    mixture, labels = model._mixture(), model.predict(rows)
    i, j = features
    pair = np.ix_([i, j], [i, j])
    for k, covariance in enumerate(mixture.dense_covariances()):
        colour: Any = COLOURS[k % len(COLOURS)]
        own = rows[labels == k]
        label = f"component {k}, weight {mixture.weights[k]:.2f}"
        ax.scatter(own[:, i], own[:, j], s=9, color=colour, alpha=0.45, lw=0, label=label)
        variances, axes = np.linalg.eigh(covariance[pair])
        angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
        mean = mixture.means[k, [i, j]]
        for sd in (1, 2, 3):
            height, width = 2 * sd * np.sqrt(np.maximum(variances, 0))
            outline = Ellipse((mean[0], mean[1]), width, height, angle=angle, fill=False, ec=colour)
            outline.set_linewidth(2.2 - sd / 2)
            ax.add_patch(outline)
        ax.plot(*mean, marker="+", color="black", ms=9, mew=1.6)
    ax.autoscale_view()
    ax.set_xlabel(feature_names[i])
    ax.set_ylabel(feature_names[j])
    ax.legend(frameon=False, fontsize="small", loc="upper left")
