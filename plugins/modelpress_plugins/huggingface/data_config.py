"""The options of the data containers: which rows are loaded, and what becomes of them.

Names are Olive's; `completion_only` and `holdout` are ours.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from modelpress.api import Options, Resource, Verbatim
from modelpress_plugins.hf.chat_names import ChatName

Strategy = Literal["line-by-line", "line-by-line-random", "join", "join-random", "join-sliding-window"]
DataPath = Annotated[str, Resource(optional=True)]
PairFormat = Literal["default", "custom", "alpaca", "chip2", "self_instruct", "hh_rlhf"]


class LoadDataset(Options):
    """Where the rows come from."""

    type: str | None = Field(default=None, description="Olive's component name; `huggingface_dataset` only.")
    data_name: str | None = Field(
        default=None,
        description="json, csv, text or parquet for files, or the id of a data set on the hub. "
        "Unset: told by the suffix of data_files.",
    )
    subset: str | None = Field(
        default=None, description="The data set's configuration, where it has several."
    )
    split: str = Field(default="train", description="A split, or a slice of it: `train[:80%]`.")
    data_files: DataPath | list[DataPath] | dict[str, DataPath | list[DataPath]] | None = Field(
        default=None, description="A file, a glob, a list of them, a mapping split -> files, or a resource."
    )
    data_dir: DataPath | None = Field(
        default=None, description="A folder of files; for a hub data set, a folder inside it."
    )
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub data set.")
    field: str | None = Field(default=None, description="The key that holds the rows, in a JSON object.")
    delimiter: str | None = Field(default=None, description="What parts the columns of a csv file.")
    streaming: bool = Field(
        default=False, description="Read a hub data set as it goes, without fetching the whole of it."
    )
    trust_remote_code: bool = Field(default=False, description="Refused: no data set may run code.")


class PreProcess(Options):
    """What a row becomes: text, then tokens, then samples."""

    type: str | None = Field(
        default=None, description="Olive's component name; `text_generation_huggingface_pre_process` only."
    )
    dataset_type: Literal["corpus", "pair"] = Field(
        default="corpus", description="corpus: a row is one text; pair: an input and an output."
    )
    text_cols: str | list[str] | None = Field(
        default=None,
        description="The column with the text (default: `text`). Several without a template: put together "
        "with a blank between them.",
    )
    text_template: Annotated[str | None, Verbatim()] = Field(
        default=None,
        description="Text with columns in braces, `{Best Answer}`; a brace itself is written twice.",
    )
    text_formatting_func: str | None = Field(
        default=None,
        description="`module:function`, or a function in user_script: takes a row, gives its text, "
        "or (prompt, answer).",
    )
    chat_template: Annotated[bool | ChatName | DataPath | None, Verbatim()] = Field(
        default=None,
        description="true: the tokenizer's own chat template; or a template in Jinja, the file that it "
        "is in, or `chatml`.",
    )
    message_col: str = Field(
        default="messages", description="With chat_template: the column with the list of {role, content}."
    )
    pair_format: PairFormat = Field(
        default="default",
        description="How a row of a pair data set is laid out: default (columns input, output), custom "
        "(input_/output_ col or template), alpaca, chip2, self_instruct, hh_rlhf.",
    )
    input_col: str | None = Field(default=None, description="With custom pairs: the column of the input.")
    output_col: str | None = Field(default=None, description="With custom pairs: the column of the output.")
    input_template: Annotated[str | None, Verbatim()] = Field(
        default=None, description="With custom pairs: the input's template."
    )
    output_template: Annotated[str | None, Verbatim()] = Field(
        default=None, description="With custom pairs: the output's template."
    )
    ignore_source_in_labels: bool = Field(
        default=True, description="With pairs: take the loss on the output alone."
    )
    completion_only: bool = Field(
        default=False,
        description="Take the loss on the answer alone: from the last placeholder of the template on, the "
        "output of a pair, the assistant's turns of a chat.",
    )
    strategy: Strategy | None = Field(
        default=None,
        description="How texts become samples. Unset: line-by-line for chats, pairs and completion_only, "
        "else join.",
    )
    stride: int | None = Field(
        default=None, ge=1, description="With join-sliding-window: tokens from one window to the next."
    )
    joiner: str | None = Field(
        default=None,
        description="Text between joined rows. Unset: none with add_special_tokens (the end token parts "
        "them), else an empty line.",
    )
    max_seq_len: int = Field(default=1024, ge=2, description="The longest sample, in tokens.")
    max_samples: int | None = Field(default=None, ge=1, description="No more samples than this.")
    pad_to_max_len: bool = Field(default=False, description="Pad every sample to max_seq_len.")
    padding_side: Literal["left", "right"] = Field(default="right", description="Where padding goes.")
    drop_short_sequences: bool = Field(default=False, description="Leave out samples below max_seq_len.")
    use_attention_mask: bool = Field(default=True, description="Give each sample an attention mask.")
    add_special_tokens: bool = Field(
        default=True,
        description="The begin token where the tokenizer puts one, and the end token after each text.",
    )
    random_seed: int = Field(default=42, ge=0, description="Order of the random strategies.")

    @property
    def strategy_in_use(self) -> Strategy:
        """The strategy, with the default that goes with the rest."""
        by_row = self.completion_only or self.chat_template or self.dataset_type == "pair"
        return self.strategy or ("line-by-line" if by_row else "join")

    @property
    def masks_prompt(self) -> bool:
        """Whether the loss is taken on answers alone."""
        return self.completion_only or (self.dataset_type == "pair" and self.ignore_source_in_labels)


class PostProcess(Options):
    """Nothing is to be done after text generation; `type` is accepted for Olive's sake."""

    type: str | None = Field(default=None, description="Olive's component name.")


