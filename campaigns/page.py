"""What was found, kept by case (results/NAME.json: the last runs), and docs/reliability.md made of it."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trials import Case, Tally

RESULTS = Path(__file__).parent / "results"
KEPT = 6
"""Runs of a case that the page counts."""
LIBRARIES = ("modelpress", "torch", "transformers", "onnxruntime-genai")

_HEAD = """# Reliability

Made by `make campaign` (`campaigns/run.py`); do not edit. Each case is a row of random trials; a trial depends on
the seed and its own number alone. A fault that a seed finds becomes a test beside what it was found in, and the
case is run again.

```bash
make campaign                                # every case with a fresh seed, which is printed
SEED=7 CASES="flips kills" make campaign     # some of it, as it was
SEED=7 CASES=flips:17 make campaign          # one trial
```

A few trials of each case, on a fixed seed, are part of `make test`.

| case | trials | seeds | faults |
|---|---:|---|---:|
"""


def keep(case: Case, tally: Tally) -> None:
    """Add a run to the case's results; only the last ones of each are kept."""
    run = {
        "seed": tally.seed,
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(tally.seconds),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in LIBRARIES},
        "held": {what: dict(sorted(hows.items())) for what, hows in sorted(tally.held.items())},
        "faults": len(tally.faults),
    }
    earlier = [each for each in _load(case) if each["seed"] != tally.seed]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{case.NAME}.json"
    path.write_text(json.dumps([*earlier, run][-KEPT:], indent=1) + "\n", encoding="utf-8")


def write(path: Path, cases: Sequence[Case]) -> None:
    """The page of all cases that were run."""
    known = [(case, runs) for case in cases if (runs := _load(case))]
    rows = [
        f"| [{case.TITLE}](#{_anchor(case.TITLE)}) | {_trials(runs):,} | {_seeds(runs)} | {_faults(runs)} |\n"
        for case, runs in known
    ]
    text = _HEAD + "".join(rows) + "".join(_section(case, runs) for case, runs in known)
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path.relative_to(path.parents[1])}", flush=True)


def _section(case: Case, runs: Sequence[dict[str, Any]]) -> str:
    last = runs[-1]
    hows: dict[str, Counter[str]] = {}
    for run in runs:
        for what, counts in run["held"].items():
            hows.setdefault(what, Counter()).update(counts)
    rows = [
        f"| {what} | {sum(counts.values())} | {'; '.join(f'{how} {n}' for how, n in counts.most_common())} |\n"
        for what, counts in sorted(hows.items())
    ]
    versions = ", ".join(f"{name} {number}" for name, number in last["versions"].items())
    made = f"*{_minutes(runs)} in all, the last on {last['date']}; {last['cores']} cores, {last['system']}; {versions}.*"
    head = f"\n## {case.TITLE}\n\n{case.ABOUT.strip()}\n\n| what | trials | what became of it |\n|---|---:|---|\n"
    return f"{head}{''.join(rows)}\n{made}\n"


def _load(case: Case) -> list[dict[str, Any]]:
    path = RESULTS / f"{case.NAME}.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return runs


def _trials(runs: Iterable[dict[str, Any]]) -> int:
    return sum(run["faults"] + sum(sum(hows.values()) for hows in run["held"].values()) for run in runs)


def _faults(runs: Iterable[dict[str, Any]]) -> int:
    return sum(run["faults"] for run in runs)


def _seeds(runs: Iterable[dict[str, Any]]) -> str:
    return ", ".join(str(run["seed"]) for run in runs)


def _minutes(runs: Iterable[dict[str, Any]]) -> str:
    return f"{max(1, round(sum(run['seconds'] for run in runs) / 60))} min"


def _anchor(title: str) -> str:
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c == "-")
