"""What an image has installed: asked once in a container of it, and kept by the image's digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from modelpress.api import HostError, default_cache_folder, write_whole
from modelpress_plugins.docker.engine import Engine, asking, remove
from modelpress_plugins.docker.parameters import Parameters

_SECONDS = 60
_OLDEST = (3, 11)
_ASK = """
import importlib.machinery as machinery, json, platform
from importlib.metadata import distributions
found = {each.metadata["Name"]: each.version for each in distributions() if each.metadata["Name"]}
said = {"python": platform.python_version(), "libraries": found, "suffixes": machinery.EXTENSION_SUFFIXES}
print(json.dumps(said))
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """python: its version; libraries: distribution -> version; suffixes: of compiled code that it imports."""

    python: str
    libraries: Mapping[str, str]
    suffixes: tuple[str, ...]

    @classmethod
    def of(cls, text: str | bytes) -> Self:
        """From JSON. Raises ValueError, KeyError, TypeError, AttributeError for what is no such thing."""
        said = json.loads(text)
        libraries = {str(name): str(version) for name, version in said["libraries"].items()}
        return cls(str(said["python"]), libraries, tuple(map(str, said["suffixes"])))

    def to_json(self) -> str:
        said = {"python": self.python, "libraries": self.libraries, "suffixes": self.suffixes}
        return json.dumps(said)


def installed(engine: Engine, image: str, python: str, parameters: Parameters) -> Installed:
    """Raises HostError when its Python does not run, or is too old for the worker."""
    what = json.dumps([image, python, parameters.get("environment")], sort_keys=True, default=str)
    record = default_cache_folder() / "images" / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.json"
    mounted = parameters.get("volumes") or parameters.get("mounts")  # whose content the digest does not tell
    if not mounted and (found := _read(record)):
        return found
    found = _ask(engine, image, python, parameters)
    if not mounted:
        record.parent.mkdir(parents=True, exist_ok=True)
        write_whole(record, found.to_json().encode())
    return found


def _read(record: Path) -> Installed | None:
    try:
        return Installed.of(record.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _ask(engine: Engine, image: str, python: str, parameters: Parameters) -> Installed:
    with asking("a container of the image"):
        container = engine.client.containers.create(
            image, entrypoint=[python, "-c", _ASK], command=[], labels={"modelpress": "look"},
            **{name: value for name, value in parameters.items() if name != "labels"},
        )  # fmt: skip
    try:
        with asking(f"{python!r} in a container of the image"):
            container.start()
            code = container.wait(timeout=_SECONDS)["StatusCode"]
            said, errors = container.logs(stderr=False), container.logs(stdout=False)
    except HostError as error:
        raise HostError(
            f"The image has no Python that runs as {python!r}: {error.message}", "Name it in `python`."
        ) from error
    finally:
        with asking("the removal of a container"):
            remove(container)
    try:
        found = Installed.of(said)
    except (ValueError, KeyError):
        told = errors.decode("utf-8", "replace").strip()[-300:]
        raise HostError(f"{python!r} of the image does not run (exit code {code}): {told}") from None
    if tuple(int(part) for part in found.python.split(".")[:2]) < _OLDEST:
        raise HostError(f"The image has Python {found.python}; the worker needs 3.11 or later.")
    return found
