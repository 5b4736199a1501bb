"""Callbacks of scikit-learn 1.9 and later: the tasks of a fit, of which they are informed.

A fit is a tree of tasks. `Task` is a task of a fit without callbacks, and does nothing.
`ObservedTask` calls their hooks. `CallbackReporter` makes a task of each start and each iteration
that `fit_mixture` reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator

from emgmm.fitting.loop import Rules, Run
from emgmm.fitting.progress import Reporter

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Mixin without methods, since this version of scikit-learn has no callbacks."""


Result = TypeVar("Result")

# Function of a run that returns the attributes of an estimator that is fitted by this run.
Attributes = Callable[[Run], dict[str, Any]]


class Task:
    """Task of a fit without callbacks."""

    def subtask(
        self,
        name: str,  # noqa: ARG002
        max_subtasks: int | None = 0,  # noqa: ARG002
        *,
        number: int | None = None,  # noqa: ARG002
        sequential: bool = True,  # noqa: ARG002
        attributes: Attributes | None = None,  # noqa: ARG002
    ) -> Task:
        """Begin a task within this one.

        Parameters
        ----------
        name : str
            Name of the task.
        max_subtasks : int or None, default=0
            Largest number of tasks within it; None if it is unknown.
        number : int, optional
            Number of the task, which is required if the tasks within this one are not sequential.
        sequential : bool, default=True
            Whether the tasks within the new one are made in succession.
        attributes : callable, optional
            Function of a run that returns the attributes of an estimator that is fitted by this
            run. By default, that of this task.
        """
        return self

    def end(self, run: Callable[[], Run] | None = None) -> bool:  # noqa: ARG002
        """End the task, and return whether the tasks that would follow it have to be left out.

        Parameters
        ----------
        run : callable, optional
            Function that returns the run at the end of the task.
        """
        return False

    def reporter(self, level: int, interval: int) -> Reporter:
        """Return a reporter of fits that belong to this task; see `Reporter`."""
        return Reporter(level, interval)

    def fit_of(self, estimator: Any) -> AbstractContextManager[None]:  # noqa: ARG002
        """Return a context of a task within this one, in which another estimator is fitted."""
        return nullcontext()


@dataclass(frozen=True, eq=False)
class ObservedTask(Task):
    """Task of a fit with callbacks.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator that is fitted.
    data : dict
        Functions without arguments that return what the hooks are passed: X, y and metadata.
    context : CallbackContext
        Context of the task.
    attributes : callable, optional
        Function of a run that returns the attributes of an estimator that is fitted by this run.
    """

    estimator: Any
    data: dict[str, Callable[[], Any]]
    context: Any
    attributes: Attributes | None = None

    def begin(self) -> None:
        """Call the hooks of the beginning of the task."""
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def subtask(
        self,
        name: str,
        max_subtasks: int | None = 0,
        *,
        number: int | None = None,
        sequential: bool = True,
        attributes: Attributes | None = None,
    ) -> ObservedTask:
        context = self.context.subcontext(
            task_name=name,
            task_id=number,
            max_subtasks=max_subtasks,
            sequential_subtasks=sequential,
        )
        task = replace(self, context=context, attributes=attributes or self.attributes)
        task.begin()
        return task

    def end(self, run: Callable[[], Run] | None = None) -> bool:
        attributes = self.attributes
        if run is None or attributes is None:
            return self.end_with(None)
        return self.end_with(lambda: _copied(attributes(run())))

    def end_with(self, attributes: Any) -> bool:
        """End the task with attributes of the estimator, or a function that returns them."""
        stop: bool = self.context.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes=attributes, **self.data
        )
        return stop

    def reporter(self, level: int, interval: int) -> Reporter:
        return CallbackReporter(level, interval, self)

    @contextmanager
    def fit_of(self, estimator: Any) -> Iterator[None]:
        task = replace(self, context=self.context.subcontext(task_name="fit-model"))
        with task.context.propagate_callback_context(estimator):
            task.begin()
            yield
            task.end()


