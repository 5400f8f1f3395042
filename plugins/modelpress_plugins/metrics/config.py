"""Options of the metrics."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelpress.api import DataRole, Options

DataConfig = Annotated[str | None, DataRole("data")]


class AccuracyOptions(Options):
    """Let the model answer each prompt and compare with the right answer."""

    data_config: DataConfig = Field(default=None, description="The data config with prompts and answers.")
    max_new_tokens: int = Field(default=16, ge=1, description="Longest answer, in tokens.")
    batch_size: int = Field(default=16, ge=1, description="Prompts that are answered at once.")
    max_samples: int | None = Field(default=None, ge=1, description="First rows of the data only.")


class PerplexityOptions(Options):
    """Take the loss of every token that has a label."""

    data_config: DataConfig = Field(default=None, description="The data config with the text.")
    max_samples: int | None = Field(default=None, ge=1, description="First samples of the data only.")
    max_seq_len: int | None = Field(
        default=None, ge=2, description="Tokens of a sample that are looked at. None: the model's context."
    )


class SizeOptions(Options):
    """Count bytes."""

    include_base: bool = Field(
        default=True, description="For an adapter: count the base model too, without which it cannot run."
    )


class SpeedOptions(Options):
    """Let the model answer, again and again, alone and greedily."""

    data_config: DataConfig = Field(
        default=None, description="Prompts; None: a made-up one of prompt_length tokens."
    )
    prompt_length: int = Field(default=32, ge=1, description="Tokens of the prompt.")
    new_tokens: int = Field(default=16, ge=2, description="Tokens of each answer.")
    warmup_num: int = Field(default=10, ge=0, description="Answers that are not counted.")
    repeat_test_num: int = Field(default=20, ge=1, description="Answers that are counted.")
    sleep_num: float = Field(default=0, ge=0, description="Seconds between answers, to let the machine cool.")
