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
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """What users write. Subclass it; give each field a default where there is a sensible one, and a
    `description` with unit and range."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate JSON values by JSON's own types (an array may become a tuple, a string a Path).

        Raises pydantic.ValidationError.
        """
        return cls.model_validate_json(json.dumps(dict(values)))

    def canonical(self) -> dict[str, Any]:
        """Every option with defaults filled in, as JSON values: what the cache key is made of."""
        return self.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class DataRole:
    """Marks a field that names a data config; the pass opens it with `ctx.data(role)`."""

    role: str


@dataclass(frozen=True, slots=True)
class Resource:
    """Marks a field that holds a path or a resource mapping (`{type: azureml_datastore, …}`), or a list
    or mapping of such. It is resolved against the workflow's folder, its content is part of the cache
    key, and the pass sees a path that is right where it runs.

    optional: a value that is no existing path is left as it is (a hub id, a URL).
    """

    optional: bool = False


ResourcePath = Annotated[str | dict[str, Any], Resource()]
"""A file or folder; a missing one is an error of the plan."""
