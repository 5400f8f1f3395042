"""A run whose every part is known, and a browser to look at its page with."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from modelpress.api import Judgement, RunRecord, StepRecord
from modelpress.engine.job import ErrorRecord
from modelpress.engine.search.record import (
    AxisRecord,
    CandidateRecord,
    ObjectiveRecord,
    SearchRecord,
    TaskRecord,
)

_AXES = {
    "passes.quantize.type": ("Rtn", "KQuant", "Hqq", "Gptq"),
    "passes.quantize.bits": (4, 8),
    "passes.quantize.group_size": (16, 32, 64, 128),
    "passes.quantize.sym": (True, False),
}
_BEGAN = 1_795_764_686.0


def _candidate(number: int, draw: random.Random) -> CandidateRecord:
    choices = {name: draw.choice(values) for name, values in _AXES.items()}
    bits, group = int(choices["passes.quantize.bits"]), int(choices["passes.quantize.group_size"])
    accuracy = 0.97 - (8 - bits) * 0.01 * draw.random() - group / 6000
    size = 4e6 + bits * 1e6 + 25e6 / group
    goals = [_accuracy_goal(accuracy), _size_goal(size)]
    status = "failed" if number % 37 == 0 else "pruned" if number % 11 == 0 else "finished"
    whole = status == "finished"
    numbers = {"accuracy": accuracy, "size_on_disk": size, "perplexity": None if number % 5 else 3.1}
    failed = ErrorRecord("PassError", "It ran out of <memory>.", "Use a smaller group_size.")
    started = _BEGAN + number * 3
    return CandidateRecord(
        number=number,
        choices=choices,
        status=status,
        tasks=_tasks(number, str(choices["passes.quantize.type"]), started, int(size)),
        metrics=numbers if whole else {},
        goals=goals if whole else [],
        miss=sum(max(0.0, -goal.margin / goal.limit) for goal in goals) if whole else 0.0,
        seconds=3.0,
        started=started,
        error=failed if status == "failed" else None,
    )


def _accuracy_goal(value: float) -> Judgement:
    margin = value - 0.96
    return Judgement(
        "accuracy", "accuracy", "max-degradation", 0.01, value, 0.97, 0.96, True, margin, margin >= 0
    )


def _size_goal(value: float) -> Judgement:
    margin = 1.1e7 - value
    return Judgement(
        "size", "size_on_disk", "threshold", 1.1e7, value, None, 1.1e7, False, margin, margin >= 0
    )


def _tasks(number: int, pass_type: str, started: float, size: int) -> list[TaskRecord]:
    made = TaskRecord(
        name="quantize", type=pass_type, kind="pass", key=f"{number:064x}", cached=False, started=started,
        seconds=2.0, peak_memory=500_000_000, size=size,
    )  # fmt: skip
    measured = TaskRecord(
        name="accuracy", type="accuracy", kind="metric", key=f"{number + 9000:064x}", cached=False,
        started=started + 2, seconds=1.0, after=1,
    )  # fmt: skip
    return [made, measured]


def searched(count: int, *, winner: bool = True) -> RunRecord:
    """A finished search of so many candidates; with `</script>` and the like in what it told."""
    draw = random.Random(0)
    candidates = [_candidate(number, draw) for number in range(1, count + 1)]
    fit = [each for each in candidates if each.status == "finished" and not each.miss]
    best = max(fit, key=lambda each: each.metrics["accuracy"] or 0) if winner and fit else None
    search = SearchRecord(
        id="study",
        sampler="tpe",
        execution_order="joint",
        seed=0,
        axes=[AxisRecord(name=name, values=values) for name, values in _AXES.items()],
        objectives=[
            ObjectiveRecord(number="accuracy", unit="", higher_is_better=True),
            ObjectiveRecord(number="size_on_disk", unit="bytes", higher_is_better=False),
        ],
        space=64,
        candidates=candidates,
        ended="all were tried",
        winner=best.number if best else None,
        nearest=[] if best else [1, 3],
    )
    return plain(search=search, goals=list(best.goals) if best else [])


def plain(**changes: Any) -> RunRecord:
    """A finished run of one step."""
    step = StepRecord(
        name="quantize", type="Rtn", kind="pass", key="0" * 64, system="local", cached=False,
        provider="modelpress 0.1.0", options={}, libraries={"torch": "2.13.0"}, data={}, started=_BEGAN,
        size=5_000_000, seconds=2.0, peak_memory=500_000_000, notes=["</script><script>alert(1)</script>"],
    )  # fmt: skip
    facts: dict[str, Any] = {
        "id": "20261127-121341-1615229a", "workflow_id": "tones & <moods>", "workflow": "workflow.yaml",
        "status": "finished", "started": "2026-11-27T12:13:41+00:00", "seconds": 1500.0,
        "modelpress": "0.1.0", "python": "3.11.7", "platform": "Linux", "host": "here", "process": 1,
        "log": "/nowhere/runs/one/log.txt", "output_dir": "out", "seed": 7, "translations": [],
        "input_model": {"format": "hf-model"}, "settings": ["passes.lora.r=8"], "steps": [step],
        "metrics": {"accuracy": 0.968, "size_on_disk": 8.1e6}, "intervals": {"accuracy": (0.951, 0.981)},
        "input_metrics": {"accuracy": 0.97},
    }  # fmt: skip
    return RunRecord(**facts | changes)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium with its driver; skipped where they are not."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not driver:
        pytest.skip("Chromium and chromedriver are not installed: .ci/services chromium installs them.")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--enable-unsafe-swiftshader",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    opened.set_script_timeout(240)
    opened.set_page_load_timeout(240)
    try:
        yield opened
    finally:
        opened.quit()
