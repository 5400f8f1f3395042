"""What the value of an option is, beside its type: a file, the name of data, of a secret; and the one walker
that finds such values, wherever they stand in a model of options.

    for mark in marks(LoRAConfig, options, DataRole):
        mark.path, mark.marker.role, mark.value

What the walker could never find is told by modelpress.marker_faults.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import (
    Annotated,
    Generic,
    Literal,
    NoReturn,
    TypeVar,
    get_args,
    get_origin,
)

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    RootModel,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from modelpress.annotations import LISTS, MAPPINGS, bare, is_literal, is_model, is_union, of_kind
from modelpress.errors import UserError

IDENTITY = "$identity"
"""The key under which a ResourceRef carries what the content is, once the plan has asked."""
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class NotFetched(UserError):
    """The path of a resource was asked for before the run fetched it."""


class ResourceRef(BaseModel):
    """A file or folder that has to be fetched, as the user wrote it: `{type: azureml_datastore, …}`.

    It stands for the path until the run fetches it. A pass never meets one: it sees the path.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)

    type: str

    @property
    def options(self) -> dict[str, object]:
        """What the user wrote beside `type`."""
        return {name: value for name, value in (self.model_extra or {}).items() if name != IDENTITY}

    @property
    def identity(self) -> str:
        """What the content is (an etag), known while planning; empty before."""
        return str((self.model_extra or {}).get(IDENTITY, ""))

    def __fspath__(self) -> NoReturn:
        raise NotFetched(
            f"The resource {self.type!r} has not been fetched yet.", "Its path is there when the run begins."
        )


@dataclass(frozen=True, slots=True)
class DataRole:
    """Marks a field that names a data config; the pass opens it with `ctx.data(role)`."""

    role: str


@dataclass(frozen=True, slots=True)
class Resource:
    """Marks a path: text, or a list or mapping of such. Users may give a resource (`{type: …}`) instead.

    It is resolved against the workflow's folder, its content is part of the cache key, and the pass sees a
    path that is right where it runs. In a plan, a resource that was not fetched is a ResourceRef. To let
    single items of a list be resources, mark the items: `list[ResourcePath]`.

    optional: a value that is no existing path is left as it is (a hub id, a URL).
    """

    optional: bool = False

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        remote = handler.generate_schema(ResourceRef)
        return core_schema.union_schema([remote, handler(source)], mode="left_to_right")


@dataclass(frozen=True, slots=True)
class LocalPath:
    """Marks a path on the machine that plans (an environment's folder), or a list of them. It is resolved
    against the workflow's folder; its content is no part of a key and goes nowhere."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Marks the name of an environment variable that holds a secret; the pass reads it with
    `ctx.secret(config.token)`. The secret itself is in no option, key, job folder, record or message.

    Users may give a vault's reference (`{type: …}`, a resource with `secret`) instead: what the pass sees is
    a name all the same, under which it reads what the vault holds.
    """

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        remote = handler.generate_schema(ResourceRef)
        name = core_schema.no_info_after_validator_function(_require_variable_name, handler(source))
        return core_schema.union_schema([remote, name], mode="left_to_right")


@dataclass(frozen=True, slots=True)
class Searchable:
    """Marks a field that a search may try values of.

    values:     those tried where the user names none
    by_default: whether a search tries them where nothing is written; else where SEARCHABLE_VALUES is, and by
                `modelpress optimize`
    """

    values: tuple[str | int | float | bool | None, ...] = ()
    by_default: bool = True


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Marks text in which `${…}` is the user's own (a template), never an environment variable."""


ResourcePath = Annotated[str, Resource()]
"""A file or folder, or a resource; a missing file is an error of the plan."""
SecretName = Annotated[str, Secret()]
"""The name of an environment variable that holds a secret, or a vault's reference."""

Marker = DataRole | Resource | LocalPath | Secret | Searchable | Verbatim
M = TypeVar("M", DataRole, Resource, LocalPath, Secret, Searchable, Verbatim)
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mark(Generic[M]):
    """A marked value. path: names of fields, keys of mappings and numbers of items that lead to it."""

    path: Path
    marker: M
    value: object

    @property
    def option(self) -> str:
        """The path with dots, as problems name it."""
        return dotted(self.path)


def dotted(path: Path) -> str:
    """`data.0.file`."""
    return ".".join(str(part) for part in path)


def is_remote(value: object) -> bool:
    """Whether a value is a resource: `{type: …}`, which a plugin has to fetch."""
    return isinstance(value, ResourceRef) or (
        isinstance(value, Mapping) and isinstance(value.get("type"), str)
    )


