"""What the walker of markers could never find: told when a class of options is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, get_args, get_origin, get_type_hints

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic import Secret as PydanticSecret

from modelpress.annotations import LISTS, MAPPINGS, bare, is_model, is_union, of_kind
from modelpress.markers import DataRole, Marker, Path, dotted

_SECRET_TYPES = (SecretStr, SecretBytes, PydanticSecret)


def find_fault(cls: type[BaseModel]) -> str:
    """What makes a class of options unusable, with the option concerned; empty when it is right."""
    return next(_faults_of(cls, (), set()), "")


def _faults_of(
    cls: type[BaseModel], path: Path, seen: set[type[BaseModel]], *, listed: bool = False
) -> Iterator[str]:
    if cls in seen:
        return
    seen.add(cls)
    decorators = cls.__pydantic_decorators__
    rewritten = {name for each in decorators.field_serializers.values() for name in each.info.fields}
    for name, info in cls.model_fields.items():
        here = (*path, name)
        annotation = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        marked = _carries_marker(annotation)
        if marked and (name in rewritten or "*" in rewritten or decorators.model_serializers or info.exclude):
            yield f"the option {dotted(here)} is marked, but is left out or rewritten when it is serialized"
        yield from _faults_in(annotation, here, seen, listed=listed)
    if cls.model_config.get("extra") == "allow":
        extra = get_type_hints(cls, include_extras=True).get("__pydantic_extra__")
        if extra is not None and _carries_marker(extra):
            yield f"{dotted((*path, '*'))}: extra options cannot carry a marker"


def _faults_in(
    annotation: object, path: Path, seen: set[type[BaseModel]], *, listed: bool, marked: bool = False
) -> Iterator[str]:
    annotation, metadata = bare(annotation)
    option = dotted(path)
    marked = marked or any(isinstance(item, Marker) for item in metadata)
    if listed and of_kind(metadata, DataRole) is not None:
        yield f"the option {option} is one of several with the same DataRole; a role names one data config"
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if isinstance(origin, type) and issubclass(origin, _SECRET_TYPES):
        yield f"the option {option} is a {origin.__name__}; mark it as Annotated[str, Secret()] instead"
    elif is_union(annotation):
        for branch in arguments:
            yield from _faults_in(branch, path, seen, listed=listed, marked=marked)
    elif is_model(annotation):
        yield from _faults_of(annotation, path, seen, listed=listed)
    elif origin in LISTS:
        for child in arguments:
            yield from _faults_in(child, (*path, "*"), seen, listed=True, marked=marked)
    elif origin in MAPPINGS:
        if arguments and _carries_marker(arguments[0]):
            yield f"the option {option} has a marker on a mapping's keys; only values are looked at"
        for child in arguments[1:]:
            yield from _faults_in(child, (*path, "*"), seen, listed=True, marked=marked)
    elif (origin in (set, frozenset) and marked) or _carries_marker(annotation):
        name = getattr(origin, "__name__", str(origin))
        yield (
            f"the option {option} has a marker in a {name}, which is not looked into; "
            "use Options, a list or a mapping"
        )


def _carries_marker(annotation: object, seen: frozenset[object] = frozenset()) -> bool:
    """Whether a marker, or a secret's type, stands anywhere in a type."""
    annotation, metadata = bare(annotation)
    if any(isinstance(item, Marker) for item in metadata):
        return True
    if annotation in _SECRET_TYPES:
        return True
    if isinstance(annotation, type) and annotation not in seen:
        return any(_carries_marker(child, seen | {annotation}) for child in _members(annotation))
    return any(
        _carries_marker(child, seen) for child in get_args(annotation) if not isinstance(child, str | int)
    )


def _members(cls: type) -> list[object]:
    """The types of what a model, dataclass, TypedDict or NamedTuple has; of other classes none."""
    if is_model(cls):
        return [
            Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
            for info in cls.model_fields.values()
        ]
    if any(hasattr(cls, name) for name in ("__dataclass_fields__", "__total__", "_field_defaults")):
        return list(get_type_hints(cls, include_extras=True).values())
    return []
