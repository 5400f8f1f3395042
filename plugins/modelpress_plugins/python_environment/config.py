"""Options of PythonEnvironment; the names are Olive's."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from modelpress.api import LocalPath, Options


class PythonEnvironmentOptions(Options):
    """An environment that exists, or one that is made from what the work requires (`managed`).

    One that exists needs pydantic, pluggy, psutil and xxhash beside what the passes need; modelpress itself
    and the passes are brought along.
    """

    python_environment_path: Annotated[str | None, LocalPath()] = Field(
        default=None,
        description="The environment's folder, its `bin` (or `Scripts`) folder, or its Python executable. "
        "Relative paths count from the workflow's folder.",
    )
    managed: bool = Field(
        default=False,
        description="Make the environment from what passes, formats and data require, by uv where it is "
        "there and pip where not. It is kept in this user's cache and shared by all runs that need the same.",
    )
    python: str | None = Field(
        default=None,
        description="Of a managed environment: a version (`3.12`) or an executable. Unset: this Python's.",
    )
    requirements: list[str] = Field(
        default_factory=list, description="Of a managed environment: what is installed beside (`torch==2.9`)."
    )
    requirements_file: Annotated[str | None, LocalPath()] = Field(
        default=None, description="Of a managed environment: a file of such lines, as pip reads it."
    )
    index_url: str | None = Field(
        default=None,
        description="Of a managed environment: the package index. Unset: as the installer is set up. "
        "Credentials go into the installer's own settings.",
    )
    wheels: Annotated[str | None, LocalPath()] = Field(
        default=None, description="Of a managed environment: a folder of wheels that is looked into, too."
    )
    no_index: bool = Field(
        default=False, description="Of a managed environment: look into the folder of wheels only."
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

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.managed == (self.python_environment_path is not None):
            raise ValueError("needs either python_environment_path, or managed: true")
        return self
