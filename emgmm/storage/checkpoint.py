"""Checkpoints: a fit that is interrupted goes on from a file, and ends as if it had not been.

Kept are the runs of the present start that have ended, how far the one under way has come, and the
best of the starts before. A fit that goes on makes its steps anew, with the same random numbers,
but is told what has ended, and takes up what was under way.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from emgmm.acceleration import Scheme, Step
from emgmm.covariances import FAMILIES
from emgmm.em import EM
from emgmm.exceptions import CheckpointWarning, DegenerateCovarianceError, frames_to_user
from emgmm.fitting.loop import Callbacks, Ending, Progress, Rules, Run, run
from emgmm.fitting.recorder import Failure, Recorder, StartsSoFar
from emgmm.mixture import Mixture
from emgmm.sources import DigestedSource, Source
from emgmm.storage.archive import Archive, DamagedError, OtherVersionError, check_type
from emgmm.storage.files import BusyError, NoLocksError, held, replaced
from emgmm.storage.models import encode
from emgmm.storage.records import CLASSES, Content, FinishedRun, Record, check_record
from emgmm.version import __version__

NOISE = "noise"

# What a fit that goes on may have otherwise than before.
FREE = ("max_iter", "verbose", "verbose_interval", "checkpoint", "checkpoint_every")

CONSTANTS: dict[str, Any] = {**FAMILIES, **Ending.__members__}


def archive(noise: Any = None) -> Archive:
    """The reader and writer of checkpoints; the noise of their fits may be a function."""
    constants = CONSTANTS if noise is None else {**CONSTANTS, NOISE: noise}
    return Archive(CLASSES, constants, f"emgmm {__version__}")


class Checkpoint(Recorder):
    """A journal that is kept in a file.

    Parameters
    ----------
    path : Path
        The file. What is in it is taken up.
    every : float
        Seconds between two times that it is written.
    settings : dict
        What must be the same when the fit goes on, as text.
    noise : callable, optional
        A log-density of noise, which is not kept in the file.

    Raises
    ------
    ValueError
        Where the file is no checkpoint, or one of a fit with other settings.
    """

    def __init__(
        self, path: Path, every: float, settings: dict[str, str], noise: Any = None
    ) -> None:
        self.path = path
        self.archive = archive(noise)
        self.every = every
        self.settings = settings
        self.digest: int | None = None
        self.record: Record | None = None
        self._found = self._read()
        self._told: deque[FinishedRun] = deque()
        self._saved = monotonic()

    def _read(self) -> Content | None:
        try:
            found = self.archive.read(self.path)
            check_type("what is in it", found, Content)
        except FileNotFoundError:
            return None
        except OtherVersionError as error:
            raise ValueError(
                f"The checkpoint {self.path} was written by {error.version}, and this is "
                f"{self.archive.version}, which may round differently: go on with that version, or "
                "remove the file to start anew."
            ) from None
        except DamagedError as error:
            raise self._damaged(error) from None
        then = found.settings
        names = {*then, *self.settings}
        self._refuse(sorted(name for name in names if then.get(name) != self.settings.get(name)))
        return found

    def _damaged(self, error: ValueError) -> ValueError:
        return ValueError(
            f"{self.path} is no checkpoint of this emgmm, or a damaged one ({error}); remove it to "
            "start anew."
        )

    def _refuse(self, others: list[str]) -> None:
        if others:
            raise ValueError(
                f"The checkpoint {self.path} is of a fit with another {', '.join(others)}; set it "
                "back to go on from there, or remove the file to start anew."
            )

    def reading(self, source: Source) -> Source:
        self._source = DigestedSource(source)
        return self._source

    def opened(
        self, em: EM, random: np.random.RandomState
    ) -> tuple[StartsSoFar, np.random.RandomState]:
        self.digest, em.source = self._source.digest, self._source.source
        if self._found is None:
            return super().opened(em, random)
        if self._found.digest != self.digest:
            self._refuse(["X, sample_weight or order of rows"])
        record = self._found.record
        goes_on = deepcopy(random)
        try:
            check_record(record, em, random)
            goes_on.set_state(record.random)
        except (ValueError, OverflowError) as error:
            raise self._damaged(ValueError(error)) from None
        self.record = record
        self._told.extend(record.ended)
        em.passes = record.passes
        return record.standing, goes_on

    def start(self, standing: StartsSoFar, em: EM, random: np.random.RandomState) -> None:
        if self.record is None or standing is not self.record.standing:
            self._keep(Record(standing, random.get_state(legacy=False), em.passes))

    def run(
        self,
        em: EM,
        scheme: Scheme,
        first: Callable[[], Step],
        *,
        rules: Rules,
        before: float,
        watcher: Callbacks | None = None,
    ) -> Run:
        assert self.record is not None
        if self._told:
            told = self._told.popleft()
            em.passes = told.passes
            if told.run is None:
                assert told.failure is not None
                raise told.failure.error()
            return told.run
        progress = self.record.under_way
        try:
            if progress is None:
                progress = Progress.begun(scheme(first()), before, em)
            em.passes = progress.passes
            ended = run(em, progress, rules=rules, watcher=watcher, keep=self._progress)
        except DegenerateCovarianceError as error:
            self._ended(FinishedRun(None, Failure.of(error), em.passes))
            raise
        self._ended(FinishedRun(ended, None, em.passes))
        return ended

    def _progress(self, progress: Progress) -> None:
        assert self.record is not None
        self._keep(replace(self.record, under_way=progress))

    def _ended(self, ended: FinishedRun) -> None:
        assert self.record is not None
        self._keep(replace(self.record, ended=(*self.record.ended, ended), under_way=None))

    def _keep(self, record: Record) -> None:
        self.record = record
        if monotonic() - self._saved >= self.every:
            self.save()

    def save(self) -> None:
        """Write what is known to the file; what prevents it is warned of."""
        if self.record is None:
            return
        assert self.digest is not None
        try:
            with replaced(self.path) as file:
                self.archive.write(file, Content(self.settings, self.digest, self.record))
        except OSError as error:
            self._warn("written", error)
        self._saved = monotonic()

    def remove(self) -> None:
        """Remove the file: the fit is over."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            self._warn("removed", error)

    def _warn(self, done: str, error: OSError) -> None:
        message = f"The checkpoint {self.path} could not be {done} ({error}); the fit goes on."
        warnings.warn(message, CheckpointWarning, stacklevel=frames_to_user())