def resource_refs(options: BaseModel) -> list[ResourceRef]:
    """The resources in the options that were not fetched."""
    found: list[ResourceRef] = []

    def look(value: object) -> None:
        if isinstance(value, ResourceRef):
            found.append(value)
        elif isinstance(value, Mapping):
            for child in value.values():
                look(child)
        elif isinstance(value, list | tuple):
            for child in value:
                look(child)

    for mark in marks(type(options), options, Resource):
        look(mark.value)
    return found


def marks(cls: type[BaseModel], values: BaseModel | Mapping[str, object], kind: type[M]) -> Iterator[Mark[M]]:
    """Every value that carries a marker of this kind, each once.

    values: a model of that class, or JSON values, which need not be valid.
    """
    seen: set[Path] = set()
    for mark in _in_model(cls, values, kind, ()):
        if mark.path not in seen:
            seen.add(mark.path)
            yield mark


def _in_model(
    cls: type[BaseModel], values: BaseModel | Mapping[str, object], kind: type[M], path: Path
) -> Iterator[Mark[M]]:
    for name, info in cls.model_fields.items():
        if isinstance(values, BaseModel):
            value = getattr(values, name)
        elif name in values:
            value = values[name]
        else:
            continue
        here = path if issubclass(cls, RootModel) else (*path, name)
        yield from _in_value(info.annotation, value, kind, of_kind(info.metadata, kind), here)


def _in_value(
    annotation: object, value: object, kind: type[M], marker: M | None, path: Path
) -> Iterator[Mark[M]]:
    annotation, metadata = bare(annotation)
    marker = of_kind(metadata, kind) or marker
    if value is None:
        return
    if isinstance(value, BaseModel) and not isinstance(value, ResourceRef):
        yield from _in_model(type(value), value, kind, path)
    elif marker is not None and not _holds_model(value):
        yield Mark(path, marker, value)
    elif is_union(annotation):
        yield from _in_union(annotation, value, kind, marker, path)
    elif is_model(annotation) and isinstance(value, Mapping):
        yield from _in_model(annotation, value, kind, path)
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _in_value(_item(annotation, index), child, kind, marker, (*path, index))
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _in_value(_item(annotation, -1), child, kind, marker, (*path, str(key)))


def _in_union(
    annotation: object, value: object, kind: type[M], marker: M | None, path: Path
) -> Iterator[Mark[M]]:
    branches = get_args(annotation)
    if any(is_literal(branch) and value in get_args(bare(branch)[0]) for branch in branches):
        return  # `ResourcePath | Literal["auto"]`: the word is no path
    for branch in branches:
        if _fits(branch, value):
            yield from _in_value(branch, value, kind, marker, path)


def _holds_model(value: object) -> bool:
    if isinstance(value, BaseModel):
        return not isinstance(value, ResourceRef)
    if isinstance(value, Mapping):
        return any(_holds_model(child) for child in value.values())
    return isinstance(value, list | tuple) and any(_holds_model(child) for child in value)


def _fits(annotation: object, value: object) -> bool:
    """Whether a branch of a union can be the one that the value was read by."""
    annotation, metadata = bare(annotation)
    may_be_remote = of_kind(metadata, Resource) is not None or of_kind(metadata, Secret) is not None
    if may_be_remote and is_remote(value):
        return True
    if is_union(annotation):
        return any(_fits(branch, value) for branch in get_args(annotation))
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return value in get_args(annotation)
    if origin in LISTS:
        return isinstance(value, list | tuple)
    if origin in MAPPINGS or is_model(origin):
        return isinstance(value, Mapping)
    if isinstance(origin, type) and issubclass(origin, str | os.PathLike):
        return isinstance(value, str | os.PathLike)
    return origin not in (int, float, bool, type(None)) or isinstance(value, origin)


def _item(annotation: object, index: int) -> object:
    """The type of an item of a list, or (index -1) of a value of a mapping; object where it says none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return arguments[index] if index < len(arguments) else object
    if origin in LISTS and arguments:
        return arguments[0]
    if origin in MAPPINGS and index == -1:
        return arguments[1]
    return object


def _require_variable_name(value: object) -> object:
    """Refuse what no environment variable is called, without repeating it: it may be the secret itself."""
    if isinstance(value, str) and not _VARIABLE.fullmatch(value):
        raise PydanticCustomError("secret_name", "has to be the name of an environment variable")
    return value
