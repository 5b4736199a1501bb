"""Display of a criterion against the number of components, with a line for each family."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from emgmm.diagnostics.summary import counted
from emgmm.drawing import COLOURS, GREY, LEGEND, beside, haloed, inches_of, needs_matplotlib, panel
from emgmm.typing import Array, Integers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

CRITERIA = ("bic", "aic", "icl")

# One marker for each colour. The best families get these; the others are thin grey lines, because
# fourteen lines with different colours and markers would be hard to distinguish.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OTHERS = "0.75"

# Gap in points between the axes and the text to the right of them, and the number of letters in a
# line of the note, which is as wide as the legend.
GAP, LETTERS = 5, 14

# Width in inches of the axes below which letters are smaller.
NARROW = 3


@dataclass(kw_only=True, eq=False, repr=False)
class InformationCriterionDisplay:
    """Plot of an information criterion against the number of components; lower is better.

    Each covariance family has a line. The vertical axis shows the range in which the choice is
    decided: it begins at the lowest value and extends as far as is necessary to show the best fit
    of half of the families and of half of the numbers of components, and then as far again. A note
    beside the panel states how many families and fits lie above that range. The legend names the
    best seven of the families that are in the range, the one with the lowest value first; the
    others are drawn in grey. Use `from_estimator` to create a display.

    Parameters
    ----------
    n_components : ndarray of shape (n,)
        Number of components of each fit.
    covariance_type : ndarray of shape (n,)
        Covariance family of each fit.
    values : ndarray of shape (n,)
        Criterion of each fit; nan if the fit failed.
    best_index : int
        Index of the fit that was chosen, which is always visible.
    criterion : str
        Name of the criterion that is drawn.
    chosen_by : str
        Name of the criterion by which the choice was made.
    sound : ndarray of bool of shape (n,), default=None
        Whether each fit is sound, which means that no component collapsed or starved. A fit that is
        not sound is drawn as a hollow grey point, which is not part of any line and has no
        influence on the range of the vertical axis. None means that all fits are sound.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes in which the display was drawn.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    GaussianMixtureDisplay : Plot of a fitted mixture.

    Notes
    -----
    The note and the legend are to the right of the axes. A figure with ``layout="constrained"``, as
    `from_estimator` creates it, leaves space for them.

    Examples
    --------
    >>> import numpy as np
    >>> from emgmm import GaussianMixture, InformationCriterionDisplay
    >>> from emgmm.datasets import old_faithful
    >>> X = old_faithful().rows
    >>> K = np.arange(1, 5)
    >>> options = {"tol": 1e-6, "max_iter": 1000, "random_state": 0}
    >>> fits = [GaussianMixture(k, **options).fit(X) for k in K]
    >>> bic = np.array([fit.bic(X) for fit in fits])
    >>> display = InformationCriterionDisplay(
    ...     n_components=K,
    ...     covariance_type=np.full(4, "full"),
    ...     values=bic,
    ...     best_index=bic.argmin(),
    ...     criterion="bic",
    ...     chosen_by="bic",
    ... ).plot()
    >>> display.ax_.texts[0].get_text()
    'full, 2 components'
    """

    n_components: Integers
    covariance_type: NDArray[Any]
    values: Array
    best_index: int
    criterion: str
    chosen_by: str
    sound: NDArray[np.bool_] | None = None

    @classmethod
    def from_estimator(
        cls, ic: Any, *, criterion: str | None = None, ax: Axes | None = None
    ) -> Self:
        """Draw the criterion of all candidates of a fitted `GaussianMixtureIC`.

        Parameters
        ----------
        ic : GaussianMixtureIC
            Fitted estimator.
        criterion : {'bic', 'aic', 'icl'}, default=None
            Criterion to draw. None is the criterion by which the choice was made.
        ax : matplotlib Axes, default=None
            Axes to draw in. None creates a figure.

        Returns
        -------
        InformationCriterionDisplay
            The display, with `ax_` and `figure_`.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If there is no such criterion.
        ImportError
            If matplotlib is not installed; the extra ``plot`` installs it.
        """
        needs_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(ic, "results_")
        if criterion is not None and criterion not in CRITERIA:
            raise ValueError(f"criterion must be one of {list(CRITERIA)}, but got {criterion!r}.")
        name = criterion or ic.criterion
        columns = {key: ic.results_[key] for key in ("n_components", "covariance_type", "sound")}
        columns |= {"values": ic.results_[name], "best_index": ic.best_index_}
        return cls(criterion=name, chosen_by=ic.criterion, **columns).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. None creates a figure.

        Returns
        -------
        InformationCriterionDisplay
            The display itself, with `ax_` and `figure_`.
        """
        needs_matplotlib(f"{type(self).__name__}.plot")
        self.ax_ = panel(ax)
        self.figure_ = self.ax_.figure
        families, unsound = self._draw_families(), self._draw_unsound()
        self.ax_.margins(x=0.06)
        self.ax_.set_ylim(self._range())
        ticks = min(len(np.unique(self.n_components)), 3)
        self.ax_.locator_params(axis="x", integer=True, min_n_ticks=ticks)
        lower = f"{self.criterion.upper()} (lower is better)"
        self.ax_.set(xlabel="number of components", ylabel=lower)
        self._mark_choice()
        self._write_legend(families, unsound)
        self._write_note()
        return self

    def _on_lines(self) -> NDArray[np.bool_]:
        """Return which fits are on the lines: those that are sound and did not fail."""
        finite = np.isfinite(self.values)
        return finite if self.sound is None else finite & np.asarray(self.sound, dtype=bool)

    def _lowest(self) -> dict[Any, float]:
        """Return the lowest value of each family on its line, in ascending order."""
        on_lines = self._on_lines()
        return lowest_of_each(self.covariance_type[on_lines], self.values[on_lines])

    def _range(self) -> tuple[float, float]:
        """Return the limits of the vertical axis, with space below for the name of the choice."""
        included = self._on_lines()
        if not included.any():
            included = np.isfinite(self.values)
        low, high = competitive_range(
            self.n_components[included], self.covariance_type[included], self.values[included]
        )
        chosen = float(self.values[self.best_index])
        low, high = min(low, chosen), max(high, chosen)
        height = (high - low) or 1.0
        return low - 0.16 * height, high + 0.04 * height

    def _draw_families(self) -> list[Line2D]:
        """Draw a line for each family, and return the lines, that of the best family first."""
        values = np.where(self._on_lines(), self.values, np.nan)
        order = np.argsort(self.n_components, kind="stable")
        lines = []
        for rank, family in enumerate(self._lowest()):
            own = order[self.covariance_type[order] == family]
            style: dict[str, Any] = {"color": OTHERS, "marker": "o", "ms": 1.5, "lw": 0.8}
            if rank < len(COLOURS):
                style = {"color": COLOURS[rank], "marker": MARKERS[rank], "ms": 3.5, "lw": 1}
            # The better families are drawn over the worse ones.
            style["zorder"] = 2 + 0.5 / (1 + rank)
            lines += self.ax_.plot(self.n_components[own], values[own], label=family, **style)
        return lines

    def _draw_unsound(self) -> list[Line2D]:
        """Draw a hollow grey point for each fit that is not sound."""
        unsound = np.isfinite(self.values) & ~self._on_lines()
        if not unsound.any():
            return []
        style: dict[str, Any] = {"ls": "", "marker": "o", "ms": 4, "mfc": "white", "mec": GREY}
        where = (self.n_components[unsound], self.values[unsound])
        return list(self.ax_.plot(*where, label="not sound", zorder=1.5, **style))

    def _write_note(self) -> None:
        """Write to the right of the axes how many fits are not on the visible parts of lines."""
        on_lines, total, top = self._on_lines(), len(self.values), self.ax_.get_ylim()[1]
        lowest = self._lowest()
        families = sum(value > top for value in lowest.values())
        above = np.count_nonzero(self.values[on_lines] > top)
        failed = np.count_nonzero(~np.isfinite(self.values))
        unsound = total - failed - np.count_nonzero(on_lines)
        note = []
        if failed:
            note.append(f"{failed} of {total} fits failed")
        if unsound:
            note.append(f"{unsound} of {total} fits {'is' if unsound == 1 else 'are'} not sound")
        if above:
            which = f"{families} of {len(lowest)} families and " if families else ""
            note.append(f"{which}{above} of {total} fits {'lies' if above == 1 else 'lie'} above")
        gap = "\n" if inches_of(self.ax_) < NARROW else "\n\n"
        text = gap.join(textwrap.fill(line, LETTERS) for line in note)
        style: dict[str, Any] = {"fontsize": self._small(), "color": "0.4", "va": "bottom"}
        self.ax_.text(1, 0, text, transform=beside(self.ax_, GAP), **style)

    def _mark_choice(self) -> None:
        """Draw a ring around the fit that was chosen, and write its name below it."""
        k, value = int(self.n_components[self.best_index]), self.values[self.best_index]
        name = f"{self.covariance_type[self.best_index]}, {counted(k, 'component')}"
        if self.chosen_by != self.criterion:
            name += f",\nchosen by {self.chosen_by.upper()}"
        self.ax_.plot(k, value, marker="o", ms=11, mfc="none", mec="black", mew=1.2)
        left, right = self.ax_.get_xlim()
        # The name extends in the direction in which there is most space.
        side = ("left", "center", "right")[min(int(3 * (k - left) / (right - left)), 2)]
        size = "x-small" if inches_of(self.ax_) < NARROW else "small"
        style: dict[str, Any] = {"ha": side, "va": "top", "fontsize": size, "fontweight": "bold"}
        away = ({"left": -4, "center": 0, "right": 4}[side], -8)
        haloed(self.ax_.annotate(name, (k, value), away, textcoords="offset points", **style))

    def _write_legend(self, families: list[Line2D], unsound: list[Line2D]) -> None:
        """Write the legend of the visible lines to the right of the axes, the best family first."""
        visible, n_colours = [*filter(self._is_visible, families)], len(COLOURS)
        # The first of the grey lines stands for all of them.
        handles = [*visible[: n_colours + 1], *filter(self._is_visible, unsound)]
        labels = [str(line.get_label()) for line in handles]
        if len(visible) > n_colours:
            labels[n_colours] = counted(len(visible) - n_colours, "other")
        where: dict[str, Any] = {"bbox_to_anchor": (1, 1), "bbox_transform": beside(self.ax_, GAP)}
        style: dict[str, Any] = {**LEGEND, "borderpad": 0, "handlelength": 1.7}
        style |= {"handletextpad": 0.5, "fontsize": self._small()}
        self.ax_.legend(handles, labels, loc="upper left", **where, **style)

    def _small(self) -> str:
        """Return the size of the letters to the right of the axes."""
        return "xx-small" if inches_of(self.ax_) < NARROW else "x-small"

    def _is_visible(self, line: Line2D) -> bool:
        """Return whether some point of a line is within the vertical axis."""
        bottom, top = self.ax_.get_ylim()
        values = np.asarray(line.get_ydata(), dtype=float)
        return bool(((bottom <= values) & (values <= top)).any())


