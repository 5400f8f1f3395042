"""Types as they are written in a class of options, taken apart: unions, models, what Annotated adds."""

from __future__ import annotations

import types
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Annotated, Literal, NewType, TypeGuard, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

M = TypeVar("M")

LISTS = (list, tuple, Sequence, MutableSequence)
MAPPINGS = (dict, Mapping, MutableMapping)


def bare(annotation: object) -> tuple[object, tuple[object, ...]]:
    """A type without Annotated, `type X = …` and NewType around it, and the metadata that was there."""
    metadata: tuple[object, ...] = ()
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *found = get_args(annotation)
            metadata = (*found, *metadata)
        elif type(annotation).__name__ == "TypeAliasType" and hasattr(annotation, "__value__"):
            annotation = annotation.__value__  # typing's from 3.12 on, typing_extensions' before
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        else:
            return annotation, metadata


def of_kind(metadata: Sequence[object], kind: type[M]) -> M | None:
    """The first of the metadata that is of this class."""
    return next((item for item in metadata if isinstance(item, kind)), None)


def is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def is_literal(annotation: object) -> bool:
    return get_origin(bare(annotation)[0]) is Literal


def is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
