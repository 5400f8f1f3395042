"""A container engine for tests, Podman's or the machine's own, and an image made of this machine's files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("docker", reason="not installed: docker (pip install modelpress[docker])")

HERE = Path(__file__).parent
_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
{runtime}
tmp_dir = "{folder}/tmp"
static_dir = "{folder}/static"
volume_path = "{folder}/volumes"
"""


@dataclass
class Service:
    """Podman's service, with a storage of its own."""

    folder: Path
    driver: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"unix://{self.folder}/s"

    @property
    def command(self) -> list[str]:
        return ["podman", "--root", f"{self.folder}/root", "--runroot", f"{self.folder}/run",
                "--storage-driver", self.driver]  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "CONTAINERS_CONF": f"{self.folder}/containers.conf"}

    def call(self, *arguments: str | Path) -> str:
        done = subprocess.run(
            [*self.command, *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "system", "service", "--time=0", self.address], env=self.environment,
                stdout=log, stderr=log, start_new_session=True,
                cwd=self.folder,  # where it leaves a file `oom` for a container over its memory
            )  # fmt: skip
        for _ in range(200):
            if (self.folder / "s").exists():
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(20)


def _service(folder: Path) -> Service | str:
    """One that was started, or why there is none."""
    if not shutil.which("podman"):
        return "Podman is not installed (.ci/services podman)"
    runtime = 'runtime = "runc"' if shutil.which("runc") else ""
    (folder / "containers.conf").write_text(_CONF.format(folder=folder, runtime=runtime))
    said = ""
    for driver in ("overlay", "vfs"):  # in a container, overlay can often not be mounted
        service = Service(folder, driver)
        try:
            service.call("info")
            service.start()
            return service
        except AssertionError as error:
            said = str(error)
            for name in ("root", "run", "tmp", "static"):
                shutil.rmtree(folder / name, ignore_errors=True)
    return f"Podman does not start here: {said.strip()[-300:]}"


@pytest.fixture(scope="session")
def podman() -> Iterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="mp-", dir="/tmp"))
    service = _service(folder)
    if isinstance(service, str):
        shutil.rmtree(folder, ignore_errors=True)
        if os.environ.get("CI"):
            pytest.fail(service)
        pytest.skip(service)
    try:
        tar = folder / "image.tar"
        subprocess.run([sys.executable, HERE / "host_image.py", tar], check=True)
        service.call("import", "-q", tar, "localhost/modelpress-test:latest")
        tar.unlink()
        yield service
    finally:
        for name in service.call("ps", "-aq").split():
            service.call("rm", "-f", name)
        service.stop()
        subprocess.run(
            [*service.command, "rmi", "-af"], env=service.environment, capture_output=True, check=False
        )
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def engine(podman: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    """The same, as the engine that `DOCKER_HOST` names."""
    monkeypatch.setenv("DOCKER_HOST", podman.address)
    return podman


IMAGE = "localhost/modelpress-test:latest"
