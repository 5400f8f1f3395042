"""The card of a finished model (model card): README.md in its folder, with front matter for model hubs.

What it is, from what it was made and how, what was measured, and how it is used. It tells nothing of the
machine that it was made on. A seal at its end, in a comment, says that it is as it was written: then a later
run may replace it. An edited one is the user's, and stays.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from modelpress.artifact import Artifact, read_manifest
from modelpress.config.migrate import dump_yaml
from modelpress.engine.licence import Licence, front_matter, licence_of
from modelpress.engine.record import RunRecord, StepRecord
from modelpress.errors import UserError
from modelpress.files import is_sealed_text, sealed_text, write_whole
from modelpress.json_types import JSONValue
from modelpress.secrets import redact
from modelpress.usage import Usage

CARD = "README.md"
_BESIDE = "MODELPRESS.md"
"""Its name where the model itself brings a README.md."""


@dataclass(frozen=True, slots=True)
class Made:
    """A model that was exported, and what is told of it.

    steps: all that it went through, the passes; measured: of this model
    summary: of its format, one sentence
    """

    artifact: Artifact
    steps: Sequence[StepRecord]
    measured: Sequence[StepRecord]
    summary: str
    usage: Usage | None


def made_by(record: RunRecord, passes: int) -> tuple[list[StepRecord], list[StepRecord]]:
    """(passes, measurements of what the last of them gave) for the model after so many passes."""
    done: list[StepRecord] = []
    measured: list[StepRecord] = []
    for step in record.steps:
        if step.kind == "pass":
            if len(done) == passes:
                break
            done.append(step)
        elif len(done) == passes and not step.baseline:
            measured.append(step)
    return done, measured


def write_card(made: Made, record: RunRecord) -> Path | None:
    """Write the card into the model's folder. Returns where; None when an edited one is there: it stays."""
    folder = made.artifact.path
    path = folder / (_BESIDE if CARD.lower() in _own_files(folder) else CARD)
    if os.path.lexists(path) and not is_sealed_text(path):
        return None
    content = sealed_text(redact(_text(made, record)))
    if not path.exists() or path.read_bytes() != content:
        write_whole(path, content)
    return path


def _own_files(folder: Path) -> set[str]:
    try:
        return {name.lower() for name in read_manifest(folder).files}
    except UserError:
        return set()


def _text(made: Made, record: RunRecord) -> str:
    folders = [made.artifact.path]
    base = made.artifact.base
    while base is not None:
        folders.append(base.path)
        base = base.base
    licence = licence_of(folders)
    origin = _Origin.of(record, folders)
    front = _front(made, origin, licence)
    parts = [
        f"---\n{dump_yaml(front)}---\n",
        f"# {origin.name or 'A model'}: {made.artifact.format}\n",
        f"{made.summary} Made from {origin.text} with modelpress {record.modelpress}.\n",
        *_how(made, record),
        *_figures(made.measured),
        *_prompt(made.artifact),
        *(["## How to use it\n", made.usage.text.strip() + "\n"] if made.usage else []),
        "## Licence\n",
        _licence_text(licence, origin),
    ]
    return "\n".join(parts) + "\n"


@dataclass(frozen=True, slots=True)
class _Origin:
    """The input model. hub: `org/name` on a model hub, and the commit; empty for a folder."""

    hub: str
    commit: str

    @staticmethod
    def of(record: RunRecord, folders: Sequence[Path]) -> _Origin:
        kind, _, rest = str(record.input_model.get("identity", "")).partition(":")
        if kind == "hub":
            name, _, commit = rest.partition("@")
            return _Origin(name, commit)
        cards = [card for folder in folders for card in sorted(folder.glob("README*.md"))]
        named = (front_matter(card).get("base_model", "") for card in cards if card.name != CARD)
        return _Origin(next((name for name in named if re.fullmatch(r"[\w.-]+/[\w.-]+", name)), ""), "")

    @property
    def name(self) -> str:
        return self.hub.rpartition("/")[2]

    @property
    def text(self) -> str:
        at = f", commit {self.commit}" if self.commit else ""
        return f"`{self.hub}`{at}," if self.hub else "a model in a local folder,"


