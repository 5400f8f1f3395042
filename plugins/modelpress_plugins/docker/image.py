"""The image of a system: found or made, known by its content, and what is installed in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from docker.errors import DockerException, ImageNotFound
from docker.utils import parse_repository_tag
from docker.utils.build import exclude_paths

from modelpress.api import HostError, Log, Tell, UserError, size
from modelpress_plugins.docker.config import DockerOptions
from modelpress_plugins.docker.engine import Engine, asking

_LINES = 15
_BUILT = "modelpress-built"


@dataclass(frozen=True, slots=True)
class _Context:
    """What an image is built from. files: name in the context -> where it lies; size: bytes that are sent."""

    dockerfile: str
    files: Mapping[str, Path]
    digest: str
    size: int


class Images:
    """The one image of a system."""

    def __init__(self, engine: Engine, options: DockerOptions) -> None:
        self._engine = engine
        self._options = options
        self._path = Path(options.build_context_path) if options.build_context_path else None

    def find(self) -> str | None:
        """Its id, which is a digest of its content; None for one that has to be built or fetched. Raises
        HostError, UserError when there is none and none can be made."""
        name = f"{_BUILT}:{self._context().digest}" if self._path else self._options.image_name or ""
        with asking(f"the image {name!r}"):
            try:
                return str(self._engine.client.images.get(name).id)
            except ImageNotFound:
                if self._path or self._options.pull:
                    return None
        raise HostError(
            f"There is no image {name!r} on this machine.",
            f"Fetch it (docker pull {name}), let the run do so (pull: true), or have one built.",
        )

    def digest(self) -> str:
        """Of what it will be made from."""
        return self._context().digest if self._path else _sha(self._options.image_name)

    def make(self, tell: Tell) -> str:
        """Build or fetch it. Returns its id; raises HostError, and leaves nothing behind then."""
        if found := self.find():
            return found
        if self._path:
            self._build(self._path, tell)
        else:
            self._pull(self._options.image_name or "", tell)
        found = self.find()
        if found is None:
            raise HostError("The engine says that the image was made, and does not have it.")
        return found

    def remove(self) -> None:
        """One that was built, where the options say so. What still uses it keeps it."""
        if self._path and self._options.clean_image:
            names = [f"{_BUILT}:{self._context().digest}", self._options.image_name]
            for name in filter(None, names):
                with asking("the removal of an image"):
                    try:
                        self._engine.client.images.remove(name)
                    except DockerException:
                        continue

    def _pull(self, name: str, tell: Tell) -> None:
        tell(Log("note", f"Fetching the image {name}."))
        repository, tag = name, None
        if "@" not in name and ":" not in name.rpartition("/")[2]:
            tag = "latest"
        with asking(f"the image {name!r} from its registry"):
            self._engine.client.images.pull(repository, tag=tag)

    def _build(self, path: Path, tell: Tell) -> None:
        context = self._context()
        tell(Log("note", f"Building the image of {path.name}: {size(context.size)} are sent to the engine."))
        tag = f"{_BUILT}:{context.digest}"
        lines: list[str] = []
        failed = ""
        with asking("the build of the image"):
            # Podman answers with an error in the stream as well; a Dockerfile that cannot be read by neither.
            for part in self._engine.client.api.build(
                **self._source(path, context), tag=tag, buildargs=self._options.build_args, decode=True,
                rm=True, forcerm=True, labels={"modelpress": "image"},
            ):  # fmt: skip
                if text := str(part.get("stream", "")).rstrip():
                    lines.append(text)
                    tell(Log("info", text))
                failed = str(part.get("error", "")) or failed
        if failed:
            said = "\n".join([*lines[-_LINES:], failed.strip()])
            raise HostError(
                f"The image cannot be built from {path}:\n{said}",
                "Mend the Dockerfile; `docker build` tells more.",
            )
        if self._options.image_name:
            with asking(f"the name {self._options.image_name!r} of the image"):
                name, version = parse_repository_tag(self._options.image_name)
                self._engine.client.images.get(tag).tag(name, version)

    @staticmethod
    def _source(path: Path, context: _Context) -> dict[str, object]:
        if path.is_file():
            return {"fileobj": path.open("rb")}
        return {"path": str(path), "dockerfile": context.dockerfile}

    def _context(self) -> _Context:
        """Looked at each time: it may be changed between two runs of one process."""
        path = self._path
        if path is None or not path.exists():
            raise UserError(f"build_context_path is not there: {path}.")
        name = self._options.dockerfile or "Dockerfile"
        if path.is_file():
            files = {"Dockerfile": path}
        elif not (path / name).is_file():
            raise UserError(f"There is no {name} in {path}.", "dockerfile names it, as seen from there.")
        else:
            files = dict(_sent(path, name))
        state = hashlib.sha256(json.dumps([name, self._options.build_args], sort_keys=True).encode())
        for inside, file in sorted(files.items()):
            state.update(f"\0{inside}\0{file.lstat().st_mode & 0o111}\0".encode())
            if file.is_symlink():
                state.update(str(file.readlink()).encode())
            elif file.is_file():
                with file.open("rb") as read:
                    state.update(hashlib.file_digest(read, "sha256").digest())
        total = sum(file.lstat().st_size for file in files.values())
        return _Context(name, files, state.hexdigest()[:32], total)


def _sent(folder: Path, dockerfile: str) -> Iterator[tuple[str, Path]]:
    """The files of a build context, by their names in it: what the docker package will send."""
    ignored = folder / ".dockerignore"
    lines = ignored.read_text(encoding="utf-8").splitlines() if ignored.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    for name in exclude_paths(str(folder), patterns, dockerfile=dockerfile):
        path = folder / name
        if path.is_symlink() or path.is_file():
            yield name, path


def _sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()[:32]
