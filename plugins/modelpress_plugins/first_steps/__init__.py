"""Commands for whoever has a model, or nothing yet: fine-tune one on a file, begin a workflow."""

from __future__ import annotations

from modelpress.api import CommandSpec, hookimpl

MODELPRESS_API = 1

_HERE = "modelpress_plugins.first_steps"


@hookimpl
def modelpress_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="finetune",
            summary="Fine-tune a model on a file of data, without a workflow.",
            command=f"{_HERE}.finetune:command",
        ),
        CommandSpec(
            name="init",
            summary="Begin: write a workflow by asking, or copy an example that runs.",
            command=f"{_HERE}.init:command",
        ),
    ]
