"""A place where work runs (executor, compute target): the protocol of a system, and what it says of itself.

A system carries job folders to a place and runs `python -m modelpress.worker FOLDER` there. It is asked in
this order: `environment`, `prepare`, and for each job `submit`, `watch`, `collect`. What is in a job's folder
says modelpress.engine.job. Systems whose workers are processes of this machine derive from WorkerSystem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from modelpress.context import Accelerator
from modelpress.events import Event
from modelpress.json_types import JSONValue

if TYPE_CHECKING:
    from modelpress.options import Options

Handle = Mapping[str, JSONValue]
"""What a system needs to find a job again: JSON, written down before anything waits for the job, and given to
another process perhaps. No secret is in it."""
Tell = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a system is.

    shares_files:    it reads the paths of this machine: inputs are references, nothing is carried or fetched
    keeps_artifacts: what a job made stays there, as the input of later jobs, until another place needs it
    attachable:      its jobs go on without the process that submitted them, and any process can watch them
    max_jobs:        how many jobs it works on at once
    ships_code:      it may lack modelpress or the plugins: jobs carry their code in `code/`
    is_here:         it is this machine: the memory and the disk that a plan sees are its
    registers:       the model that a run on it ends with is put where its users look: a RegisteringSystem
    mounts:          it reads some resources where they lie: a MountingSystem
    joins_jobs:      jobs of which each works on what those before it make are one submission: a JoiningSystem
    """

    shares_files: bool = True
    keeps_artifacts: bool = False
    attachable: bool = False
    max_jobs: int = 1
    ships_code: bool = False
    is_here: bool = True
    registers: bool = False
    mounts: bool = False
    joins_jobs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The Python of a place, as far as it is known before any work.

    libraries: name -> version, of those that were asked for and are there
    digest:    of an environment that is not made yet: what it will be made from. Its versions are not known,
               and what is not in `libraries` is taken as given. Empty for one that is there
    python:    its version, `3.12.4`; empty when not known
    memory:    bytes that a job can have there; 0 when not known
    suffixes:  of files with compiled code that it imports (`importlib.machinery.EXTENSION_SUFFIXES`), its own
               tag first; empty when not known
    """

    libraries: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    python: str = ""
    memory: int = 0
    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a job takes, estimated by its plan or as the user says it; 0 where nobody knows.

    memory, disk: bytes; cpus, gpus: how many; time: seconds after which it may be ended
    """

    memory: int = 0
    disk: int = 0
    gpus: int = 0
    cpus: int = 0
    time: float = 0.0

    def over(self, other: Needs) -> Needs:
        """These, and the other's where nothing is said here."""
        return Needs(
            memory=self.memory or other.memory,
            disk=self.disk or other.disk,
            gpus=self.gpus or other.gpus,
            cpus=self.cpus or other.cpus,
            time=self.time or other.time,
        )


NO_NEEDS = Needs()
SHARES_ALL = Traits()
"""Of a system whose workers are processes of this machine and this Python."""


class System(Protocol):
    """A place where work runs. Methods are called from several threads at once where max_jobs says so.

    name: what the workflow calls it
    """

    name: str
    traits: Traits

    def environment(self, requires: Sequence[str], /) -> Environment:
        """What is there, or will be, of the distributions that these requirements (PEP 508) name. Before any
        work and light; asked once for all that a workflow does there. Raises HostError when unreachable."""

    def has(self, accelerator: Accelerator, /) -> bool:
        """Whether the place is known to have this device and what it takes to use it. Light; asked before any
        work, of accelerators other than the plain CPU. Raises HostError when unreachable."""

    def prepare(self, requires: Sequence[str], tell: Tell, /) -> None:
        """Make what `environment` promised, when it is not there: an environment, an image. Called before the
        first job; may take minutes, and tells how it goes. Raises HostError."""

    def submit(self, folder: Path, /) -> Handle:
        """Start the job in the folder, and return without waiting for it.

        The job has an id of its own (`read_job(folder).id`). A job of an id that was submitted before is not
        started again: its handle is returned, since whoever asked was killed before it was written down.
        Raises HostError when it cannot be started, ArtifactGone when an input that the place was to keep is
        there no more; nothing is left behind then.
        """

    def watch(self, handle: Handle, tell: Tell, /) -> None:
        """Wait until the job has ended, and tell its events as they come. Another process may watch it anew,
        from the beginning: what was told before is left out by whoever listens.

        Returns whenever the worker wrote `result.json` or `error.json`. Raises WorkerDied when it ended
        without either, HostError when the place cannot be reached: the job may go on there.
        """

    def collect(self, handle: Handle, parts: Sequence[str], folder: Path, /) -> None:
        """Bring these of the job's files and folders (`result.json`, `out`, `checkpoint`) into the folder,
        whole or not at all each; what is not there is left out. Nothing to do where files are shared.

        The checkpoint is asked for from another thread while the job is watched, too: list what is there
        before any of it is read, since the mark that it is whole is written last."""

    def cancel(self, handle: Handle, /) -> None:
        """End the job and all that it started, and return when it has ended. Nothing to do for one that has
        ended, or never began."""

    def close(self) -> None:
        """The run is over. Ends what cannot outlive it; jobs that can be attached to go on."""


class MountingSystem(System, Protocol):
    """A system whose jobs have some resources as they lie, mounted: they are not fetched to be carried."""

    def can_mount(self, options: Options, /) -> bool:
        """Whether a resource with these options is one. Light: asked before each job that needs it."""


class RegisteringSystem(System, Protocol):
    """A system beside which models are kept, by name and version."""

    def register(self, model: Handle | Path, key: str, lineage: Mapping[str, str], tell: Tell, /) -> None:
        """Keep the model there, too. model: the handle of the job of this system whose `out` it is, else a
        folder of this machine; key: one for each model: what is kept already is not kept twice; lineage: what
        it was made from and how, by name. Raises HostError."""


class JoiningSystem(System, Protocol):
    """A system to which a chain of jobs is one submission: it starts one container for all of them."""

    def submit_joined(self, folders: Sequence[Path], /) -> Sequence[Handle]:
        """As `submit`, for jobs that are done one after the other, until one fails. The first one's id is
        that of the submission. Inputs whose `Source.made_by` is the id of an earlier job are its `out`, with
        its `result.json` beside it. Each handle is watched and collected for itself, also while the jobs
        after it are at work; to cancel one is to cancel all of them."""
