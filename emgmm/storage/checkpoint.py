"""Checkpoints, from which an interrupted fit continues to the same result.

A checkpoint contains the best of the previous starts, the finished runs of the current start and
the state of its unfinished run. A fit that continues repeats the current start with the same random
numbers, but takes the results of finished runs from the checkpoint and resumes the unfinished one.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.random import RandomState

from emgmm.covariances import FAMILIES
from emgmm.em import EM
from emgmm.estep.compiled.estep import sums_of_columns
from emgmm.exceptions import CheckpointWarning, DegenerateCovarianceError, frames_to_user
from emgmm.fitting.loop import Ending, Progress, Run
from emgmm.fitting.recorder import FinishedStarts, Recorder
from emgmm.mixture import Mixture
from emgmm.sources import Source
from emgmm.sources.digest import digest_of, sums_of_bits
from emgmm.storage.archive import Archive, DamagedError, OtherVersionError, check_type
from emgmm.storage.files import BusyError, NoLocksError, locked, reason, replaced
from emgmm.storage.models import encode
from emgmm.storage.records import CLASSES, Content, FinishedRun, Record, check_record
from emgmm.version import __version__

NOISE = "noise"

# Version of the format of checkpoints.
FORMAT = 7

# Parameters that may change when a fit continues.
FREE = ("max_iter", "verbose", "verbose_interval", "checkpoint", "checkpoint_every")


def archive(noise: Any = None) -> Archive:
    """Return the reader and writer of checkpoints of fits whose noise may be a function."""
    constants: dict[str, Any] = {**FAMILIES, **Ending.__members__}
    if noise is not None:
        constants[NOISE] = noise
    return Archive(CLASSES, constants, f"emgmm {__version__} (format {FORMAT})")


class Checkpoint(Recorder):
    """Recorder that stores the state of a fit in a file.

    Parameters
    ----------
    path : Path
        Path of the file. If the file exists, the fit continues from it.
    every : float
        Smallest number of seconds between two writes of the file.
    settings : dict
        Settings that must be the same when the fit continues, as text.
    noise : callable, optional
        Log-density of the noise, which is not stored in the file.

    Raises
    ------
    ValueError
        If the file is not a checkpoint, or one of a fit with other settings.
    """

    sums_of_bits = staticmethod(partial(sums_of_bits, of_columns=sums_of_columns))

    def __init__(self, path: Path, every: float, settings: dict[str, str], noise: Any) -> None:
        self.path = path
        self.archive = archive(noise)
        self.every = every
        self.settings = settings
        self.record: Record | None = None
        self._content = self._read()
        self._finished: deque[FinishedRun] = deque()
        self._saved = monotonic()
        self._owner = os.getpid()
        self._has_failed = False

    def _read(self) -> Content | None:
        try:
            content = self.archive.read(self.path)
            check_type("its content", content, Content)
        except FileNotFoundError:
            return None
        except OtherVersionError as error:
            raise ValueError(
                f"The checkpoint {self.path} was written by {error}, and this is "
                f"{self.archive.version}, which may round differently: continue with that version, "
                "or remove the file to start anew."
            ) from None
        except DamagedError as error:
            raise self._damaged(error) from None
        given, stored = self.settings, content.settings
        self._refuse(name for name in {*given, *stored} if given.get(name) != stored.get(name))
        return content

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(
            f"{self.path} is not a checkpoint of this emgmm, or a damaged one ({error}); remove it "
            "to start anew."
        )

    def _refuse(self, differences: Iterable[str]) -> None:
        names = ", ".join(sorted(differences))
        if names:
            raise ValueError(
                f"The checkpoint {self.path} is of a fit with another {names}; set it back to "
                "continue, or remove the file to start anew."
            )

    def restore(self, em: EM, random: RandomState) -> tuple[FinishedStarts, RandomState]:
        self._em, self._digest = em, digest_of(em.summary)
        if self._content is None:
            return super().restore(em, random)
        if self._content.digest != self._digest:
            self._refuse(["X, sample_weight, labels or order of rows"])
        record = self._content.record
        restored = deepcopy(random)
        try:
            check_record(record, em, random)
            restored.set_state(record.random)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._damaged(error) from None
        self.record = record
        self._finished.extend(record.finished)
        em.passes = record.passes
        return record.starts, restored

    def begin_start(self, starts: FinishedStarts, em: EM, random: RandomState) -> None:
        if self.record is None or starts is not self.record.starts:
            self.record = Record(starts, random.get_state(legacy=False), em.passes)
            self._keep()

    def run(self, begin: Callable[[], Progress], iterate: Callable[..., Run]) -> Run:
        assert self.record is not None
        em = self._em
        if self._finished:
            finished = self._finished.popleft()
            em.passes = finished.passes
            if finished.run is None:
                raise DegenerateCovarianceError(finished.failed or ())
            return finished.run
        try:
            progress = self.record.progress or begin()
            em.passes = progress.passes
            result = iterate(progress, record=partial(self._keep, None))
        except DegenerateCovarianceError as error:
            self._keep(FinishedRun(None, error.components, em.passes))
            raise
        self._keep(FinishedRun(result, None, em.passes))
        return result

    def _keep(self, run: FinishedRun | None = None, progress: Progress | None = None) -> None:
        """Record the end of a run, or the progress of an unfinished one."""
        assert self.record is not None
        finished = self.record.finished if run is None else (*self.record.finished, run)
        self.record = replace(self.record, finished=finished, progress=progress)
        if monotonic() - self._saved >= self.every:
            self.save()

    @property
    def is_empty(self) -> bool:
        """Whether the fit has begun, but has no result from which it could continue."""
        return self.record is not None and not self.record.has_results

    @property
    def _is_owner(self) -> bool:
        """Whether this process began the fit; one that was forked during it leaves the file."""
        return os.getpid() == self._owner

    def save(self) -> None:
        """Write the state of the fit to the file; the first failure leads to a warning."""
        if self.record is None or not self._is_owner:
            return
        content = Content(self.settings, self._digest, self.record)
        try:
            self._check_regular()
            with replaced(self.path) as file:
                self.archive.write(file, content)
        except OSError as error:
            if not self._has_failed:
                warn(self.path, "written", error)
            self._has_failed = True
        self._saved = monotonic()

    def _check_regular(self) -> None:
        """Raise OSError if something else, such as a pipe, has taken the place of the file."""
        if self.path.exists() and not self.path.is_file():
            raise OSError("it is not a regular file")

    def remove(self) -> None:
        """Remove the file after the end of the fit; a failure leads to a warning."""
        try:
            if self._is_owner:
                self._check_regular()
                self.path.unlink(missing_ok=True)
        except OSError as error:
            warn(self.path, "removed", error)


def warn(path: Path, action: str, error: OSError, consequence: str = "the fit continues") -> None:
    """Warn that a checkpoint could not be written, removed or locked."""
    message = f"The checkpoint {path} could not be {action} ({reason(error)}); {consequence}."
    warnings.warn(message, CheckpointWarning, stacklevel=frames_to_user())


@contextmanager
def recorder(estimator: Any, source: Source, initial: Mixture | None) -> Iterator[Recorder]:
    """Record a fit at the path `checkpoint` of an estimator, every `checkpoint_every` seconds.

    The file is removed at the end and written on interruption. The fit may start from the `initial`
    mixture of another fit. Without a path, nothing is stored.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If another fit uses the path, the file is of another fit, or it is not a regular file.

    Warns
    -----
    CheckpointWarning
        If the path cannot be locked. The fit then continues without a checkpoint or, if the file
        system has no locks, with a checkpoint that is not locked.
    """
    if estimator.checkpoint is None:
        yield Recorder()
        return
    settings = described(estimator.get_params(deep=False), source, initial)
    path = Path(os.path.realpath(estimator.checkpoint))  # a link is followed and not replaced
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write a checkpoint at {path}: there is no such folder")
    if path.exists() and not path.is_file():
        raise ValueError(f"The checkpoint {path} is not a regular file: give another path.")
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except BusyError:
            raise ValueError(
                f"Another fit is using the checkpoint {path}: give each fit a path of its own."
            ) from None
        except NoLocksError as error:
            warn(path, "locked", error, "make sure that no other fit uses the path")
        except OSError as error:
            warn(path, "locked", error, "the fit continues without a checkpoint")
            yield Recorder()
            return
        noise = estimator.noise if callable(estimator.noise) else None
        checkpoint = Checkpoint(path, estimator.checkpoint_every, settings, noise)
        try:
            yield checkpoint
        except BaseException as error:
            fails_again = isinstance(error, DegenerateCovarianceError)
            if fails_again or (isinstance(error, Exception) and checkpoint.is_empty):
                checkpoint.remove()
            else:
                checkpoint.save()
            raise
        checkpoint.remove()


def described(params: dict[str, Any], source: Source, initial: Mixture | None) -> dict[str, str]:
    """Return the settings that must be the same when a fit continues, as text."""
    for name in ("covariance_type", "acceleration"):
        if not isinstance(params[name], str | None):
            raise ValueError(
                f"With a checkpoint, {name} must be a name, but it is {params[name]!r}: use a "
                "name, or set checkpoint=None."
            )
    settings = {name: describe(value) for name, value in params.items() if name not in FREE}
    settings["number of rows"] = source.n_rows
    settings["number of features"] = source.n_features
    settings["type of rows"] = source.dtype.str
    names = () if initial is None else ("weights", "means", "precisions_cholesky")
    settings["initial mixture"] = [encode(getattr(initial, name), name) for name in names]
    return {name: json.dumps(value) for name, value in settings.items()}


def describe(value: Any) -> Any:
    """Return a parameter as JSON types, or its name if it is a function or another object."""
    with suppress(ValueError):
        return encode(value, "")
    if hasattr(value, "__array__"):
        return encode(np.asarray(value), "")
    definition = value if hasattr(value, "__qualname__") else type(value)
    return f"{definition.__module__}.{definition.__qualname__}"
