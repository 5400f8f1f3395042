"""What a step's options point to: files and folders, their identity, and their names under inputs/.

Options have three faces: with absolute paths and resources by identity (for planning), with
`{"$input": NAME}` (for the job, which may run elsewhere), and with content identities (for the cache key, so
that moving changes nothing).
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from modelpress.config.validation import faults
from modelpress.engine.cache import Cache
from modelpress.engine.job import INPUT_MARK, replace_inputs
from modelpress.engine.resources import RemoteResource, Remotes, ResourceFault, name_secrets
from modelpress.errors import ModelpressError, PluginError, UserError
from modelpress.events import Event
from modelpress.identity import DigestMemo, content_identity, named_path
from modelpress.json_types import JSONValue
from modelpress.markers import IDENTITY, DataRole, Mark, Resource, Secret, is_remote, marks
from modelpress.nearest import nearest
from modelpress.options import Options
from modelpress.paths import put_at, value_at, with_local_paths
from modelpress.secrets import is_known

O = TypeVar("O", bound=Options)  # noqa: E741 - the letter that stands for options


@dataclass(frozen=True, slots=True)
class ResolvedOptions:
    """The three faces of a step's options, the inputs that they name (name -> path on this machine), and
    the names by which the secrets are read: environment variables, or what stands for a vault's."""

    here: Options
    job: dict[str, JSONValue]
    key: dict[str, JSONValue]
    inputs: Mapping[str, Path | RemoteResource] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    def local(self, cache: Cache, tell: Callable[[Event], None]) -> dict[str, JSONValue]:
        """The options with every path as it is on this machine; what is elsewhere is fetched."""
        paths = bring(self.inputs, cache, tell)
        return {
            option: replace_inputs(value, lambda name: str(paths[name])) for option, value in self.job.items()
        }


class _Faces(NamedTuple):
    """What one value is in each face of the options."""

    here: JSONValue
    job: JSONValue
    key: JSONValue


def bring(
    inputs: Mapping[str, Path | RemoteResource], cache: Cache, tell: Callable[[Event], None]
) -> dict[str, Path]:
    """Each input as a path on this machine, fetched if need be."""
    return {
        name: given.bring(cache, tell) if isinstance(given, RemoteResource) else given
        for name, given in inputs.items()
    }


Tell = Callable[[str, str, str], None]
"""(message, hint, dotted option path): tell a problem."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What resolving needs to know: the workflow's folder, the digests and the resources seen."""

    folder: Path
    digests: DigestMemo
    remotes: Remotes


def resolve_options(options: Options, prefix: str, lookup: Lookup, tell: Tell) -> ResolvedOptions:
    """Resolve every Resource in the options against the folder. Missing files are told as problems.

    prefix: begins the names of the inputs found, so that those of two data configs differ.
    """
    resolver = _Resolver(prefix, lookup, tell)
    cls = type(options)
    local, faulty = name_secrets(with_local_paths(options, lookup.folder), lookup.remotes)
    for fault in faulty:
        tell(fault.message, fault.hint, fault.path)
    # Only what the user wrote, so that a plan function can tell it from a default.
    here = local.model_dump(mode="json", exclude_unset=True)
    whole, job, key = local.canonical(), local.canonical(), options.canonical()
    found: list[tuple[Mark[Resource], bool, _Faces]] = []
    for mark in marks(cls, local, Resource):
        value = _serialized(whole, mark)
        faces = resolver.resolve(value, mark.marker, mark.option)
        found.append((mark, isinstance(value, str) and isinstance(faces.here, list), faces))
    for mark, is_glob, faces in reversed(found):  # a glob in a list takes the place of its matches
        for face, resolved in zip((here, job, key), faces, strict=True):
            if face is not here or resolved != value_at(whole, mark.path):
                put_at(face, mark.path, resolved, whole, spread=is_glob)
    for data in marks(cls, options, DataRole):
        put_at(key, data.path, "$data", whole)  # the data's fingerprint counts, not what it is called
    secrets = () if faulty else _secrets(local, key, tell)
    return ResolvedOptions(_parsed(options, here, tell), job, key, resolver.inputs, secrets)


def _parsed(options: Options, values: Mapping[str, object], tell: Tell) -> Options:
    """The resolved options; as they were where they no longer fit (a glob with many matches for one path)."""
    cls = type(options)
    try:
        return cls.parse(values)
    except ValidationError as error:
        for fault in faults(error, cls, values, cls.__name__):
            tell(fault.message, fault.hint, fault.path)
        return options


def place_remotes(options: O, lookup: Lookup, tell: Tell) -> tuple[O, list[RemoteResource]]:
    """The options with each resource as a path where it was fetched, else as a ResourceRef with its identity,
    and each secret by its name; and those resources. Paths stay as they were written."""
    resolver = _Resolver("", lookup, tell)
    options, faulty = name_secrets(options, lookup.remotes)
    for fault in faulty:
        tell(fault.message, fault.hint, fault.path)
    whole = options.canonical()
    values = options.model_dump(mode="json", exclude_unset=True)
    for mark in marks(type(options), options, Resource):
        put_at(values, mark.path, resolver.remotes(_serialized(whole, mark), mark.option), whole)
    found = [given for given in resolver.inputs.values() if isinstance(given, RemoteResource)]
    return (type(options).parse(values) if found else options), found


