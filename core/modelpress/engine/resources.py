"""Remote resources: files and folders that have to be fetched (`{type: azureml_datastore, …}`).

A resource is known by its identity while planning, and fetched once, whole or not at all, before the step
that needs it. What was fetched lies in the cache, `resources/NAME/{content/, record.json}`. A vault's
secret is a resource, too, and lies nowhere.
"""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import xxhash
from pydantic import ValidationError

from modelpress.config.validation import Fault, faults
from modelpress.config.written import refuse_secrets
from modelpress.engine.cache import Cache
from modelpress.errors import HostError, ModelpressError, PluginError, UserError
from modelpress.events import Event, Log
from modelpress.fence import fault, fence, load
from modelpress.files import digest_file, flush_to_disk, move, sealed, unsealed, write_whole
from modelpress.json_types import JSONValue
from modelpress.markers import IDENTITY, Secret, is_remote, marks
from modelpress.options import Options
from modelpress.paths import put_at, value_at, with_local_paths
from modelpress.records import from_json, to_json
from modelpress.registry import Registered, Registry
from modelpress.secrets import give_from_vault
from modelpress.specs import ResourceSpec

O = TypeVar("O", bound=Options)  # noqa: E741 - the letter that stands for options
_RECORD = "record.json"
_FOLDER = "resources"


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What `record.json` says. path: inside content/; files: digest by path."""

    type: str
    path: str
    identity: str
    source: str
    files: Mapping[str, str]


class ResourceFault(UserError):
    """A resource that is wrongly written: each fault with its path inside the mapping."""

    def __init__(self, found: list[Fault]) -> None:
        super().__init__(" ".join(fault.message for fault in found))
        self.faults = found


@dataclass(frozen=True, slots=True)
class RemoteResource:
    """A file or folder that has to be fetched before the step that needs it.

    identity: what its content is, the place that it comes from included
    folder:   where it lies in the cache once it was fetched
    digest:   how the digest of a file there is had
    """

    registered: Registered[ResourceSpec]
    options: Options
    identity: str
    folder: Path
    digest: Callable[[Path], str]

    @property
    def path(self) -> Path | None:
        """The file or folder on this machine; None before it was fetched, and where it is damaged: nobody
        reads that, so that nobody is told that it is wrong."""
        record = _read_record(self.folder)
        content = self.folder / "content"
        try:
            whole = record is not None and record.files == _digests(content, self.digest)
        except OSError:
            whole = False
        return content / record.path if record and whole else None

    def bring(self, cache: Cache, tell: Callable[[Event], None]) -> Path:
        """Fetch it, unless this or another run has done so.

        Raises HostError when it cannot be fetched, or changed since the plan was made.
        """
        waiting = Log("note", f"Another run is fetching the {self._words}; waiting for it.")
        with cache.lock(f"resource-{self.folder.name}", lambda: tell(waiting)):
            if found := self.path:
                return found
            if self.folder.exists():
                message = f"What was fetched of the {self._words} is damaged: it is fetched again."
                tell(Log("warning", message))
            tell(Log("note", f"Fetching the {self._words}."))
            part = self.folder.with_name(f"{self.folder.name}.part")
            resumes = self.registered.spec.resumes
            if not resumes:
                shutil.rmtree(part, ignore_errors=True)
            try:
                self._fetch(part)
                flush_to_disk(part)
                shutil.rmtree(self.folder, ignore_errors=True)
                move(part, self.folder)
            except BaseException:
                if not resumes:
                    shutil.rmtree(part, ignore_errors=True)
                raise
        return self.path or self.folder

    @property
    def reference(self) -> dict[str, JSONValue]:
        """The resource as a workflow may write it."""
        return {"type": self.registered.spec.name, **self.options.canonical()}

    @property
    def _words(self) -> str:
        return f"resource {self.registered.spec.name!r}"

    def _fetch(self, part: Path) -> None:
        content = part / "content"
        content.mkdir(parents=True, exist_ok=True)
        fetch = self.registered.spec.fetch
        with _reaching(self.registered):
            path = self.registered.call(fetch, self.options, content).resolve()
        if not path.exists() or not path.is_relative_to(content.resolve()):
            what = f"it returned {str(path)!r}, expected what it put into the folder that it was given"
            raise fault(self.registered.origin, fetch, what)
        if _identity(self.registered, self.options) != self.identity:
            shutil.rmtree(part, ignore_errors=True)
            raise HostError(f"The {self._words} changed while it was fetched.", "Run the same command again.")
        record = _Fetched(
            type=self.registered.spec.name,
            path=path.relative_to(content.resolve()).as_posix(),
            identity=self.identity,
            source=_source(self.registered, self.options),
            files=_digests(content, digest_file),
        )
        write_whole(part / _RECORD, sealed(to_json(record)))


class Remotes:
    """The resources that a workflow names, each asked for its identity once.

    folder: the workflow's. offline: nothing is asked; what was fetched before is taken as it is.
    """

    def __init__(self, registry: Registry, cache: Cache, folder: Path, *, offline: bool = False) -> None:
        self._registry = registry
        self._root = cache.folder / _FOLDER
        self._digests = cache.digests
        self._folder = folder
        self._offline = offline
        self._known: dict[str, RemoteResource] = {}

    def named_by(self, text: str) -> dict[str, JSONValue] | None:
        """The resource that an address stands for (`acme://…`), as a mapping; None when it is none's."""
        scheme, separator, _ = text.partition("://")
        for each in self._registry.all(ResourceSpec) if separator else ():
            if scheme in each.spec.schemes:
                return {"type": each.spec.name, "address": text}
        return None

    def look_up(self, value: Mapping[str, object]) -> RemoteResource:
        """The resource that a mapping names. Raises ResourceFault when it is wrongly written, or another
        ModelpressError when it cannot be asked."""
        found, written = self._find(value, "Or fetch it, and write its path instead.")
        if not found.spec.fetch:
            raise UserError(
                f"{found.spec.name!r} keeps secrets, and a file or folder is expected here.",
                "It can stand where an option takes the name of an environment variable with a secret.",
            )
        options = self._options(found, written)
        source = _source(found, options)
        if source not in self._known:
            identity = self._fetched_before(found, source) if self._offline else _identity(found, options)
            folder = self._root / xxhash.xxh3_128_hexdigest(identity.encode())
            self._known[source] = RemoteResource(found, options, identity, folder, self._digests)
        return self._known[source]

    def holding(self, path: Path) -> RemoteResource | None:
        """The resource in which a file or folder of this machine lies; None when it was not fetched."""
        real = path.resolve()
        return next(
            (each for each in self._known.values() if real.is_relative_to(each.folder.resolve())), None
        )

    def secret_name(self, value: Mapping[str, object]) -> str:
        """The name by which the secret that a mapping names can be read from now on. The vault is asked when
        it is read. Raises as look_up does."""
        found, written = self._find(value, "Or set an environment variable, and write its name instead.")
        if not found.spec.secret:
            raise UserError(
                f"The resource {found.spec.name!r} is a file or folder, and a secret is expected here.",
                "Write the name of an environment variable, or a resource that keeps secrets.",
            )
        options = self._options(found, written)
        if self._offline:
            raise UserError(
                f"The secret is kept by {found.spec.name!r}, and the run is offline.",
                "Run it without --offline, or write the name of an environment variable.",
            )
        place = json.dumps([found.spec.name, options.canonical()], sort_keys=True)
        kind = re.sub(r"\W", "_", found.spec.name).upper()
        name = f"VAULT_{kind}_{xxhash.xxh3_64_hexdigest(place.encode()).upper()}"
        give_from_vault(name, lambda: _secret(found, options))
        return name

    def _find(
        self, value: Mapping[str, object], remedy: str
    ) -> tuple[Registered[ResourceSpec], dict[str, object]]:
        """The kind of resource that a mapping names, and the options that it gives it."""
        name = str(value["type"])
        found = self._registry.get(ResourceSpec, name)
        if found is None:
            hint = f"{self._registry.hint(ResourceSpec, name)} {remedy}"
            raise UserError(f"There is no resource named {name!r}.", hint.strip())
        return found, {key: child for key, child in value.items() if key not in ("type", IDENTITY)}

    def _options(self, found: Registered[ResourceSpec], written: dict[str, object]) -> Options:
        owner = f"The resource {found.spec.name!r}"
        secrets: list[Fault] = []

        def tell(message: str, hint: str, path: str) -> None:
            secrets.append(Fault(path, message, hint))

        if not refuse_secrets(owner, found.options_class, written, tell):
            raise ResourceFault(secrets)
        try:
            options = with_local_paths(found.parse(written), self._folder)
        except ValidationError as error:
            raise ResourceFault(list(faults(error, found.options_class, written, owner))) from None
        named, faulty = name_secrets(options, self)
        if faulty:
            raise ResourceFault(faulty)
        return named

    def _kept(self) -> list[Path]:
        """The folders of what was fetched; what is half fetched has a suffix."""
        return [folder for folder in sorted(self._root.glob("*")) if not folder.suffix]

    def _fetched_before(self, found: Registered[ResourceSpec], source: str) -> str:
        records = {folder: _read_record(folder) for folder in self._kept()}
        for record in records.values():
            if record and record.source == source:
                return record.identity
        damaged = [str(folder) for folder, record in records.items() if record is None]
        why = f" (or is damaged: {', '.join(damaged)})" if damaged else ""
        raise UserError(
            f"The resource {found.spec.name!r} was not fetched before{why}, and the run is offline.",
            "Run it once without --offline, or give the path of a file or folder.",
        )


