"""The picture of a choice: a criterion against the number of components, a line for each family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.validation import check_is_fitted

from emgmm.displays.panes import beside, haloed, panel, small_print
from emgmm.plots import COLOURS, needs_matplotlib
from emgmm.typing import Array, Integers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CRITERIA = ("bic", "aic", "icl")

# After one round of the palette markers are hollow and lines dashed.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":")

# Points between the panel and the names of its lines.
LEADER = 14


class InformationCriterionDisplay:
    """Picture of an information criterion against the number of components, lower is better.

    Use `from_estimator` to make one.

    Parameters
    ----------
    n_components : ndarray of shape (n,)
        Numbers of components that were fitted.
    covariance_type : ndarray of shape (n,)
        Their families.
    values : ndarray of shape (n,)
        The criterion; nan where a fit failed.
    best_index : int
        Which of them was chosen.
    criterion : str
        Name of the criterion.
    chosen_by : str
        Name of the criterion by which the choice was made.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The panel.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    GaussianMixtureDisplay : What a fit looks like.

    Examples
    --------
    >>> import numpy as np
    >>> from emgmm import GaussianMixture, InformationCriterionDisplay
    >>> from emgmm.datasets import old_faithful
    >>> X = old_faithful().rows
    >>> K = np.arange(1, 5)
    >>> bic = np.array([GaussianMixture(k, random_state=0).fit(X).bic(X) for k in K])
    >>> display = InformationCriterionDisplay(
    ...     n_components=K,
    ...     covariance_type=np.full(4, "full"),
    ...     values=bic,
    ...     best_index=bic.argmin(),
    ...     criterion="bic",
    ...     chosen_by="bic",
    ... ).plot()
    >>> display.ax_.texts[0].get_text()
    'full, 2'
    """

    def __init__(
        self,
        *,
        n_components: Integers,
        covariance_type: NDArray[Any],
        values: Array,
        best_index: int,
        criterion: str,
        chosen_by: str,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.values = values
        self.best_index = best_index
        self.criterion = criterion
        self.chosen_by = chosen_by

    @classmethod
    def from_estimator(
        cls, ic: Any, *, criterion: str | None = None, ax: Axes | None = None
    ) -> Self:
        """Draw what a choice was made from.

        Parameters
        ----------
        ic : GaussianMixtureIC
            Fitted.
        criterion : {'bic', 'aic', 'icl'}, default=None
            Which to draw; the one that chose, by default.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        InformationCriterionDisplay
            With `ax_` and `figure_`.

        Raises
        ------
        NotFittedError
            Where nothing was fitted yet.
        ValueError
            Where there is no such criterion.
        ImportError
            Without matplotlib, which the extra ``plot`` brings.
        """
        needs_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(ic, "results_")
        if criterion is not None and criterion not in CRITERIA:
            raise ValueError(f"criterion must be one of {list(CRITERIA)}, but got {criterion!r}.")
        name = criterion or ic.criterion
        display = cls(
            n_components=np.asarray(ic.results_["n_components"]),
            covariance_type=np.asarray(ic.results_["covariance_type"]),
            values=np.asarray(ic.results_[name], dtype=float),
            best_index=int(ic.best_index_),
            criterion=name,
            chosen_by=ic.criterion,
        )
        return display.plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw again.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        InformationCriterionDisplay
            The display itself.
        """
        needs_matplotlib(f"{type(self).__name__}.plot")
        self.ax_ = panel(ax)
        self.figure_ = self.ax_.figure
        families = list(dict.fromkeys(self.covariance_type.tolist()))
        ends = []
        for number, family in enumerate(families):
            own = np.flatnonzero(self.covariance_type == family)
            own = own[np.argsort(self.n_components[own], kind="stable")]
            x, y = self.n_components[own], self.values[own]
            turn, place = divmod(number, len(COLOURS))
            colour = COLOURS[place]
            style: dict[str, Any] = {"color": colour, "marker": MARKERS[place], "ms": 3.5, "lw": 1}
            style |= {"ls": LINES[turn % len(LINES)], "mfc": "white" if turn else colour}
            self.ax_.plot(x, y, label=family, **style)
            seen = np.flatnonzero(np.isfinite(y))
            if len(seen):
                ends.append((family, colour, float(x[seen[-1]]), float(y[seen[-1]])))
        low, high = self._heights()
        self.ax_.margins(x=0.05)
        self.ax_.set_ylim(low - 0.16 * (high - low), high + 0.04 * (high - low))
        self.ax_.locator_params(axis="x", integer=True)
        self.ax_.set_xlabel("components")
        self.ax_.set_ylabel(f"{self.criterion.upper()}, lower is better")
        self._mark_choice()
        name_lines(self.ax_, ends)
        longest = max(len(name) for name, *_ in ends)
        small_print(self.ax_, self._said(self.ax_.get_ylim()[1]), LEADER + 5.5 * longest + 3)
        return self

    def _heights(self) -> tuple[float, float]:
        """Lowest and highest value in the picture, which shows each family where it is best.

        What is far above that would leave no room to see the lines where the choice is made.
        """
        seen = self.values[np.isfinite(self.values)]
        families = [self.values[self.covariance_type == f] for f in set(self.covariance_type)]
        bests = [np.nanmin(values) for values in families if np.isfinite(values).any()]
        low, high = seen.min(), seen.max()
        reach = 2 * max(max(bests) - low, np.median(seen) - low)
        return float(low), float(min(high, low + reach) if reach > 0 else high or 1.0)

    def _said(self, top: float) -> list[str]:
        said = []
        above, failed = int((self.values > top).sum()), int(np.isnan(self.values).sum())
        if failed:
            said.append(f"{failed} of {len(self.values)} fits failed")
        if above:
            said.append(f"{above} of {len(self.values)} fits lie above")
        return said

    def _mark_choice(self) -> None:
        k, value = int(self.n_components[self.best_index]), self.values[self.best_index]
        name = f"{self.covariance_type[self.best_index]}, {k}"
        if self.chosen_by != self.criterion:
            name += f" by {self.chosen_by.upper()}"
        self.ax_.plot(k, value, marker="o", ms=11, mfc="none", mec="black", mew=1.2)
        left, right = self.ax_.get_xlim()
        aside = "left" if k < (left + right) / 2 else "right"
        style: dict[str, Any] = {"ha": aside, "va": "top", "fontsize": "small"}
        where: dict[str, Any] = {"xytext": (-6 if aside == "left" else 6, -8)}
        where["textcoords"] = "offset points"
        haloed(self.ax_.annotate(name, (k, value), fontweight="bold", **where, **style))


