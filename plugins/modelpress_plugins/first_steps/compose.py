"""Workflows for one model and one file of data: what `finetune` runs and `init` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelpress.api import JSONValue, PassSpec, Registry, UserError, did_you_mean, looks_like_path, named_path
from modelpress_plugins.hf.data_file import data_of_file

Section = dict[str, JSONValue]
TRAIN, HELD_OUT = "train", "heldout"
TUNE, MERGE, PRESS, BUILD = "finetune", "merge", "press", "build"
"""Names of the passes."""
_MEASURED = 100
"""Rows held out that are measured at most: enough to see a difference, few enough to wait for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The rows to learn from. text_template: how one becomes text; None: the columns are recognized.

    chat: a row is a conversation
    held_out: a file to measure on, or the share of the rows that is kept for it; 0 for none
    whole_text: learn the prompt as well as the answer
    """

    file: Path
    text_template: str | None = None
    chat: bool = False
    held_out: Path | float = 0.1
    whole_text: bool = False
    max_seq_len: int | None = None

    @property
    def has_answers(self) -> bool:
        """Whether a row is a prompt and its answer."""
        return self.chat or (self.text_template or "").count("{") > 1

    def sections(self) -> list[Section]:
        """The data configs: to train on and, where something is held out, to measure on."""
        train = self._section(TRAIN, self.file)
        if isinstance(self.held_out, Path):
            return [train, self._section(HELD_OUT, self.held_out)]
        if not self.held_out:
            return [train]
        parts = ((TRAIN, "train"), (HELD_OUT, "eval"))
        return [
            {**self._section(name, self.file), "holdout": {"part": part, "share": self.held_out}}
            for name, part in parts
        ]

    def metrics(self) -> list[Section]:
        """What is measured on what was held out."""
        if not self.held_out:
            return []
        names = ["perplexity", *(["accuracy"] if self.has_answers and not self.chat else [])]
        return [{"type": name, "data_config": HELD_OUT, "max_samples": _MEASURED} for name in names]

    def _section(self, name: str, file: Path) -> Section:
        if self.chat and self.text_template:
            raise UserError("A row is a conversation (--chat) or text by a template, not both.")
        section = data_of_file(name, file, self.text_template)
        process: Section = {"text_template": self.text_template} if self.text_template else {}
        if self.chat:
            process["chat_template"] = True
        if self.has_answers:
            process["completion_only"] = not self.whole_text
        if self.max_seq_len:
            process["max_seq_len"] = self.max_seq_len
        section["pre_process_data_config"] = process
        return section


def find_method(registry: Registry, name: str) -> str:
    """The pass of that name that makes an adapter, as it is written. Raises UserError with the nearest."""
    names = methods(registry)
    found = next((each for each in names if each.casefold() == name.casefold()), None)
    if found is None:
        raise UserError(f"There is no method {name!r}.", did_you_mean(name, names, what="There are"))
    return found


def methods(registry: Registry) -> list[str]:
    """The passes that train an adapter on a model."""
    found = [e.spec for e in registry.all(PassSpec) if "hf-model" in e.spec.accepts]
    return sorted(spec.name for spec in found if spec.produces == "hf-adapter")


def input_model(model: str, folder: Path, *, trust_remote_code: bool = False) -> Section:
    """A folder by its absolute path, or the id of a model on the hub as it is."""
    path = named_path(model, folder)
    local = looks_like_path(model, folder) or path.is_dir()
    named: Section = {"type": "HfModel", "model_path": str(path) if local else model}
    if trust_remote_code:
        named["load_kwargs"] = {"trust_remote_code": True}
    return named


def tuning(method: str, options: Section, training: Section, *, merge: bool) -> Section:
    """The passes that fine-tune. options and training: without a value, the pass's own."""
    tune: Section = {"type": method, "train_data_config": TRAIN}
    tune |= {name: value for name, value in options.items() if value is not None}
    if arguments := {name: value for name, value in training.items() if value is not None}:
        tune["training_args"] = arguments
    if not merge:
        return {TUNE: tune}
    return {TUNE: {**tune, "output_name": "adapter"}, MERGE: {"type": "MergeAdapterWeights"}}


def judged(metrics: list[Section], *, compared: bool) -> Section:
    """The part of a workflow that measures. compared: the input model, too."""
    if not metrics:
        return {}
    found: Section = {"evaluators": {HELD_OUT: {"metrics": list(metrics)}}, "evaluator": HELD_OUT}
    return {**found, "evaluate_input_model": True} if compared else found