def name_secrets(options: O, remotes: Remotes) -> tuple[O, list[Fault]]:
    """The options with each vault's reference as the name by which its secret is read; and those that are
    wrong."""
    whole = options.canonical()
    values = options.model_dump(mode="json", exclude_unset=True)
    found: list[Fault] = []

    def named(value: JSONValue, option: str) -> JSONValue:
        if isinstance(value, dict) and is_remote(value):
            try:
                return remotes.secret_name(value)
            except ResourceFault as error:
                found.extend(replace(each, path=f"{option}.{each.path}".rstrip(".")) for each in error.faults)
            except PluginError:
                raise
            except ModelpressError as error:
                found.append(Fault(option, error.message, error.hint))
        elif isinstance(value, dict):
            return {key: named(child, f"{option}.{key}") for key, child in value.items()}
        elif isinstance(value, list):
            return [named(child, f"{option}.{index}") for index, child in enumerate(value)]
        return value

    changed = False
    for mark in marks(type(options), options, Secret):
        written = value_at(whole, mark.path)
        name = named(written, mark.option)
        if name != written:
            put_at(values, mark.path, name, whole)
            changed = True
    return (type(options).parse(values) if changed else options), found


def _secret(found: Registered[ResourceSpec], options: Options) -> str:
    """Ask the vault. Not by `call`: what is wrong with an answer would be told with the answer. Nor is shown
    what it prints: the secret is known, and can be taken out, when it has answered."""
    read = found.spec.secret
    unseen = io.StringIO()
    with _reaching(found), redirect_stdout(unseen), redirect_stderr(unseen), fence(found.origin, read):
        value = load(found.origin, read)(options)
        if not isinstance(value, str) or not value:
            kind = "empty text" if isinstance(value, str) else type(value).__name__
            raise fault(found.origin, read, f"it returned {kind}, expected the secret as text")
    return value


