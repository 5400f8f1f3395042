"""What a step's options point to: files and folders, their identity, and their names under inputs/.

Options have three faces: with absolute paths (for planning), with `{"$input": NAME}` (for the job, which may
run elsewhere), and with content identities (for the cache key, so that moving changes nothing).
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import xxhash
from pydantic import BaseModel, ValidationError

from modelpress.engine.job import INPUT_MARK
from modelpress.errors import ModelpressError
from modelpress.identity import DigestMemo, content_identity
from modelpress.nearest import nearest
from modelpress.options import DataRole, Options, Resource
from modelpress.registry import Registered, Registry
from modelpress.specs import ResourceSpec


@dataclass(frozen=True, slots=True)
class ResolvedOptions:
    """The three faces of a step's options, and the inputs that they name (name -> path on this machine)."""

    here: dict[str, Any]
    job: dict[str, Any]
    key: dict[str, Any]
    inputs: Mapping[str, Path | RemoteResource] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoteResource:
    """A file or folder that has to be fetched before the step that needs it. identity: what it is."""

    registered: Registered[ResourceSpec]
    options: Options
    identity: str

    def bring(self, folder: Path) -> Path:
        """Fetch it below the folder, once."""
        target = folder / content_name(self.identity)
        target.mkdir(parents=True, exist_ok=True)
        path: Path = self.registered.resolve(self.registered.spec.fetch)(self.options, target)
        return path


Tell = Callable[[str, str, str], None]
"""(message, hint, dotted option path): tell a problem."""


@dataclass(frozen=True, slots=True)
class Place:
    """What resolving needs to know: the workflow's folder, the digests seen, the kinds of resources."""

    folder: Path
    digests: DigestMemo
    registry: Registry


def resolve_options(options: Options, prefix: str, place: Place, tell: Tell) -> ResolvedOptions:
    """Resolve every Resource in the options against the folder. Missing files are told as problems.

    prefix: begins the names of the inputs found, so that those of two data configs differ.
    """
    resolver = _Resolver(prefix, place, tell)
    # Only what the user wrote, so that a plan function can tell it from a default.
    here = options.model_dump(mode="json", exclude_unset=True)
    job, key = options.canonical(), options.canonical()
    for path, marker in marked_fields(type(options), options):
        value = _get(job, path)
        if value is None:
            continue
        faces = resolver.resolve(value, marker, ".".join(path))
        for face, resolved in zip((here, job, key), faces, strict=True):
            _set(face, path, resolved)
    for path, _ in marked_fields(type(options), options, DataRole):
        if _get(key, path) is not None:
            _set(key, path, "$data")  # the data's fingerprint counts, not what the workflow calls it
    return ResolvedOptions(here, job, key, resolver.inputs)


def marked_fields(
    cls: type[BaseModel], value: BaseModel, marker: type[Any] = Resource, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, marker) of each field that carries the marker, in nested models too."""
    for name, info in cls.model_fields.items():
        child = getattr(value, name)
        found = next((m for m in info.metadata if isinstance(m, marker)), None)
        found = found or _inside(info.annotation, marker)
        if found:
            yield (*path, name), found
        elif isinstance(child, BaseModel):
            yield from marked_fields(type(child), child, marker, (*path, name))


def _inside(annotation: Any, marker: type[Any]) -> Any:
    if get_origin(annotation) is Annotated:
        for item in annotation.__metadata__:
            if isinstance(item, marker):
                return item
    for argument in get_args(annotation):
        found = _inside(argument, marker)
        if found:
            return found
    return None


class _Resolver:
    def __init__(self, prefix: str, place: Place, tell: Tell) -> None:
        self.inputs: dict[str, Path | RemoteResource] = {}
        self._prefix = prefix
        self._place = place
        self._tell = tell

    def resolve(self, value: Any, marker: Resource, option: str) -> tuple[Any, Any, Any]:
        """(here, job, key) for a value: a path, a glob, or a list or mapping of such."""
        if isinstance(value, str):
            return self._text(value, marker, option)
        if isinstance(value, list):
            faces = [self.resolve(child, marker, option) for child in value]
            return [f[0] for f in faces], [f[1] for f in faces], [f[2] for f in faces]
        if isinstance(value, Mapping) and isinstance(value.get("type"), str):
            return self._remote(dict(value), option)
        if isinstance(value, Mapping):
            named = {name: self.resolve(child, marker, f"{option}.{name}") for name, child in value.items()}
            return tuple({name: faces[i] for name, faces in named.items()} for i in range(3))  # type: ignore[return-value]
        return value, value, value

    def _text(self, value: str, marker: Resource, option: str) -> tuple[Any, Any, Any]:
        if "://" in value:
            return value, value, value
        path = self._place.folder / Path(value).expanduser()
        if glob.has_magic(value) and not path.exists():
            matches = sorted(glob.glob(str(path), recursive=True))
            if matches:
                return self.resolve(matches, marker, option)
        if not path.exists():
            if not marker.optional:
                self._missing(value, path, option)
            return value, value, value
        name = f"{self._prefix}-{len(self.inputs)}"
        # A loader may go by the suffix, so the name keeps it.
        name += path.suffix if path.is_file() else ""
        self.inputs[name] = path
        return str(path), {INPUT_MARK: name}, content_identity(path, self._place.digests)

    def _remote(self, value: dict[str, Any], option: str) -> tuple[Any, Any, Any]:
        type_name = value.pop("type")
        try:
            found = self._place.registry.find(ResourceSpec, type_name)
            options = found.resolve(found.spec.config).parse(value)
            resource = RemoteResource(found, options, found.resolve(found.spec.identity)(options))
        except (ModelpressError, ValidationError) as error:
            self._tell(str(error), getattr(error, "hint", ""), option)
            return None, None, None
        name = f"{self._prefix}-{len(self.inputs)}"
        self.inputs[name] = resource
        return None, {INPUT_MARK: name}, resource.identity

    def _missing(self, value: str, path: Path, option: str) -> None:
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, siblings)
        hint = f"Did you mean {near!r}?" if near else "Relative paths count from the workflow's folder."
        self._tell(f"{value!r} does not exist (looked for {path}).", hint, option)


def content_name(identity: str) -> str:
    """A folder name for an identity."""
    return xxhash.xxh3_128_hexdigest(identity.encode())


def _get(values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    current: Any = values
    for name in path:
        if not isinstance(current, Mapping):
            return None
        current = current.get(name)
    return current


def _set(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    current = values
    for name in path[:-1]:
        current = current.setdefault(name, {})
    current[path[-1]] = value
