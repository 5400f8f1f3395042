"""Options of the metrics."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from modelpress.api import DataRole, JSONValue, Options, Resource
from modelpress_plugins.onnx_graph.config import IoConfig

DataConfig = Annotated[str | None, DataRole("data")]


class AnswerOptions(Options):
    """Let the model answer each prompt and compare with the right answer."""

    data_config: DataConfig = Field(default=None, description="The data config with prompts and answers.")
    max_new_tokens: int = Field(default=16, ge=1, description="Longest answer, in tokens.")
    batch_size: int = Field(default=16, ge=1, description="Prompts that are answered at once.")
    max_samples: int | None = Field(default=None, ge=1, description="First rows of the data only.")


class AccuracyOptions(AnswerOptions):
    """Let the model answer, or choose an answer, and count what is right."""

    method: Literal["generation", "likelihood"] = Field(
        default="generation",
        description="Compare what it writes, or which of the choices it holds most likely (slower with many "
        "choices; says more of a model that writes at length).",
    )
    choices: tuple[str, ...] = Field(
        default=(), description="With likelihood: the answers to choose from. Empty: all that the data has."
    )

    @model_validator(mode="after")
    def _choices_are_compared(self) -> Self:
        if self.choices and self.method != "likelihood":
            raise ValueError(
                "choices are compared by `method: likelihood` only; the model writes freely else"
            )
        return self


_UserPath = Annotated[str | None, Resource()]


class UserConfig(Options):
    """Which function measures, and where it is. It is foreign code: it runs because the workflow names it."""

    user_script: _UserPath = Field(default=None, description="A Python file that holds the function.")
    script_dir: _UserPath = Field(default=None, description="A folder that it imports from.")
    evaluate_func: str | None = Field(
        default=None,
        description="A function of user_script, or `module:function`, that is given the model (`model_path`, "
        "`load_model()`, `prepare_session()`, `open()`), device and execution_providers, and returns a "
        "number or a dict of numbers.",
    )
    evaluate_func_kwargs: dict[str, JSONValue] = Field(
        default_factory=dict, description="What evaluate_func is given beside."
    )
    metric_func: str | None = Field(
        default=None,
        description="A function that is given what the model wrote for each prompt of data_config "
        "(`outputs.preds`), and the right answers.",
    )
    metric_func_kwargs: dict[str, JSONValue] = Field(
        default_factory=dict, description="What metric_func is given beside."
    )
    data_dir: _UserPath = Field(default=None, description="A folder; evaluate_func is given it as data_dir.")
    batch_size: int | None = Field(
        default=None, ge=1, description="evaluate_func is given it. Unset: that of the metric."
    )

    @model_validator(mode="after")
    def _one_function(self) -> Self:
        if not (self.evaluate_func or self.metric_func):
            raise ValueError("has to name a function: evaluate_func or metric_func")
        return self


def _names_alone(value: object) -> object:
    """Of `sub_types` the names: what is wanted of a number makes no difference to what it is."""
    if not isinstance(value, list | tuple):
        return value
    return [item.get("name", item) if isinstance(item, dict) else item for item in value]


class CustomOptions(AnswerOptions):
    """Let a function of yours measure."""

    user_config: UserConfig = Field(description="The function.")
    sub_types: Annotated[list[str], BeforeValidator(_names_alone)] = Field(
        default_factory=list, description="The numbers that are wanted. Left out: all that it returns."
    )


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


class DivergenceOptions(Options):
    """Compare what the model expects of each next token with what the input model expects."""

    data_config: DataConfig = Field(default=None, description="The data config with the text.")
    max_samples: int | None = Field(default=None, ge=1, description="First samples of the data only.")
    max_tokens: int = Field(
        default=2048, ge=1, description="Tokens that are compared at most, over all samples."
    )


_IO = "Names and shapes of inputs, of a model that takes arrays. Left out: made from its own shapes."


class DiscrepancyOptions(Options):
    """Give both models the same inputs."""

    data_config: DataConfig = Field(
        default=None,
        description="Inputs: columns called like them, or text for models that take ids. "
        "Left out: made ones.",
    )
    io_config: IoConfig | None = Field(default=None, description=_IO)
    samples: int = Field(default=4, ge=1, description="Different inputs that are tried.")


class PeakMemoryOptions(Options):
    """Open the model and run it once."""

    data_config: DataConfig = Field(default=None, description="Inputs: the first row. Left out: made ones.")
    io_config: IoConfig | None = Field(default=None, description=_IO)


class LoadOptions(Options):
    """Open the model, again and again."""

    warmup_num: int = Field(default=1, ge=0, description="Times that are not counted.")
    repeat_test_num: int = Field(default=5, ge=1, description="Times that are counted.")


class SpeedOptions(Options):
    """Let the model answer, again and again, alone and greedily."""

    data_config: DataConfig = Field(
        default=None,
        description="Prompts, or inputs of a model that takes arrays: columns called like them. Left out: a "
        "made-up prompt of prompt_length tokens, or made inputs.",
    )
    prompt_length: int = Field(default=32, ge=1, description="Tokens of the prompt.")
    new_tokens: int = Field(default=16, ge=2, description="Tokens of each answer.")
    warmup_num: int = Field(default=10, ge=0, description="Answers that are not counted.")
    repeat_test_num: int = Field(default=20, ge=1, description="Answers that are counted.")
    sleep_num: float = Field(default=0, ge=0, description="Seconds between answers, to let the machine cool.")
    io_config: IoConfig | None = Field(default=None, description=_IO)
    rounds: int = Field(
        default=3,
        ge=1,
        description="How often the model is opened anew, the answers shared among the rounds: one may be "
        "slower than another, which a single round does not show.",
    )
