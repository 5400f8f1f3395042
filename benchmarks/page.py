"""docs/benchmarks.md, made from the results: what each case says of itself, and a table of all targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import results

_HEAD = """# Benchmarks

Made by `make bench` (`python benchmarks/run.py`); do not edit. One harness runs every contender as a process
of its own, rivals in turns in one run (A B A B …), on one machine. Figures are medians
of {runs}; memory is the peak of the whole process tree, times are wall times of whole processes unless said
otherwise. Compare the ratios: times change with the machine. Raw figures of every run are in
[benchmarks/results](../benchmarks/results), the scripts in [benchmarks](../benchmarks).
"""

_REPRODUCE = """## How to reproduce

```bash
make bench                                         # all of it
.venv/bin/python benchmarks/run.py merge lora      # some of it
.venv/bin/python benchmarks/run.py --quick         # tiny models, one run: only shows that the scripts work
```

Environments of competitors are made below `benchmarks/.work` (or `$MODELPRESS_BENCH`), where the big models
are made, too, and removed afterwards; 40 GB should be free. `MODELPRESS_BENCH_PYTHON_OLIVE=/path/to/python`
uses an environment that exists (also `…_LLMCOMPRESSOR`). PEFT and the builder of onnxruntime-genai are what modelpress itself stands
on and are measured in its own environment. All models are local; nothing is downloaded while measuring.

## Not measured

| competitor | why not |
|---|---|
{absent}
"""

_ABSENT = {
    "axolotl 0.19 (merge)": "It requires xformers, triton and some sixty more packages for training on GPUs, "
    "most of them pinned; pip did not come to an end with them within ten minutes on a machine without a GPU.",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What was to be reached, and what was found."""

    what: str
    wanted: str
    found: str
    reached: bool


@dataclass(frozen=True, slots=True)
class Section:
    """What the page says of one benchmark. body: Markdown."""

    title: str
    body: str
    targets: Sequence[Target] = field(default=())


class Case(Protocol):
    """A module of cases/."""

    NAME: str

    def measure(self, settings: Any) -> dict[str, Any]: ...

    def describe(self, result: Mapping[str, Any], plots: Path) -> Section: ...


def at_most(what: str, found: float, limit: float, unit: str = "") -> Target:
    return Target(what, f"at most {number(limit, unit)}", number(found, unit), found <= limit)


def at_least(what: str, found: float, limit: float, unit: str = "") -> Target:
    return Target(what, f"at least {number(limit, unit)}", number(found, unit), found >= limit)


def number(value: float, unit: str = "") -> str:
    """For people: three digits that count, and the unit. x is a ratio; MB and GB are given in bytes."""
    scale = {"MB": 1e6, "GB": 1e9, "%": 0.01, "ms": 1e-3}.get(unit, 1)
    value /= scale
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return f"{text}{unit}" if unit == "x" else f"{text} {unit}".strip()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def write(page: Path, plots: Path, stored: Path, cases: Sequence[Case]) -> None:
    """Write the page from all results that there are. plots: the folder of the SVGs."""
    plots.mkdir(parents=True, exist_ok=True)
    found = {case.NAME: results.load(stored, case.NAME) for case in cases}
    measured = [(case, result) for case in cases if (result := found[case.NAME])]
    sections = [(case.describe(result, plots), result) for case, result in measured]
    runs = {result["runs"] for _, result in sections}
    parts = [
        _HEAD.format(runs=" or ".join(f"{count} runs" for count in sorted(runs)) or "the runs"),
        _summary([section for section, _ in sections]),
        *(f"## {section.title}\n\n{section.body}\n\n{_measured_on(result)}" for section, result in sections),
        _REPRODUCE.format(absent="\n".join(f"| {name} | {why} |" for name, why in _ABSENT.items())),
    ]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    print(f"wrote {page}", flush=True)


def _summary(sections: Sequence[Section]) -> str:
    targets = [target for section in sections for target in section.targets]
    missed = sum(not target.reached for target in targets)
    told = "All are reached." if not missed else f"{missed} of {len(targets)} are missed."
    rows = [
        (t.what, t.wanted, f"**{t.found}**" if t.reached else t.found, "yes" if t.reached else "**missed**")
        for t in targets
    ]
    return f"## Targets\n\n{told}\n\n" + table(("what", "wanted", "found", "reached"), rows)


def _measured_on(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result.get("versions", {}).items())
    text = (
        f"{result['runs']} runs on {machine['date']}; {machine['cores']} cores of {machine['processor']}, "
        f"{machine['memory'] / 1e9:.0f} GB, no GPU used, {machine['system']}, Python {machine['python']}, "
        f"load {machine['load']} at the end"
    )
    return f"*{text}; {versions}.*" if versions else f"*{text}.*"