def _copied(value: Any) -> Any:
    """Return attributes with copies of all arrays, which a callback may change.

    Other objects, such as a function that is the density of noise, may have no copies.
    """
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if isinstance(value, BaseEstimator):
        value = copy(value)
        value.__dict__.update(_copied(vars(value)))
    return value


class CallbackReporter(Reporter):
    """Reporter that makes tasks of the starts and the iterations of fits.

    Parameters
    ----------
    level, interval : int
        Level and interval of the output.
    task : Task
        Task to which the fits belong.
    """

    needs_mixtures = True

    def __init__(self, level: int, interval: int, task: Task) -> None:
        super().__init__(level, interval)
        self._task = task
        self._open: list[Task] = []
        self._iteration: Task | None = None

    def _begin(self, name: str, max_subtasks: int | None) -> None:
        above = self._open[-1] if self._open else self._task
        self._open.append(above.subtask(name, max_subtasks))

    def _end(self, run: Callable[[], Run] | None = None) -> bool:
        """End the innermost task, and an iteration that was not completed."""
        if self._iteration is not None:
            self._iteration.end()
            self._iteration = None
        return self._open.pop().end(run)

    def begin(self, start: int, rules: Rules) -> None:
        self.close()
        super().begin(start, rules)
        self._begin("start", _max_subtasks(rules))

    def begin_all_rows(self, rules: Rules) -> None:
        self._begin("all-rows", _max_subtasks(rules))

    def begin_iteration(self) -> None:
        if self._iteration is None:
            self._iteration = self._open[-1].subtask("iteration")

    def end_iteration(self, so_far: Callable[[], Run]) -> bool:
        iteration, self._iteration = self._iteration, None
        assert iteration is not None
        return iteration.end(so_far)

    def begin_split(self) -> None:
        self._begin("split", None)

    def end_split(self, ended: Run) -> None:
        self._end(lambda: ended)

    def failed(self) -> bool:
        super().failed()
        self.stopped = self._end()
        return self.stopped

    def end(self, ended: Run) -> bool:
        super().end(ended)
        self.stopped = self._end(lambda: ended)
        return self.stopped

    def close(self) -> None:
        while self._open:
            self._end()


def _max_subtasks(rules: Rules) -> int:
    """Return the largest number of tasks within a start: iterations, and one for all splits."""
    return rules.max_iter + rules.stop_if_coincident


def has_callbacks(estimator: Any) -> bool:
    """Whether callbacks are set on an estimator."""
    return hasattr(estimator, "_skl_callbacks")


class CallbackMixin(CallbackSupportMixin):
    """Mixin of estimators that inform callbacks of the tasks of `fit`."""

    def _observed(
        self,
        fit: Callable[[Task], Result],
        X: Any,
        y: Any,
        sample_weight: Any,
        max_subtasks: int | None = 0,
        *,
        sequential: bool = True,
        attributes: Attributes | None = None,
    ) -> Result:
        """Return the result of a function of the task of the whole fit, which fits the estimator.

        The parameters from `max_subtasks` are those of `Task.subtask`.
        """
        if not has_callbacks(self):
            return fit(Task())
        # `ScoringMonitor` computes no score where y is None. With an empty y it computes those that
        # do not use y, and those that do raise an error.
        targets = np.empty(0) if y is None else y
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        data = {"X": lambda: X, "y": lambda: targets, "metadata": lambda: metadata}

        def observed(estimator: Any) -> Result:
            context = self._init_callback_context(
                max_subtasks=max_subtasks, sequential_subtasks=sequential
            )
            task = ObservedTask(estimator, data, context, attributes)
            task.begin()
            result = fit(task)
            task.end_with({})  # the estimator itself is fitted now
            return result

        fitted: Result = with_callbacks(observed)(self)
        return fitted
