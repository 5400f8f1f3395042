"""modelpress from Python: run, plan or validate a workflow that is a file or plain values.

modelpress.run({"input_model": {"type": "HfModel", "model_path": "phi"}, "passes": {"q": {"type": "Rtn"}}})
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from modelpress.config.given import Given, Setting
from modelpress.engine import runner
from modelpress.engine.plan import Plan, PlanDraft
from modelpress.engine.prepare import prepare
from modelpress.engine.runner import OnEvent, RunResult
from modelpress.errors import Problem
from modelpress.in_process import InProcessSystem
from modelpress.progress.levels import Verbosity
from modelpress.progress.lines import PlainProgress
from modelpress.registry import Registry

Source = str | Path | Mapping[str, object]
"""A file, or what it would hold; paths in that count from the current folder."""
_logger = logging.getLogger("modelpress")


def run(
    workflow: Source,
    *,
    settings: Mapping[str, object] | None = None,
    output_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    offline: bool = False,
    in_process: bool = False,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Run a workflow: the YAML or JSON file of that name, or a mapping that holds what the file would.

    settings:   dotted path -> value that counts more than the workflow's: {"passes.lora.r": 8}
    output_dir, cache_dir: instead of the workflow's own
    offline:    no network at all
    in_process: run passes in this process (for debuggers), not in a worker
    on_event:   called with each event of modelpress.events. Left out, how the work goes is logged: INFO and
                WARNING of the logger `modelpress`. Where logging would show no INFO and nobody has set that
                logger's level, it is written to stderr.

    Raises WorkflowError with every problem before any work; PassError, HostError, Interrupted … during it.
    """
    progress = None if on_event else PlainProgress(_log, Verbosity()).keep_telling()
    try:
        return runner.run(
            _given(workflow, settings),
            output_dir=Path(output_dir) if output_dir else None,
            cache_dir=Path(cache_dir) if cache_dir else None,
            offline=offline,
            instead=InProcessSystem if in_process else None,
            on_event=on_event or progress,
        )
    finally:
        if progress:
            progress.close()


def plan(
    workflow: Source,
    *,
    settings: Mapping[str, object] | None = None,
    output_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    offline: bool = False,
) -> Plan:
    """What a run would do: its steps, measurements, disk and memory. Nothing is done.

    Raises WorkflowError with every problem.
    """
    return _draft(workflow, settings, output_dir, cache_dir, offline=offline).whole()


def validate(
    workflow: Source, *, settings: Mapping[str, object] | None = None, offline: bool = False
) -> Sequence[Problem]:
    """Every problem of a workflow; empty when it can be run here. One of kind `dependency` is no fault of the
    workflow: a library is not installed here.

    Raises UserError when there is no such file, WorkflowError when it is not YAML or JSON.
    """
    return tuple(_draft(workflow, settings, None, None, offline=offline).problems)


def _draft(
    workflow: Source,
    settings: Mapping[str, object] | None,
    output_dir: str | Path | None,
    cache_dir: str | Path | None,
    *,
    offline: bool,
) -> PlanDraft:
    with prepare(
        _given(workflow, settings),
        Registry.load(),
        output_dir=Path(output_dir) if output_dir else None,
        cache_dir=Path(cache_dir) if cache_dir else None,
        offline=offline,
    ) as prepared:
        return prepared.plan


def _given(workflow: Source, settings: Mapping[str, object] | None) -> Given:
    wanted = tuple(Setting.of(path, value) for path, value in (settings or {}).items())
    if isinstance(workflow, Mapping):
        return Given(values=workflow, settings=wanted)
    return Given(Path(workflow), settings=wanted)


def _log(line: str, level: Literal["info", "warning"] = "info") -> None:
    grave = logging.WARNING if level == "warning" else logging.INFO
    shown = _logger.isEnabledFor(logging.INFO) and _logger.hasHandlers()
    if shown or _logger.level != logging.NOTSET:
        _logger.log(grave, line)
    else:
        print(line, file=sys.stderr, flush=True)
