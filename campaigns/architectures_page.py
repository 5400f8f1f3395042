"""docs/architectures.md: made of the cells of a whole run, or with some rows made anew."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

LIBRARIES = ("onnxruntime-genai", "onnxruntime", "transformers", "peft", "torch")
RIGHT, REFUSED, LATE, WRONG, RAW = "right", "refused", "refused late", "wrong", "raw error"
BAD = (LATE, WRONG, RAW)


@dataclass(frozen=True, slots=True)
class Cell:
    """What became of one workflow. off: relative error of the logits as shipped; cost: against the float
    model; text: a reason."""

    model: str
    path: str
    verdict: str
    text: str = ""
    exact: float = 0.0
    off: float = 0.0
    cost: float = 0.0
    seconds: float = 0.0


def page(cells: Sequence[Cell], seed: int, paths: Sequence[str]) -> str:
    """docs/architectures.md."""
    found = {(cell.model, cell.path): cell for cell in cells}
    counts = {v: sum(cell.verdict == v for cell in cells) for v in (RIGHT, REFUSED, *BAD)}
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    lines = [_HEAD.format(versions=versions, seed=seed, counts=told, cells=len(cells))]
    lines.append(f"| model | {' | '.join(paths)} |")
    lines.append(f"|---|{'---|' * len(paths)}")
    reasons: dict[str, dict[str, list[str]]] = {}
    for model in dict.fromkeys(cell.model for cell in cells):
        row = [found[model, path] for path in paths]
        shown = [f"{c.off:.1%}" if c.verdict == RIGHT else _MARKS[c.verdict] for c in row]
        lines.append(f"| {model} | {' | '.join(shown)} |")
        for cell in row:
            if cell.verdict != RIGHT:
                reasons.setdefault(_general(cell.text), {}).setdefault(model, []).append(cell.path)
    lines += ["", "## Why not", ""]
    for text, models in reasons.items():
        told_of = (
            f"{m} ({', '.join(where) if len(where) < len(paths) else 'all'})" for m, where in models.items()
        )
        lines.append(f"- {'; '.join(told_of)}: {text}")
    return "\n".join(lines) + "\n"


def with_rows(
    text: str, cells: Sequence[Cell], seed: int, paths: Sequence[str], models: Sequence[str]
) -> str:
    """The page with the rows of these cells in it, made anew or for the first time; models: in their order.

    Raises SystemExit where the page is of another seed: its rows would be of other weights.
    """
    if f"seed {seed}, " not in text:
        sys.exit(f"The page is not of seed {seed}: give its own with --seed, or make all of it anew.")
    found = {(cell.model, cell.path): cell for cell in read_page(text, paths)}
    found |= {(cell.model, cell.path): cell for cell in cells}
    return page(sorted(found.values(), key=lambda cell: models.index(cell.model)), seed, paths)


def read_page(text: str, paths: Sequence[str]) -> Iterator[Cell]:
    """The cells that a page was made of, as far as it tells them."""
    reasons: dict[tuple[str, str], str] = {}
    for line in text.splitlines():
        if line.startswith("- "):
            told_of, _, reason = line.removeprefix("- ").partition("): ")
            for model, listed in re.findall(r"(\w+) \(([^)]*)", told_of):
                for path in paths if listed == "all" else listed.split(", "):
                    reasons[model, path] = reason
    verdicts = {mark: verdict for verdict, mark in _MARKS.items()}
    for line in text.splitlines():
        model, *shown = [part.strip() for part in line.strip("|").split("|")]
        if len(shown) != len(paths) or model == "model" or set(model) == {"-"}:
            continue
        for path, mark in zip(paths, shown, strict=True):
            if mark in verdicts:
                yield Cell(model, path, verdicts[mark], reasons[model, path])
            else:
                yield Cell(model, path, RIGHT, off=float(mark.removesuffix("%")) / 100)


def _general(text: str) -> str:
    """The same sentence for every model."""
    return re.sub(r"\b[A-Z]\w+(For[A-Z]\w+|LMHeadModel)\b|(?<=of type )\w+", "…", text)


_MARKS = {REFUSED: "no", LATE: "**late**", WRONG: "**wrong**", RAW: "**error**"}
_HEAD = """# Architectures

Made by `python campaigns/architectures.py` (`make campaign` runs it, too); do not edit. Tiny random models, each
pressed in each way by a workflow of its own. A number: the model came out and is right, and its logits are off
by as much from those of its weights in transformers, as it is shipped (8-bit activations). `no`: the plan refuses
it before any work; the reason is below. Nothing else may happen: seed {seed}, {cells} workflows: {counts}.

Right means, over 160 tokens (the last 16 one by one), past each sliding window and each switch of rope factors:
computed in float32, the logits are within 0.1 % of what transformers computes with the same weights; as shipped,
within 20 %; and a quantizer is no farther from the float model than 1.5 times what rounding to nearest costs.

With {versions}.
"""
