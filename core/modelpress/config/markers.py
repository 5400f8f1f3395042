"""Find the options that name a data config: those marked with a DataRole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from modelpress.config.validation import model_in
from modelpress.options import DataRole


def data_roles(
    model: type[BaseModel], values: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, str, str]]:
    """(dotted path, role, name of the data config) of each such option in the values, which need not be
    valid, in nested models too."""
    for name, field in model.model_fields.items():
        value = values.get(name)
        role = next((m for m in field.metadata if isinstance(m, DataRole)), None) or _inside(field.annotation)
        inner = model_in(field.annotation)
        if role is not None and isinstance(value, str):
            yield ".".join((*path, name)), role.role, value
        elif inner is not None and isinstance(value, Mapping):
            yield from data_roles(inner, value, (*path, name))


def _inside(annotation: Any) -> DataRole | None:
    if get_origin(annotation) is Annotated:
        for item in annotation.__metadata__:
            if isinstance(item, DataRole):
                return item
    for argument in get_args(annotation):
        if found := _inside(argument):
            return found
    return None
