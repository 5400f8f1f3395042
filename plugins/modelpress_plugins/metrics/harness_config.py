"""Options of LMEvaluator, under Olive's names."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelpress.api import JSONValue, Options, Resource


class HarnessOptions(Options):
    """Let lm-evaluation-harness ask, and count."""

    tasks: list[str | dict[str, JSONValue]] = Field(
        min_length=1,
        description="Names of tasks or groups, or definitions of tasks as lm-eval's own files hold them; "
        "`size_on_disk` is taken for a task, too.",
    )
    include_path: Annotated[str | None, Resource()] = Field(
        default=None,
        description="A folder with definitions of tasks. Relative data_files of a task count from there.",
    )
    batch_size: int = Field(default=1, ge=1, description="Requests at once, where the runtime can.")
    max_length: int | None = Field(
        default=None, ge=2, description="Tokens of a request at most. Unset: the model's context."
    )
    limit: int | float | None = Field(
        default=None, gt=0, description="Questions of each task: a count, or below 1 a share. Unset: all."
    )
    num_fewshot: int | None = Field(
        default=None, ge=0, description="Examples in the prompt. Unset: as the task has it."
    )
    bootstrap_iters: int = Field(
        default=100_000, ge=0, description="Resamples for the error of numbers that need it; 0: none is told."
    )
    apply_chat_template: bool | str = Field(
        default=False, description="Ask as a chat, in the model's template, or in that one of its templates."
    )
    system_instruction: str | None = Field(default=None, description="What the system says first.")
    fewshot_as_multiturn: bool = Field(
        default=False, description="With apply_chat_template: examples as turns of the chat."
    )
    confirm_run_unsafe_code: bool = Field(
        default=False, description="Take tasks that run code which the model writes, on this machine."
    )