def fetched_identity(path: Path) -> str:
    """The identity of the resource that this path is (in); empty when it is no fetched resource."""
    for parent in path.resolve().parents:
        record = _read_record(parent) if (parent / _RECORD).is_file() else None
        if record and parent.parent.name == _FOLDER:
            return record.identity
    return ""


def _identity(found: Registered[ResourceSpec], options: Options) -> str:
    """What the content is. An etag says that only together with the place that gave it."""
    with _reaching(found):
        answer = found.call(found.spec.identity, options)
    if not answer:
        what = "it returned '', expected text that changes with the content"
        raise fault(found.origin, found.spec.identity, what)
    return f"resource:{_source(found, options)}@{answer}"


def _source(found: Registered[ResourceSpec], options: Options) -> str:
    """The place that a resource names, whoever asks: secrets do not count."""
    values = options.canonical()
    for mark in marks(type(options), options, Secret):
        put_at(values, mark.path, "$secret", values)
    text = json.dumps(values, sort_keys=True)
    return f"{found.spec.name}:{xxhash.xxh3_128_hexdigest(text.encode())}"


@contextmanager
def _reaching(found: Registered[ResourceSpec]) -> Iterator[None]:
    """An OSError of the plugin is no fault of it: what it asks cannot be reached."""
    try:
        yield
    except PluginError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        told = f"{type(error.__cause__).__name__}: {error.__cause__}"
        raise HostError(
            f"The resource {found.spec.name!r} cannot be reached: {told}", error.message
        ) from error


def _digests(content: Path, digest: Callable[[Path], str]) -> dict[str, str]:
    files = sorted(path for path in content.rglob("*") if path.is_file())
    return {path.relative_to(content).as_posix(): digest(path) for path in files}


def _read_record(folder: Path) -> _Fetched | None:
    try:
        record = from_json(_Fetched, unsealed((folder / _RECORD).read_bytes()))
        return record if (folder / "content" / record.path).exists() else None
    except (OSError, ValueError):
        return None
