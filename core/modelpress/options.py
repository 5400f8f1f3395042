"""The options of a pass, system, data container or metric: a strict pydantic model.

    class HelloOptions(Options):
        \"\"\"Cast every floating tensor.\"\"\"

        dtype: Literal["float32", "float16", "bfloat16"] = Field(default="float16", description="…")
        train_data_config: Annotated[str | None, DataRole("train")] = None

Unknown keys are errors; types are those of JSON (no "64" for 64, no true for 1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from modelpress.errors import UserError
from modelpress.json_types import JSONSchema, JSONValue
from modelpress.marker_faults import find_fault
from modelpress.sizes import parse_size


def _a_size(value: int | str) -> int | str:
    try:
        parse_size(value)
    except UserError as error:
        raise PydanticCustomError("size", "has to be a size") from error
    return value


Size = Annotated[int | str, AfterValidator(_a_size)]
"""A number of bytes, or text like "500MB"; what is neither is told with its line. For parse_size to read."""


_SOUND: set[type] = set()
"""Classes that were looked at: each candidate of a search asks again."""


class Options(BaseModel):
    """What users write. Subclass it; give each field a default where there is a sensible one, and a
    `description` with unit and range."""

    # An error must not repeat the input: it may be a secret.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, protected_namespaces=(), hide_input_in_errors=True
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        if cls.__pydantic_complete__:
            cls.require_sound()

    @classmethod
    def require_sound(cls) -> None:
        """Refuse a class with a marker where none would be found. Called for each as it is made, but for
        those that name types which come later.

        Raises UserError.
        """
        if cls in _SOUND:
            return
        cls.model_rebuild()
        if fault := find_fault(cls):
            raise UserError(f"{cls.__name__} is at fault: {fault}.")
        _SOUND.add(cls)

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> Self:
        """Validate JSON values by JSON's own types (an array may become a tuple, a string a Path).

        Raises pydantic.ValidationError.
        """
        return cls.model_validate_json(json.dumps(dict(values)))

    @classmethod
    def json_schema(cls, *, ref_template: str = "#/$defs/{model}") -> JSONSchema:
        """JSON Schema of the options."""
        return cast("JSONSchema", cls.model_json_schema(ref_template=ref_template))

    def canonical(self) -> dict[str, JSONValue]:
        """Every option with defaults filled in, as JSON values: what the cache key is made of."""
        return self.model_dump(mode="json")
