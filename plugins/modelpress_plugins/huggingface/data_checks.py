"""What the plan can tell of a data config before anything is loaded, and what is wrong with it. Light."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from modelpress.api import DataFacts, PlanContext, UserError, looks_like_path, named_path, nearest
from modelpress_plugins.huggingface.chat_messages import read_messages
from modelpress_plugins.huggingface.chat_template import template_text
from modelpress_plugins.huggingface.combinations import faults
from modelpress_plugins.huggingface.data_config import (
    Dataloader,
    DummyOptions,
    HuggingfaceOptions,
    LoadDataset,
    PreProcess,
)
from modelpress_plugins.huggingface.data_files import (
    FILE_KINDS,
    FileFacts,
    any_elsewhere,
    data_name,
    files_of_split,
    look_into,
    split_name,
)
from modelpress_plugins.huggingface.hub_cache import cached_snapshot, hub_is_offline
from modelpress_plugins.huggingface.pair_formats import PAIR_COLUMNS
from modelpress_plugins.huggingface.recognize import recognize
from modelpress_plugins.huggingface.templates import Template, parse_template
from modelpress_plugins.huggingface.text import pair_templates, text_columns

_PRE = "pre_process_data_config"
_LOAD = "load_dataset_config"
_SPLIT = re.compile(r"^[\w.-]+(\[-?\d*%?:-?\d*%?\])?(\+[\w.-]+(\[-?\d*%?:-?\d*%?\])?)*$")
_TEXT_COMPONENTS = ("text_generation_huggingface_pre_process", "huggingface_pre_process")


def describe_huggingface(config: HuggingfaceOptions, ctx: PlanContext) -> DataFacts:
    """Columns and rows where local files tell them. Problems go to ctx."""
    if config.task not in (None, "text-generation"):
        ctx.problem(
            f"Data for the task {config.task!r} is not supported.", "It is text-generation.", option="task"
        )
    _check_components(config, ctx)
    for fault in faults(config):
        ctx.problem(fault.message, fault.hint, option=fault.option)
    facts = _facts(config.load_dataset_config, RowCheck(config.pre_process_data_config), ctx)
    if facts.columns is not None:
        _check_columns(config, facts.columns, ctx)
    whole = "[" not in config.load_dataset_config.split and config.holdout is None
    return DataFacts(facts.columns, facts.rows if whole else None)


def describe_dummy(config: DummyOptions, ctx: PlanContext) -> DataFacts:
    """Nothing can be wrong but what the options say."""
    _tell_idle(config.dataloader_config, ctx)
    return DataFacts(("number",), config.load_dataset_config.max_samples)


class RowCheck:
    """Looks at rows as they are read: one that is no chat where the others are is told before any work."""

    def __init__(self, pre: PreProcess) -> None:
        self._options = pre
        self._pre: PreProcess | None = None

    def __call__(self, row: Mapping[str, object], place: str) -> None:
        if self._pre is None:
            self._pre = recognize(self._options, row).pre
            if self._pre.message_col not in row:
                self._pre = self._options.model_copy(update={"chat_template": None})  # told by the columns
        if self._pre.chat_template:
            read_messages(row, self._pre.message_col, place)


def _facts(load: LoadDataset, check: RowCheck, ctx: PlanContext) -> FileFacts:
    unknown = FileFacts(None, None)
    if load.trust_remote_code:
        ctx.problem(
            "Data sets that run code of their own are not loaded.",
            "Use a data set in files (json, csv, parquet), or convert it once.",
            option=f"{_LOAD}.trust_remote_code",
        )
    if not _SPLIT.match(load.split):
        ctx.problem(
            f"{load.split!r} is no split.",
            "Write `train`, or a slice: `train[:80%]`.",
            option=f"{_LOAD}.split",
        )
        return unknown
    kind = data_name(load)
    if kind is None:
        if load.data_dir is None and not any_elsewhere(load.data_files):
            ctx.problem(
                "Neither data_name nor the data files tell what to load.",
                "Give data_name: json, csv, text, parquet, or the id of a data set on the hub.",
                option=_LOAD,
            )
        return unknown
    if kind not in FILE_KINDS:
        _check_hub(kind, load, ctx)
        return unknown
    return _look_into_files(kind, load, check, ctx)


def _check_hub(name: str, load: LoadDataset, ctx: PlanContext) -> None:
    option = f"{_LOAD}.data_name"
    if looks_like_path(name, Path.cwd()):
        ctx.problem(
            f"{name!r} is neither a kind of file ({', '.join(FILE_KINDS)}) nor the id of a data set.",
            "Give a file as data_files, a folder as data_dir.",
            option=option,
        )
    elif near := nearest(name, FILE_KINDS, cutoff=0.75):
        ctx.problem(f"{name!r} is no kind of file.", f"Did you mean {near!r}?", option=option)
    elif hub_is_offline(ctx.offline) and cached_snapshot(name, load.revision, "datasets") is None:
        ctx.problem(
            f"The data set {name!r} is not in the hub's cache, and the run is offline.",
            f"Fetch it once: `hf download --repo-type dataset {name}`.",
            option=option,
        )


def _look_into_files(kind: str, load: LoadDataset, check: RowCheck, ctx: PlanContext) -> FileFacts:
    option = f"{_LOAD}.data_files"
    unknown = FileFacts(None, None)
    if load.data_files is None:
        if load.data_dir is None:
            ctx.problem(f"{kind!r} data needs data_files.", "Name the file.", option=option)
        return unknown
    if any_elsewhere(load.data_files):
        return unknown  # it is fetched later
    files = files_of_split(load)
    if not files or (not isinstance(load.data_files, Mapping) and split_name(load) != "train"):
        known = list(load.data_files) if isinstance(load.data_files, Mapping) else ["train"]
        ctx.problem(
            f"The data files have no split {split_name(load)!r}.",
            f"They have: {', '.join(known)}.",
            option=f"{_LOAD}.split",
        )
        return unknown
    found = [_look_into_file(file, kind, load, check, ctx) for file in files]
    if any(facts is None for facts in found):
        return unknown
    return _together([facts for facts in found if facts])


def _look_into_file(
    name: str, kind: str, load: LoadDataset, check: RowCheck, ctx: PlanContext
) -> FileFacts | None:
    option = f"{_LOAD}.data_files"
    if "://" in name:
        if hub_is_offline(ctx.offline):
            ctx.problem(
                f"{name} has to be fetched, but the run is offline.", "Give a local file.", option=option
            )
        return FileFacts(None, None)
    try:
        file = named_path(name, Path())
        if file.is_file():
            return look_into(file, kind, load, check)
    except (UserError, UnicodeDecodeError) as error:
        message = error.message if isinstance(error, UserError) else f"{file} is not UTF-8 text."
        ctx.problem(message, error.hint if isinstance(error, UserError) else "", option=option)
        return None
    if file.is_dir():
        ctx.problem(f"{file} is a folder.", "Give it as data_dir, or name the files in it.", option=option)
    else:
        siblings = [path.name for path in file.parent.iterdir()] if file.parent.is_dir() else []
        near = nearest(file.name, siblings)
        hint = f"Did you mean {near!r}?" if near else "Relative paths count from the workflow's folder."
        ctx.problem(f"The data file {file} does not exist.", hint, option=option)
    return None


def _together(found: list[FileFacts]) -> FileFacts:
    columns: dict[str, None] | None = {}
    rows: int | None = 0
    for facts in found:
        columns = None if columns is None or facts.columns is None else columns | dict.fromkeys(facts.columns)
        rows = None if rows is None or facts.rows is None else rows + facts.rows
    return FileFacts(tuple(columns) if columns is not None else None, rows)


def _check_components(config: HuggingfaceOptions, ctx: PlanContext) -> None:
    load, pre = config.load_dataset_config.type, config.pre_process_data_config.type
    if load not in (None, "huggingface_dataset"):
        ctx.problem(f"The loader {load!r} is not known.", "Leave `type` out.", option=f"{_LOAD}.type")
    if pre not in (None, *_TEXT_COMPONENTS):
        ctx.problem(f"The pre-processing {pre!r} is not known.", "Leave `type` out.", option=f"{_PRE}.type")
    template = config.pre_process_data_config.chat_template
    if isinstance(template, str):
        try:
            template_text(template)
        except UserError as error:
            ctx.problem(error.message, error.hint, option=f"{_PRE}.chat_template")
    if (post := config.post_process_data_config.type) not in (None, "text_generation_post_process"):
        ctx.note(f"post_process_data_config.type {post!r} has no effect on text generation.")
    _tell_idle(config.dataloader_config, ctx)


def _tell_idle(loader: Dataloader, ctx: PlanContext) -> None:
    given = sorted(loader.model_fields_set - {"type"})
    if given:
        ctx.note(f"dataloader_config ({', '.join(given)}) has no effect: passes and metrics have their own.")


def _check_columns(config: HuggingfaceOptions, columns: tuple[str, ...], ctx: PlanContext) -> None:
    recognized = recognize(config.pre_process_data_config, columns)
    if recognized.what:
        ctx.note(f"The data is taken as {recognized.what}.")
    for option, named in _named_columns(recognized.pre):
        _tell_missing(named, columns, f"{_PRE}.{option}", ctx)
    if config.holdout and config.holdout.by is not None:
        _tell_missing(config.holdout.by, columns, "holdout.by", ctx)


def _named_columns(pre: PreProcess) -> Iterator[tuple[str, Iterable[str]]]:
    """(option, the columns that it names)."""
    if pre.chat_template:
        yield "message_col", [pre.message_col]
    elif pre.text_formatting_func:
        yield "text_cols", text_columns(pre)
    elif pre.dataset_type == "pair" and pre.pair_format in PAIR_COLUMNS:
        yield "pair_format", PAIR_COLUMNS[pre.pair_format]
    elif pre.dataset_type == "pair":
        source, target = pair_templates(pre)
        custom = pre.pair_format == "custom"
        yield (_side(pre.input_template, "input") if custom else "pair_format"), source.columns
        yield (_side(pre.output_template, "output") if custom else "pair_format"), target.columns
    else:
        yield "text_cols", text_columns(pre)
        if pre.text_template is not None:
            yield "text_template", _template_columns(parse_template(pre.text_template), pre)
        elif not text_columns(pre):
            yield "text_cols", ["text"]


def _template_columns(template: Template, pre: PreProcess) -> list[str]:
    """Those that text_cols has not named already: one misspelling is told once."""
    return [column for column in template.columns if column not in text_columns(pre)]


def _side(template: str | None, side: str) -> str:
    return f"{side}_template" if template else f"{side}_col"


def _tell_missing(named: Iterable[str], columns: tuple[str, ...], option: str, ctx: PlanContext) -> None:
    for name in named:
        if name not in columns:
            near = nearest(name, columns)
            known = f"It has: {', '.join(map(repr, columns))}."
            ctx.problem(
                f"The data has no column {name!r}.",
                f"Did you mean {near!r}?" if near else known,
                option=option,
            )
