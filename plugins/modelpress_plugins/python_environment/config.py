"""Options of PythonEnvironment; the names are Olive's."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelpress.api import LocalPath, Options


class PythonEnvironmentOptions(Options):
    """An environment that exists. It needs pydantic, pluggy, psutil and xxhash beside what the passes need;
    modelpress itself and the passes are brought along."""

    python_environment_path: Annotated[str, LocalPath()] = Field(
        description="The environment's folder, its `bin` (or `Scripts`) folder, or its Python executable. "
        "Relative paths count from the workflow's folder.",
    )
    environment_variables: dict[str, str] | list[str] = Field(
        default_factory=list,
        description="For the worker, beside what it needs anyway: names of variables of this process, or "
        "names with values. Never logged.",
    )
    prepend_to_path: Annotated[list[str], LocalPath()] = Field(
        default_factory=list, description="Folders put before PATH, the first one first."
    )
    hf_token: bool | None = Field(
        default=None,
        description="Whether passes may use the Hugging Face token of this machine (`HF_TOKEN` or the token "
        "file). False keeps it out of the worker, whatever else is named.",
    )
