"""Options of LocalSystem."""

from __future__ import annotations

from pydantic import Field

from modelpress.api import Options


class LocalOptions(Options):
    """This machine has few options; `accelerators` is common to all systems."""

    hf_token: bool = Field(
        default=False,
        description="Whether passes may use the Hugging Face token of this machine (`HF_TOKEN` or the token "
        "file). False hides it from the worker.",
    )
