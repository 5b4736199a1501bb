"""Display of the objective over the iterations of a fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from emgmm.drawing import (
    COLOURS,
    GREY,
    margin_note,
    needs_matplotlib,
    objective_curve,
    panel,
    without_start,
)
from emgmm.plotting.validation import check_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Marker, size and colour of the events other than a plain step of EM.
EVENTS = {"escape": ("D", 6, COLOURS[1]), "leap": ("^", 4, COLOURS[2])}

# Starts of an estimator that has no record of them.
NO_STARTS = {name: np.empty(0) for name in ("objective", "n_iter", "converged", "ending")}


@dataclass(kw_only=True, eq=False, repr=False)
class ConvergenceDisplay:
    """Plot of the objective after each iteration, of its limit and of the ends of all starts.

    Use `from_estimator` to create a display.

    Parameters
    ----------
    history : dict of ndarray
        Arrays ``objective``, ``passes`` and ``event``, as in ``history_``.
    remaining_gain : float
        Aitken's estimate of the remaining gain. The limit is drawn if it is finite.
    ending : str
        Name of the fit's ending.
    starts : dict of ndarray
        Arrays ``objective``, ``n_iter``, ``converged`` and ``ending`` with one entry per start. The
        objective of a start that failed is nan.
    objective_name : str, default='log-likelihood per row'
        Name of the objective.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes in which the display was drawn.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    GaussianMixtureDisplay : Plot of a fitted mixture.

    Examples
    --------
    >>> from emgmm import ConvergenceDisplay, GaussianMixture
    >>> from emgmm.datasets import old_faithful
    >>> model = GaussianMixture(2, n_init=5, random_state=0)
    >>> display = ConvergenceDisplay.from_estimator(model.fit(old_faithful().rows))
    >>> [line.get_label() for line in display.ax_.lines][1:]
    ["Aitken's limit", 'ends of starts']
    """

    history: Mapping[str, NDArray[Any]]
    remaining_gain: float
    ending: str
    starts: Mapping[str, NDArray[Any]]
    objective_name: str = "log-likelihood per row"

    @classmethod
    def from_estimator(cls, model: Any, *, ax: Axes | None = None) -> Self:
        """Draw the history of a fit.

        Parameters
        ----------
        model : GaussianMixture
            Estimator that was fitted by `fit`.
        ax : matplotlib Axes, default=None
            Axes to draw in. None creates a figure.

        Returns
        -------
        ConvergenceDisplay
            The display, with `ax_` and `figure_`.

        Raises
        ------
        TypeError
            If the model is not an estimator of emgmm.
        NotFittedError
            If the model is not fitted.
        ValueError
            If the model has no history, because it follows a stream or its parameters were given.
        ImportError
            If matplotlib is not installed; the extra ``plot`` installs it.
        """
        check_model(model, cls.__name__)
        if not len(model.history_["objective"]):
            raise ValueError(
                f"This {type(model).__name__} has no history to draw, which only fit records. "
                f"({model.ending_.sentence})"
            )
        penalised = model.prior is not None or model.weight_concentration > 1
        return cls(
            history=model.history_,
            remaining_gain=model.remaining_gain_,
            ending=model.ending_.name,
            starts=getattr(model, "_starts", NO_STARTS),
            objective_name=f"{'penalised ' if penalised else ''}log-likelihood per row",
        ).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. None creates a figure.

        Returns
        -------
        ConvergenceDisplay
            The display itself, with `ax_` and `figure_`.
        """
        needs_matplotlib(f"{type(self).__name__}.plot")
        self.ax_ = panel(ax)
        self.figure_ = self.ax_.figure
        objective, events = self.history["objective"], self.history["event"]
        objective_curve(self.ax_, objective, self.remaining_gain)
        for event, (marker, size, colour) in EVENTS.items():
            at = np.flatnonzero(events == event)
            if len(at):
                style: dict[str, Any] = {"marker": marker, "ms": size, "color": colour, "ls": ""}
                self.ax_.plot(at, objective[at], label=event, **style)
        if len(self.starts["objective"]) > 1:
            self._draw_starts()
        limit = objective[-1:] + self.remaining_gain
        others = np.concatenate([objective[1:], self.starts["objective"], limit])
        notes = self._notes() + without_start(self.ax_, objective[0], others)
        self.ax_.set_ylabel(self.objective_name)
        if self.ax_.get_legend_handles_labels()[0]:
            self.ax_.legend(frameon=False, fontsize="small", loc="best")
        margin_note(self.ax_, notes)
        return self

    def _draw_starts(self) -> None:
        """Draw the end of each start, as a hollow point if it did not converge."""
        n_iter, objective = self.starts["n_iter"], self.starts["objective"]
        converged = np.asarray(self.starts["converged"], dtype=bool)
        style: dict[str, Any] = {"marker": "o", "ms": 4.5, "mec": GREY, "ls": "", "zorder": 1.5}
        ends = (("ends of starts", GREY, converged), ("ends, not converged", "white", ~converged))
        for label, filling, of_this_kind in ends:
            own = of_this_kind & np.isfinite(objective)
            if own.any():
                self.ax_.plot(n_iter[own], objective[own], label=label, mfc=filling, **style)

    def _notes(self) -> list[str]:
        """Return the lines of the note in the margin."""
        objective, passes = self.history["objective"], self.history["passes"][-1]
        n_iter = len(objective) - 1
        notes = [f"{self.ending}, {n_iter} iterations", f"{passes} passes over the rows"]
        if np.isfinite(self.remaining_gain):
            notes.append(f"Aitken's limit {objective[-1] + self.remaining_gain:.6g}")
        endings = self.starts["ending"].tolist()
        if len(endings) > 1:
            for name, count in Counter(endings).items():
                notes.append(f"{name or 'FAILED'}: {count} of {len(endings)} starts")
        return notes