def _front(made: Made, origin: _Origin, licence: Licence) -> Mapping[str, JSONValue]:
    usage = made.usage
    task = made.artifact.meta.task
    found: dict[str, JSONValue] = {
        "base_model": origin.hub,
        "base_model_relation": usage.relation if usage and origin.hub else "",
        **licence.front,
        "library_name": usage.library if usage else "",
        "pipeline_tag": task if re.fullmatch(r"[a-z-]+", task) else "",
        "tags": ["modelpress", made.artifact.format, *(usage.tags if usage else ())],
    }
    return {key: value for key, value in found.items() if value}


_OF_THE_MACHINE = re.compile(r"(per_second|seconds|memory)$")
"""Reports that another run of the same work would not repeat: a card has the same bytes each time."""


def _how(made: Made, record: RunRecord) -> Iterator[str]:
    if not made.steps:
        return
    yield "## How it was made\n"
    for number, step in enumerate(made.steps, start=1):
        reports = [
            f"{name} {_number(value)}"
            for name, value in step.reports.items()
            if _is_plain(value) and not _OF_THE_MACHINE.search(name)
        ]
        told = f": {', '.join(reports)}" if reports else ""
        yield f"{number}. **{step.type}**{told}"
    yield "\n<details><summary>Every option, with the versions of what ran</summary>\n"
    steps = [_step(step) for step in made.steps]
    python = {"modelpress": record.modelpress, "python": record.python, "seed": record.seed}
    yield f"```yaml\n{dump_yaml({**python, 'passes': steps})}```\n\n</details>\n"


def _step(step: StepRecord) -> dict[str, JSONValue]:
    said = {
        "pass": step.type,
        "by": step.provider.partition("+")[0],
        "options": _public(step.options),
        "data": _public(step.data),
        "libraries": dict(step.libraries),
    }
    return {key: value for key, value in said.items() if value}


def _public(value: JSONValue) -> JSONValue:
    """What may be told of options: all that is set, paths by their last name alone."""
    if isinstance(value, Mapping):
        kept = {str(k): _public(v) for k, v in value.items() if k != "provider"}
        return {k: v for k, v in kept.items() if v not in (None, "", [], {})}
    if isinstance(value, list | tuple):
        return [_public(item) for item in value]
    if isinstance(value, str) and _is_place(value):
        return PureWindowsPath(value).name
    return value


def _is_place(text: str) -> bool:
    return "\n" not in text and (
        PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute() or text.startswith("~")
    )


def _figures(measured: Sequence[StepRecord]) -> Iterator[str]:
    rows = [
        f"| {name} | {_number(value)}{_interval(step.intervals.get(name))} |"
        for step in measured
        for name, value in step.metrics.items()
    ]
    if rows:
        yield "## Measured\n"
        yield "\n".join(["| | |", "|---|---|", *rows]) + "\n"


def _prompt(artifact: Artifact) -> Iterator[str]:
    template = artifact.meta.prompt_template
    if template:
        yield "## Prompt\n"
        yield f"It was trained on prompts of this form, and expects them:\n\n````text\n{template}\n````\n"


def _licence_text(licence: Licence, origin: _Origin) -> str:
    named = licence.front.get("license_name") or licence.front.get("license")
    files = ", ".join(f"[{name}]({name})" for name in licence.files)
    if named:
        return f"That of the model it was made from: {named}." + (f" Its text: {files}." if files else "")
    if files:
        return f"That of the model it was made from: {files}."
    where = f" See `{origin.hub}`." if origin.hub else ""
    return f"The model that it was made from came without a word on its licence.{where}"


def _is_plain(value: JSONValue) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and not _is_place(value))


def _interval(interval: tuple[float, float] | None) -> str:
    return f" ({_number(interval[0])} to {_number(interval[1])})" if interval else ""


def _number(value: JSONValue) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