def _serialized(values: JSONValue, mark: Mark[Resource]) -> JSONValue:
    try:
        return value_at(values, mark.path)
    except LookupError:
        raise UserError(
            f"The plugin is at fault: the option {mark.option} is a Resource, and is not there when the "
            "options are serialized."
        ) from None


def _secrets(options: Options, key: dict[str, JSONValue], tell: Tell) -> tuple[str, ...]:
    """The names by which secrets are read; variables that are not set are told. What they are called is no
    part of the key."""
    found: dict[str, None] = {}
    for mark in marks(type(options), options, Secret):
        for name in _texts(mark.value):
            found[name] = None
            if not is_known(name):  # not repeated: it may be a secret that was written here by mistake
                message = f"{mark.option!r} names an environment variable that is not set."
                hint = "Set the variable that it names; the secret itself is written nowhere."
                tell(message, hint, mark.option)
        put_at(key, mark.path, "$secret", key)
    return tuple(found)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return _texts(list(value.values()))
    return [text for child in value for text in _texts(child)] if isinstance(value, list | tuple) else []


class _Resolver:
    def __init__(self, prefix: str, lookup: Lookup, tell: Tell) -> None:
        self.inputs: dict[str, Path | RemoteResource] = {}
        self._prefix = prefix
        self._lookup = lookup
        self._tell = tell

    def resolve(self, value: JSONValue, marker: Resource, option: str) -> _Faces:
        """The faces of a value: a path, a glob, or a list or mapping of such."""
        if isinstance(value, str):
            return self._text(value, marker, option)
        if isinstance(value, list):
            faces = [self.resolve(child, marker, option) for child in value]
            return _Faces([f.here for f in faces], [f.job for f in faces], [f.key for f in faces])
        if isinstance(value, dict) and is_remote(value):
            return self._remote(value, option)
        if isinstance(value, dict):
            named = {name: self.resolve(child, marker, f"{option}.{name}") for name, child in value.items()}
            return _Faces(
                here={name: faces.here for name, faces in named.items()},
                job={name: faces.job for name, faces in named.items()},
                key={name: faces.key for name, faces in named.items()},
            )
        return _Faces(value, value, value)

    def remotes(self, value: JSONValue, option: str) -> JSONValue:
        """The value with its resources resolved as in `here`, and nothing else."""
        if isinstance(value, str) and (named := self._lookup.remotes.named_by(value)):
            return self._remote(named, option).here
        if isinstance(value, dict) and is_remote(value):
            return self._remote(value, option).here
        if isinstance(value, list):
            return [self.remotes(child, option) for child in value]
        if isinstance(value, dict):
            return {name: self.remotes(child, f"{option}.{name}") for name, child in value.items()}
        return value

    def _text(self, value: str, marker: Resource, option: str) -> _Faces:
        if named := self._lookup.remotes.named_by(value):
            return self._remote(named, option)
        if "://" in value:
            return _Faces(value, value, value)
        try:
            path = named_path(value, self._lookup.folder)
        except UserError as error:
            if not marker.optional:  # else it is text, in place of a path
                self._tell(error.message, error.hint, option)
            return _Faces(value, value, value)
        there = path.exists()
        if glob.has_magic(value) and not there:
            matches = sorted(glob.glob(str(path), recursive=True))
            if matches:
                return self.resolve(matches, marker, option)
        if not there:
            if not marker.optional:
                self._missing(value, path, option)
            return _Faces(value, value, value)
        name = f"{self._prefix}-{len(self.inputs)}"
        # A loader may go by the suffix, so the name keeps it.
        name += path.suffix if path.is_file() else ""
        self.inputs[name] = path
        return _Faces(str(path), {INPUT_MARK: name}, content_identity(path, self._lookup.digests))

    def _remote(self, value: Mapping[str, JSONValue], option: str) -> _Faces:
        try:
            resource = self._lookup.remotes.look_up(value)
        except ResourceFault as error:
            for fault in error.faults:
                self._tell(fault.message, fault.hint, f"{option}.{fault.path}" if fault.path else option)
            return _Faces(value, value, value)
        except PluginError:
            raise
        except ModelpressError as error:
            self._tell(error.message, error.hint, option)
            return _Faces(value, value, value)
        # A loader may go by the suffix, which is known once it was fetched; until then by the plugin alone.
        name = f"{self._prefix}-{len(self.inputs)}"
        self.inputs[name] = resource
        remote: JSONValue = {**value, IDENTITY: resource.identity}
        here = str(resource.path) if resource.path else remote
        return _Faces(here, {INPUT_MARK: name}, resource.identity)

    def _missing(self, value: str, path: Path, option: str) -> None:
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, siblings)
        hint = f"Did you mean {near!r}?" if near else "Relative paths count from the workflow's folder."
        self._tell(f"{value!r} does not exist (looked for {path}).", hint, option)
