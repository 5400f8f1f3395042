"""The system Docker: a container for each job, which sees the job's folder and its inputs, nothing else."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from docker.errors import NotFound
from docker.models.containers import Container
from packaging.utils import canonicalize_name

from modelpress.api import (
    Accelerator,
    Environment,
    Handle,
    HostError,
    Job,
    Tell,
    Traits,
    WorkerDied,
    parse_size,
    read_job,
    required_names,
    scrub_job,
)
from modelpress_plugins.docker import inside
from modelpress_plugins.docker.config import DockerOptions
from modelpress_plugins.docker.engine import Engine, asking, remove
from modelpress_plugins.docker.image import Images
from modelpress_plugins.docker.installed import installed
from modelpress_plugins.docker.mounts import mounts_of
from modelpress_plugins.docker.order import order_of, send
from modelpress_plugins.docker.parameters import Parameters, added, check, labelled, parameters, with_gpus
from modelpress_plugins.docker.watch import OVER, Watch, death
from modelpress_plugins.systems.accelerators import has, has_gpu

_NOT_BEGUN = ("created", "configured", "initialized")
_BOOT_SECONDS = 60
"""Times at which the machine was started that differ by more are two."""


class Docker:
    """Jobs in containers of this machine."""

    def __init__(self, options: DockerOptions, name: str) -> None:
        self.name = name
        self.traits = Traits(attachable=True, ships_code=True, max_jobs=options.max_jobs)
        self._options = options
        self._engine = Engine(options.docker_host)
        self._images = Images(self._engine, options)
        self._memory = parse_size(options.memory) if options.memory is not None else 0
        self._common: Parameters = {}
        self._lock = threading.Lock()

    def environment(self, requires: Sequence[str]) -> Environment:
        image = self._images.find()
        if image is None:
            return Environment(digest=self._images.digest(), memory=self._memory)
        found = installed(self._engine, image, self._options.python, self._parameters())
        wanted = {canonicalize_name(name): name for name in required_names(requires)}
        libraries = {
            wanted[key]: version
            for name, version in found.libraries.items()
            if (key := canonicalize_name(name)) in wanted
        }
        return Environment(
            libraries=libraries, python=found.python, memory=self._memory, suffixes=found.suffixes
        )

    def has(self, accelerator: Accelerator) -> bool:
        if accelerator.device == "cpu":
            return has(accelerator, self._libraries)
        nvidia = has_gpu() and self._engine.has_nvidia()
        return accelerator.device == "gpu" and nvidia and has(accelerator, self._libraries)

    def prepare(self, requires: Sequence[str], tell: Tell) -> None:
        self._images.make(tell)

    def submit(self, folder: Path) -> Handle:
        job, folder = read_job(folder), folder.resolve()
        name = f"modelpress-{job.id}"
        container = self._find(name) or self._create(name, folder, job)
        with asking(f"the start of {job.name!r}"):
            if container.status in _NOT_BEGUN:
                self._start(container)
            order = order_of(job, self._options)
            if order and container.status not in OVER and not (folder / inside.BEGAN).exists():
                send(container, order)
        return {"container": name, "folder": str(folder), "boot": int(psutil.boot_time())}

    def watch(self, handle: Handle, tell: Tell) -> None:
        name, folder = str(handle["container"]), Path(str(handle["folder"]))
        watch = Watch(lambda: self._find(name), folder, tell)
        container = watch.until_it_ends()
        died = None if watch.has_answered else death(container, folder, self._memory)
        self._remove(container)
        scrub_job(folder)
        if abs(int(str(handle["boot"])) - psutil.boot_time()) > _BOOT_SECONDS:
            # An answer is on the disk before the model beside it is: after a power cut it says too much.
            died = WorkerDied("The machine was started anew meanwhile.", "Run the same command again.")
        if died is not None:
            raise died

    def collect(self, handle: Handle, parts: Sequence[str], folder: Path) -> None:
        """It is all here: the folder is mounted into the container."""

    def cancel(self, handle: Handle) -> None:
        container = self._find(str(handle["container"]))
        if container is not None:
            self._remove(container)
            scrub_job(Path(str(handle["folder"])))

    def close(self) -> None:
        self._images.remove()
        self._engine.forget()

    def _parameters(self) -> Parameters:
        with self._lock:
            if not self._common:
                self._common = added(parameters(self._options, self._engine), self._options.run_params)
            return self._common

    def _libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        return self.environment(names).libraries

    def _find(self, name: str) -> Container | None:
        with asking(f"the container {name!r}"):
            try:
                return self._engine.client.containers.get(name)
            except NotFound:
                return None

    def _create(self, name: str, folder: Path, job: Job) -> Container:
        image = self._images.find()
        if image is None:
            raise HostError(f"The image of {self.name!r} is not made yet.")
        for left in (inside.BEGAN, inside.ENDED):
            (folder / left).unlink(missing_ok=True)
        work_dir, asks = self._options.work_dir, bool(order_of(job, self._options))
        given = self._parameters()
        if job.device == "gpu":
            given = with_gpus(given, self._options.gpus or job.needs.gpus or None)
        given = added(given, mounts_of(folder, job, work_dir))
        labels = {"modelpress": "job", "job": job.id, "step": job.name, "system": self.name}
        with asking(f"a container for {job.name!r}"):
            return self._engine.client.containers.create(
                image, name=name, entrypoint=[self._options.python, "-I", f"{work_dir}/inside.py"],
                command=[f"{work_dir}/job", *(["ask"] if asks else [])], stdin_open=asks,
                **{"working_dir": work_dir, **labelled(given, labels)},
            )  # fmt: skip

    def _start(self, container: Container) -> None:
        try:
            container.start()
        except BaseException:
            self._remove(container)
            raise

    @staticmethod
    def _remove(container: Container | None) -> None:
        """It, and all that runs in it; nothing to do for one that has gone meanwhile."""
        if container is not None:
            with asking("the removal of a container"):
                remove(container)


def open_docker(options: DockerOptions, name: str) -> Docker:
    """Nothing is asked of the engine yet. Raises UserError for run_params that cannot be."""
    check(options.run_params)
    return Docker(options, name)
