"""The picture of a fit: how the objective rose, what happened on the way, where starts ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from emgmm.drawing import COLOURS, GREY, ascent, needs_matplotlib
from emgmm.plotting.layout import panel, small_print
from emgmm.plotting.validation import check_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Marker, size and colour of what is no plain step of EM.
EVENTS = {"escape": ("D", 6, COLOURS[1]), "leap": ("^", 4, COLOURS[2])}

# Of a fit that does not know of its starts.
NO_STARTS = {name: np.empty(0) for name in ("objective", "n_iter", "converged", "ending")}


class ConvergenceDisplay:
    """Picture of how a fit went: the objective after each iteration, its limit, other starts' ends.

    Use `from_estimator` to make one.

    Parameters
    ----------
    history : dict of ndarray
        ``objective``, ``passes`` and ``event``, as in ``history_``.
    remaining_gain : float
        Aitken's estimate of what was left to gain; the limit is drawn where it is finite.
    ending : str
        Name of the fit's ending.
    starts : dict of ndarray
        ``objective``, ``n_iter``, ``converged`` and ``ending`` of each start; a start that failed
        has the objective nan.
    objective_name : str, default='log-likelihood per row'
        What the objective is.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The panel.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    GaussianMixtureDisplay : What was fitted.

    Examples
    --------
    >>> from emgmm import ConvergenceDisplay, GaussianMixture
    >>> from emgmm.datasets import old_faithful
    >>> model = GaussianMixture(2, n_init=5, random_state=0)
    >>> display = ConvergenceDisplay.from_estimator(model.fit(old_faithful().rows))
    >>> [line.get_label() for line in display.ax_.lines][1:]
    ["Aitken's limit", 'ends of starts']
    """

    def __init__(
        self,
        *,
        history: Mapping[str, NDArray[Any]],
        remaining_gain: float,
        ending: str,
        starts: Mapping[str, NDArray[Any]],
        objective_name: str = "log-likelihood per row",
    ) -> None:
        self.history = history
        self.remaining_gain = remaining_gain
        self.ending = ending
        self.starts = starts
        self.objective_name = objective_name

    @classmethod
    def from_estimator(cls, model: Any, *, ax: Axes | None = None) -> Self:
        """Draw the history of a fit.

        Parameters
        ----------
        model : GaussianMixture
            Fitted by `fit`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ConvergenceDisplay
            With `ax_` and `figure_`.

        Raises
        ------
        NotFittedError
            Where the model is not fitted.
        ValueError
            Where it has no history: it follows a stream, or its parameters were given.
        ImportError
            Without matplotlib, which the extra ``plot`` brings.
        """
        check_model(model, cls.__name__)
        if not len(model.history_["objective"]):
            raise ValueError(
                f"This {type(model).__name__} has no history to draw, which only fit keeps. "
                f"({model.ending_.sentence})"
            )
        penalised = model.prior is not None or model.weight_concentration > 1
        display = cls(
            history=model.history_,
            remaining_gain=model.remaining_gain_,
            ending=model.ending_.name,
            starts=getattr(model, "_starts", NO_STARTS),
            objective_name=f"{'penalised ' if penalised else ''}log-likelihood per row",
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
        ConvergenceDisplay
            The display itself.
        """
        needs_matplotlib(f"{type(self).__name__}.plot")
        self.ax_ = panel(ax)
        self.figure_ = self.ax_.figure
        objective, events = self.history["objective"], self.history["event"]
        ascent(self.ax_, objective, self.remaining_gain)
        for event, (marker, size, colour) in EVENTS.items():
            at = np.flatnonzero(events == event)
            if len(at):
                style: dict[str, Any] = {"marker": marker, "ms": size, "color": colour, "ls": ""}
                self.ax_.plot(at, objective[at], label=event, **style)
        if len(self.starts["objective"]) > 1:
            self._draw_starts()
        said = self._said()
        lowest = self._lowest()
        if lowest > objective[0]:
            said.append(f"begins below, at {objective[0]:.4g}")
            top = self.ax_.get_ylim()[1]
            self.ax_.set_ylim(lowest - 0.1 * (top - lowest), top)
        self.ax_.set_ylabel(self.objective_name)
        if self.ax_.get_legend_handles_labels()[0]:
            self.ax_.legend(frameon=False, fontsize="small", loc="best")
        small_print(self.ax_, said)
        return self

    def _draw_starts(self) -> None:
        """Draw where each start ended, those that did not converge hollow."""
        for converged, filling in ((True, GREY), (False, "white")):
            own = np.flatnonzero(self.starts["converged"] == converged)
            own = own[np.isfinite(self.starts["objective"][own])]
            style: dict[str, Any] = {"marker": "o", "ms": 4.5, "mfc": filling, "mec": GREY}
            label = "ends of starts" if converged else "ends, not converged"
            if len(own):
                where = (self.starts["n_iter"][own], self.starts["objective"][own])
                self.ax_.plot(*where, ls="", label=label, zorder=1.5, **style)

    def _lowest(self) -> float:
        """The lowest place in the picture: where the rest would be too small to see, not the first.

        A start is often so far below all that follows that it would take most of the height.
        """
        objective = self.history["objective"]
        rest = np.concatenate([objective[1:], self.starts["objective"]])
        rest = rest[np.isfinite(rest)]
        if not len(rest) or 3 * (rest.max() - rest.min()) > rest.max() - objective[0]:
            return float(objective[0])
        return float(rest.min())

    def _said(self) -> list[str]:
        n_iter, passes = len(self.history["objective"]) - 1, self.history["passes"][-1]
        said = [f"{self.ending}, {n_iter} iterations", f"{passes} passes over the rows"]
        if np.isfinite(self.remaining_gain):
            said.append(f"Aitken's limit {self.history['objective'][-1] + self.remaining_gain:.6g}")
        endings = self.starts["ending"].tolist()
        if len(endings) > 1:
            for name, count in Counter(endings).items():
                said.append(f"{name or 'FAILED'}: {count} of {len(endings)} starts")
        return said