def name_lines(ax: Axes, ends: Sequence[tuple[str, str, float, float]]) -> None:
    """Write each line's name right of the panel, as near to its end as others allow.

    Parameters
    ----------
    ax : Axes
        The panel, its limits set.
    ends : sequence of (str, str, float, float)
        Name, colour and last point of each line.
    """
    low, high = ax.get_ylim()
    heights = np.array([(y - low) / (high - low) for *_, y in ends])
    inches = ax.get_window_extent().height / ax.figure.dpi
    for (name, colour, x, y), height in zip(ends, spread(heights, 0.11 / inches), strict=True):
        leader: dict[str, Any] = {
            "arrowstyle": "-",
            "color": colour,
            "lw": 0.6,
            "shrinkA": 0,
            "shrinkB": 3,
        }
        ax.annotate(
            name,
            (x, min(y, high)),
            xytext=(1, height),
            textcoords=beside(ax, LEADER),
            va="center",
            fontsize="x-small",
            color=colour,
            arrowprops={**leader, "relpos": (0, 0.5)},
            annotation_clip=False,
        )


def spread(heights: Array, gap: float) -> Array:
    """Heights between 0 and 1, moved as little as keeps them `gap` apart, in the same order."""
    gap = min(gap, 1 / max(len(heights) - 1, 1))
    order = np.argsort(heights, kind="stable")
    moved = np.clip(heights[order], 0, 1) - gap * np.arange(len(heights))
    # Least squares under an order: what would be too near makes a group about its own mean.
    moved = IsotonicRegression().fit_transform(np.arange(len(moved)), moved)
    spread_out = np.empty(len(heights))
    spread_out[order] = np.clip(moved, 0, 1 - gap * (len(heights) - 1)) + gap * np.arange(
        len(heights)
    )
    return spread_out