class Dataloader(Options):
    """Accepted for Olive's sake: each pass and metric has its own batch size."""

    type: str | None = Field(default=None, description="Olive's component name.")
    batch_size: int | None = Field(default=None, ge=1, description="Rows in a batch.")
    shuffle: bool | None = None
    drop_last: bool | None = None
    num_workers: int | None = None


class Holdout(Options):
    """One of two parts of the rows that never share a row. Which part a row falls into depends on its
    content and the seed alone, not on its place: equal rows are always on the same side."""

    part: Literal["train", "eval"] = Field(description="Which of the two parts this data config is.")
    share: float = Field(default=0.2, gt=0, lt=1, description="The part `eval`, roughly, of all rows.")
    seed: int = Field(default=0, ge=0, description="Another seed cuts elsewhere.")
    by: list[str] | None = Field(
        default=None, description="Columns that make two rows equal. Unset: all columns of the data."
    )


class HuggingfaceOptions(Options):
    """Text data for training and for measuring."""

    task: str | None = Field(default=None, description="Olive's task; `text-generation` only.")
    user_script: Annotated[str | dict[str, Any] | None, Resource()] = Field(
        default=None, description="A Python file with text_formatting_func. Run in the worker only."
    )
    script_dir: Annotated[str | dict[str, Any] | None, Resource()] = Field(
        default=None, description="A folder that user_script imports from."
    )
    load_dataset_config: LoadDataset = Field(default_factory=LoadDataset)
    pre_process_data_config: PreProcess = Field(default_factory=PreProcess)
    post_process_data_config: PostProcess = Field(default_factory=PostProcess)
    dataloader_config: Dataloader = Field(default_factory=Dataloader)
    holdout: Holdout | None = Field(
        default=None, description="Cut the rows into a part to train on and a part to measure on."
    )


class LoadDummy(Options):
    """How much random data there is."""

    type: str | None = Field(default=None, description="Olive's component name; `dummy_dataset` only.")
    max_samples: int = Field(default=32, ge=1, description="How many samples.")
    seq_length: int = Field(default=128, ge=1, description="Tokens in a sample.")
    input_names: list[str] | None = Field(default=None, description="Olive's; only input_ids is of use.")
    input_shapes: list[list[int]] | None = Field(
        default=None, description="Olive's; the last number of the first shape is the length of a sample."
    )
    input_types: list[str] | None = Field(default=None, description="Olive's; ids are always int64.")
    seed: int = Field(default=0, ge=0, description="Another seed gives other tokens.")

    @property
    def length(self) -> int:
        """Tokens in a sample."""
        return self.input_shapes[0][-1] if self.input_shapes and self.input_shapes[0] else self.seq_length


class DummyOptions(Options):
    """Random tokens."""

    load_dataset_config: LoadDummy = Field(default_factory=LoadDummy)
    pre_process_data_config: PostProcess = Field(default_factory=PostProcess)
    post_process_data_config: PostProcess = Field(default_factory=PostProcess)
    dataloader_config: Dataloader = Field(default_factory=Dataloader)
