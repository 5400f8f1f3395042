"""Has a job done on its system: submitted once, watched, and taken up again after whatever ended the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from uuid import uuid4

import psutil

from modelpress.artifact import FileFacts, file_facts
from modelpress.engine.cache import Cache
from modelpress.engine.checkpoints import CheckpointsBack
from modelpress.engine.heard import Heard
from modelpress.engine.history import keep_events
from modelpress.engine.job import Result, read_answer
from modelpress.engine.submitted import Submitted, SubmittedJobs
from modelpress.engine.systems import OpenSystems
from modelpress.errors import ArtifactGone, HostError, ModelpressError, Pruned, WorkerDied
from modelpress.events import Log
from modelpress.system import Handle, JoiningSystem, System, Tell

ANSWER = ("result.json", "error.json", "events.jsonl", "log.txt")
"""What tells how a job went: brought back from wherever it ran."""


@dataclass(frozen=True, slots=True)
class Order:
    """A job to be done.

    lay_out: (folder, id, made) lays out the folder for a fresh try. made: key -> id, of the jobs before it in
             its submission
    gives_out: whether it makes anything in `out`
    then:    what a system that joins jobs can do after it in the same go
    """

    key: str
    name: str
    type: str
    system: str
    lay_out: Callable[[Path, str, Mapping[str, str]], None]
    gives_out: bool = True
    then: Callable[[], Sequence[Order]] = tuple


class JobRunner:
    """Has the jobs of a run done. detach: asked at an interruption, whether a job that can go on without the
    run is to do so."""

    def __init__(
        self,
        cache: Cache,
        systems: OpenSystems,
        tell: Tell,
        workflow: str = "",
        detach: Callable[[], bool] = lambda: False,
    ) -> None:
        self._cache = cache
        self._systems = systems
        self._tell = tell
        self._workflow = workflow
        self._detach = detach
        self._submitted = SubmittedJobs(cache.folder)
        self._at_work: dict[str, tuple[System, Submitted]] = {}
        self._joined: dict[str, bool] = {}
        """Key -> whether it goes on from a checkpoint, of jobs that this run submitted with others."""
        self._lock = threading.Lock()
        self._stopped = False

    def do(self, order: Order, on_start: Callable[[bool], None]) -> tuple[Result, Handle | None]:
        """Do it, or take up what an earlier run began. Returns what the worker answered, and the job's handle
        where the system keeps what it made; raises the error that it met. on_start(resumed)"""
        left = self._submitted.find(order.key)
        if left and left.attachable and (left.handle is not None or left.leads):
            return self._attach(order, left, on_start)
        if left and (found := self._finished(left)):
            on_start(True)
            return found, None
        return self._begin(order, on_start)

    def is_submitted(self, key: str) -> bool:
        """Whether there is a job that does it, or did."""
        return self._submitted.find(key) is not None

    def cancel_all(self) -> None:
        """End all jobs that are at work, for whoever waits for them in other threads; none is begun any
        more."""
        with self._lock:
            self._stopped = True
            jobs = list(self._at_work.values())
        for system, job in jobs:
            if job.handle is not None and not (job.attachable and self._detach()):
                system.cancel(job.handle)

    def cancel_joined(self) -> None:
        """End those that this run submitted with others, and waits for no more."""
        for key in self._joined:
            job = self._submitted.find(key)
            if job is not None and job.handle is not None and not self._detach():
                self._systems.at(job.place).cancel(job.handle)
                self._submitted.forget(*job.rest)

    def _begin(self, order: Order, on_start: Callable[[bool], None]) -> tuple[Result, Handle | None]:
        system = self._systems.ready(order.system, self._cache, self._tell)
        orders = [order, *(order.then() if system.traits.joins_jobs else ())]
        jobs: list[Submitted] = []
        for each in orders:
            folder = self._cache.job_folder(each.key)
            checkpoint = folder / "checkpoint"
            self._joined[each.key] = checkpoint.is_dir() and any(checkpoint.iterdir())
            folder.mkdir(parents=True, exist_ok=True)
            keep_events(folder)
            job = self._new(each, system, tuple(one.key for one in orders) if len(orders) > 1 else ())
            each.lay_out(folder, job.id, {before.key: before.id for before in jobs})
            jobs.append(job)
        on_start(self._joined.pop(order.key))
        return self._see_through(order, system, self._submit(system, jobs))

    def _new(self, order: Order, system: System, joined: tuple[str, ...]) -> Submitted:
        return Submitted(
            key=order.key,
            id=f"{order.key[:12]}-{uuid4().hex[:8]}",
            name=order.name,
            type=order.type,
            place=self._systems.record(order.system),
            attachable=system.traits.attachable,
            handle=None,
            at=time.time(),
            boot=psutil.boot_time(),
            workflow=self._workflow,
            joined=joined,
        )

    def _attach(
        self, order: Order, left: Submitted, on_start: Callable[[bool], None]
    ) -> tuple[Result, Handle | None]:
        """Go on with a job that was submitted before, on the system where it is: by another run, or by this
        one with the jobs before it."""
        system = self._systems.at(left.place)
        on_start(self._joined.get(left.key, True))
        if left.handle is None:  # killed while it was submitted: the system knows whether it began
            found = (self._submitted.find(key) for key in left.rest)
            left = self._submit(system, [job for job in found if job])
        elif left.key not in self._joined:
            self._tell(Log("note", f"{left.name}: attached to the job {left.id} on {left.place.name!r}."))
        return self._see_through(order, system, left)

    def _submit(self, system: System, jobs: Sequence[Submitted]) -> Submitted:
        """Submit these as one. The record of the first is written last: whoever finds it finds the others."""
        for job in reversed(jobs):
            self._submitted.keep(job)
        folders = [self._cache.job_folder(job.key) for job in jobs]
        try:
            if len(jobs) == 1:
                handles: Sequence[Handle] = [system.submit(folders[0])]
            else:
                handles = cast("JoiningSystem", system).submit_joined(folders)
        except ModelpressError:
            self._submitted.forget(*(job.key for job in jobs))
            raise
        submitted = [replace(job, handle=handle) for job, handle in zip(jobs, handles, strict=True)]
        for job in reversed(submitted):
            self._submitted.keep(job)
        return submitted[0]

    def _see_through(self, order: Order, system: System, job: Submitted) -> tuple[Result, Handle | None]:
        with self._lock:
            self._at_work[job.key] = system, job
        try:
            self._wait(system, job)
            folder = self._cache.job_folder(job.key)
            result = read_answer(folder)
            traits = system.traits
            if traits.shares_files or not order.gives_out or job.handle is None:
                return result, None
            if traits.keeps_artifacts and job.place == self._systems.record(order.system):
                return result, job.handle
            system.collect(job.handle, ("out",), folder)
            check_whole(folder / "out", result.files)
            return result, None
        finally:
            with self._lock:
                del self._at_work[job.key]

    def _wait(self, system: System, job: Submitted) -> None:
        """Until the job has ended and its answer is here. The record of a job that failed is forgotten: the
        next run tries again. One that succeeded is forgotten by whoever has kept its result."""
        handle, folder = job.handle, self._cache.job_folder(job.key)
        if handle is None:
            raise HostError(f"The job {job.id} was not submitted.")
        heard = Heard(job.id, self._tell)
        try:
            if self._stopped:
                raise KeyboardInterrupt
            with CheckpointsBack(system, handle, folder):
                system.watch(handle, heard)
        except WorkerDied:
            self._end(job, lambda: system.collect(handle, (*ANSWER, "checkpoint"), folder))
            raise
        except Pruned:  # by whoever listens
            system.cancel(handle)
            self._end(job, lambda: system.collect(handle, (*ANSWER, "checkpoint"), folder))
            raise
        except KeyboardInterrupt:
            if job.attachable and self._detach():
                self._tell(Log("note", f"{job.name} goes on on {job.place.name!r} as the job {job.id}."))
            else:
                system.cancel(handle)
                self._end(job, lambda: system.collect(handle, (*ANSWER, "checkpoint"), folder))
            raise
        system.collect(handle, ANSWER, folder)
        heard.finish(folder / "events.jsonl")
        if not (folder / "result.json").exists():
            self._end(job, lambda: system.collect(handle, ("checkpoint",), folder))

    def _end(self, job: Submitted, collect: Callable[[], None]) -> None:
        try:
            collect()
        except HostError as error:
            self._tell(Log("warning", f"{job.name}: what it left could not be fetched: {error.message}"))
        self._submitted.forget(*job.rest)

    def _finished(self, left: Submitted) -> Result | None:
        """The result of a job that ended with the run, or just before; what else is left of it is ended."""
        folder = self._cache.job_folder(left.key)
        if left.handle is not None:
            self._systems.at(left.place).cancel(left.handle)
        if (folder / "result.json").exists() and left.boot == psutil.boot_time():
            try:
                return read_answer(folder)
            except HostError:
                pass  # damaged: it is done again
        self._submitted.forget(left.key)
        return None


def gone(what: str, place: str) -> ArtifactGone:
    """The error, with what to do."""
    return ArtifactGone(
        f"{what} is no longer on {place!r}, where it was kept.",
        "Run the same command again: it is made anew.",
    )


def check_whole(out: Path, files: Mapping[str, FileFacts]) -> None:
    """Raise HostError when what was brought back is not what was made there."""
    here = file_facts(out)
    wrong = [name for name in {*files, *here} if files.get(name) != here.get(name)]
    if wrong:
        raise HostError(
            f"What the job made did not arrive as it was: {', '.join(sorted(wrong)[:3])}.",
            "Run the same command again: it is fetched again.",
        )
