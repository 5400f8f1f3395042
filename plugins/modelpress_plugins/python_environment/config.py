"""Options of PythonEnvironment; the names are Olive's."""

from __future__ import annotations

from pydantic import Field

from modelpress.api import Options


class PythonEnvironmentOptions(Options):
    """An environment that exists. It needs pydantic, pluggy, psutil and xxhash beside what the passes need;
    modelpress itself and the passes are brought along."""

    python_environment_path: str = Field(
        description="The environment's folder, its `bin` (or `Scripts`) folder, or its Python executable. "
        "Relative paths count from the folder that modelpress was started in.",
    )
    environment_variables: dict[str, str] = Field(
        default_factory=dict, description="Set for the worker on top of this process's own. Never logged."
    )
    prepend_to_path: list[str] = Field(
        default_factory=list, description="Folders put before PATH, the first one first."
    )
    hf_token: bool = Field(
        default=False, description="Whether passes may use the Hugging Face token of this machine."
    )
