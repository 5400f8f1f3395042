"""Options of the page that goes along with a run."""

from __future__ import annotations

from pydantic import Field

from modelpress.api import Options


class LivePageOptions(Options):
    """Where it is shown."""

    port: int = Field(default=0, ge=0, lt=65536, description="On this machine alone; 0: one that is free.")
    stays: bool = Field(default=False, description="Whether it is shown after the run, until Ctrl-C.")
    open: bool = Field(default=False, description="Whether the browser is asked to show it.")