@contextmanager
def kept(
    path: Path, every: float, settings: dict[str, str], noise: Any = None
) -> Iterator[Recorder]:
    """The journal at `path`; it is removed when the fit is over, and written when it is stopped.

    Raises
    ------
    ValueError
        Where another fit has the path, the file is of another fit, or it is not a regular file.

    Warns
    -----
    CheckpointWarning
        Where the path cannot be locked. The fit then goes on without a checkpoint, or, if it is
        only that the file system has no locks, with a checkpoint that is not locked.
    """
    path = Path(os.path.realpath(path))  # so that links are followed, and stay
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot keep a checkpoint at {path}: there is no such folder")
    if path.exists() and not path.is_file():
        raise ValueError(f"The checkpoint {path} is not a regular file: give another path.")
    with ExitStack() as stack:
        try:
            stack.enter_context(held(path))
        except BusyError:
            raise ValueError(
                f"Another fit is under way with the checkpoint {path}: give each a path of its own."
            ) from None
        except NoLocksError as error:
            _not_locked(path, error, "make sure that no other fit uses the path")
        except OSError as error:
            _not_locked(path, error, "the fit goes on without a checkpoint")
            yield Recorder()
            return
        checkpoint = Checkpoint(path, every, settings, noise)
        try:
            yield checkpoint
        except DegenerateCovarianceError:  # it would fail again
            checkpoint.remove()
            raise
        except Exception:
            if checkpoint.record is None or checkpoint.record.begun:
                checkpoint.save()
            else:
                checkpoint.remove()
            raise
        except BaseException:
            checkpoint.save()
            raise
        checkpoint.remove()


def _not_locked(path: Path, error: OSError, therefore: str) -> None:
    message = f"The checkpoint {path} could not be locked ({error}); {therefore}."
    warnings.warn(message, CheckpointWarning, stacklevel=frames_to_user())


def journal(
    path: str | os.PathLike[str] | None,
    every: float,
    parameters: Mapping[str, Any],
    source: Source,
    goes_on: Mixture | None,
) -> AbstractContextManager[Recorder]:
    """Where a fit with these parameters and rows is kept, which may go on from a mixture."""
    if path is None:
        return nullcontext(Recorder())
    settings = {name: said(value) for name, value in parameters.items() if name not in FREE}
    settings["number of rows"] = source.n_rows
    settings["number of features"] = source.n_features
    settings["type of rows"] = source.dtype.str
    names = () if goes_on is None else ("weights", "means", "precisions_cholesky")
    settings["fit to go on from"] = [encode(getattr(goes_on, name), name) for name in names]
    as_text = {name: json.dumps(value) for name, value in settings.items()}
    noise = parameters["noise"]
    return kept(Path(path), every, as_text, noise if callable(noise) else None)


def said(value: Any) -> Any:
    """A parameter as plain values; of what is none, such as a function, its name."""
    try:
        return encode(value, "")
    except ValueError:
        pass
    if hasattr(value, "__array__"):
        return encode(np.asarray(value), "")
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
