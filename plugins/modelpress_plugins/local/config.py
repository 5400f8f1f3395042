"""Options of LocalSystem."""

from __future__ import annotations

from pydantic import Field

from modelpress.api import Options


class LocalOptions(Options):
    """This machine has few options; `accelerators` is common to all systems."""

    environment_variables: dict[str, str] | list[str] = Field(
        default_factory=list,
        description="For the worker, beside what it needs anyway: names of variables of this process, or "
        "names with values. Never logged.",
    )
    hf_token: bool | None = Field(
        default=None,
        description="Whether passes may use the Hugging Face token of this machine (`HF_TOKEN` or the token "
        "file). False keeps it out of the worker, whatever else is named.",
    )
    max_jobs: int = Field(
        default=1,
        ge=1,
        description="Jobs that may be at work at once, each in a process of its own. One job uses all "
        "processors as it is; more are for the small models of a search.",
    )