def lowest_of_each(groups: NDArray[Any], values: Array) -> dict[Any, float]:
    """Return the lowest value of each group, in ascending order of these values."""
    lowest = {group: float(values[groups == group].min()) for group in dict.fromkeys(groups)}
    return dict(sorted(lowest.items(), key=itemgetter(1)))


def competitive_range(
    n_components: Integers, covariance_type: NDArray[Any], values: Array
) -> tuple[float, float]:
    """Return the range of the criterion in which the choice between fits is decided.

    The range begins at the lowest value. It extends twice as far as is necessary to contain the
    lowest value of half of the families and of half of the numbers of components. So a few families
    or numbers of components that are much worse than the others have no influence on it.

    Parameters
    ----------
    n_components : ndarray of shape (n,)
        Number of components of each fit.
    covariance_type : ndarray of shape (n,)
        Covariance family of each fit.
    values : ndarray of shape (n,)
        Criterion of each fit, finite.

    Returns
    -------
    low, high : float
        The lowest value, and the end of the range, which is at most the highest value.
    """
    families = list(lowest_of_each(covariance_type, values).values())
    numbers = list(lowest_of_each(n_components, values).values())
    low, high = float(values.min()), float(values.max())
    # Of two families the better one, and of two numbers of components both must be in the range.
    far = max(families[(len(families) - 1) // 2], numbers[len(numbers) // 2])
    return low, min(high, low + 2 * (far - low)) if far > low else high
