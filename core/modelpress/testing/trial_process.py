"""The process of a trial: `python -m modelpress.testing.trial_process ORDER` does the work and reports it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from operator import attrgetter
from pathlib import Path

from pydantic import JsonValue

from modelpress.artifact import Artifact, Meta
from modelpress.context import ModelFacts
from modelpress.opened import LoadedModel
from modelpress.registry import Registered, Registry
from modelpress.samples import DataSource
from modelpress.specs import MetricSpec, PassSpec
from modelpress.testing.context import RecordingPlan, model_facts, options_class, run_metric, run_pass
from modelpress.testing.heavy import HEAVY
from modelpress.testing.trial import TIME_LIMIT, Given, Order, Planned, Trial, report_file
from modelpress.testing.watch import Watch
from modelpress.worker_context import WorkerContext


def main(file: str) -> None:
    order = Order.model_validate_json(Path(file).read_bytes())
    registry = Registry.load()
    kind = PassSpec if order.kind == "pass" else MetricSpec
    provider = registry.find(kind, order.name).provider
    watch = Watch({folder.stem for folder in provider.folders} - {"modelpress"})
    watch.start()
    trial = Trial(folder=order.folder)
    opened = _note_opened()
    counted = _Counted()
    try:
        if order.kind == "pass":
            if order.kill:
                trial.killed = _killed_half_way(order, registry)
            _try_pass(order, registry, trial, counted)
        else:
            _try_metric(order, registry, trial, counted)
    except BaseException:  # noqa: BLE001 - whatever it does is what is to be told
        trial.error = traceback.format_exc()
    trial.progress = counted.count
    trial.opened = sorted(opened)
    trial.libraries = sorted(watch.libraries)
    trial.variables = sorted(watch.variables)
    trial.written = sorted(watch.written)
    report_file(order.folder).write_text(trial.model_dump_json(), encoding="utf-8")


def _note_opened() -> set[str]:
    """Filled with the formats that are opened in their runtime from now on: whose libraries these are."""
    opened: set[str] = set()
    plain = WorkerContext.load

    def load(context: WorkerContext, model: Artifact, device: str = "") -> LoadedModel:
        opened.add(model.format)
        return plain(context, model, device)

    setattr(WorkerContext, "load", load)  # noqa: B010 - a process of its own, which ends after the run
    return opened


def _killed_half_way(order: Order, registry: Registry) -> bool:
    """Whether a process that does the same work was killed at its half. It begins as a copy of this one, with
    the libraries loaded and nothing done: loading them is what takes the time of a small run."""
    registered = registry.find(PassSpec, order.name)
    registered.resolve(registered.spec.run)
    child = os.fork()
    if child == 0:
        try:
            _try_pass(order, registry, Trial(folder=order.folder), _KilledHalfWay())
        finally:
            os._exit(0)
    deadline = time.monotonic() + TIME_LIMIT / 2
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    return os.WIFSIGNALED(ended[1]) and os.WTERMSIG(ended[1]) == signal.SIGKILL


def _try_pass(order: Order, registry: Registry, trial: Trial, counted: _Counted) -> None:
    registered = registry.find(PassSpec, order.name)
    source = order.model
    trial.planned = _plan(registered, source, order.options)
    result = run_pass(
        registered, source, order.options, order.folder,
        registry=registry, data=_GivenByClass(*order.data), watch=counted,
    )  # fmt: skip
    meta, fault = _written_meta(result.meta)
    config = _config(result)
    trial.given = Given(
        format=result.format, size=result.size, config=config, meta=meta, fault=fault, numbers={}
    )


def _try_metric(order: Order, registry: Registry, trial: Trial, counted: _Counted) -> None:
    registered = registry.find(MetricSpec, order.name)
    numbers = run_metric(
        registered, order.model, order.options, order.folder,
        registry=registry, data=_GivenByClass(*order.data), watch=counted,
    )  # fmt: skip
    trial.given = Given(format="", size=0, config=None, meta={}, fault="", numbers=dict(numbers))


def _plan(registered: Registered[PassSpec], source: Artifact, values: Mapping[str, JsonValue]) -> Planned:
    spec = registered.spec
    before, started = set(sys.modules), time.process_time()
    context = RecordingPlan()
    options = options_class(registered).parse(values)
    produces = source.format if spec.produces == "same" else spec.produces
    facts: ModelFacts = replace(model_facts(source), format=produces)
    if spec.plan:
        facts = registered.resolve(spec.plan)(model_facts(source), options, context)
    seconds = time.process_time() - started
    heavy = {name for name in set(sys.modules) - before if name in HEAVY}
    meta, fault = _written_meta(facts.meta)
    return Planned(
        problems=[*context.problems, *([f"The plan's meta: {fault}"] if fault else [])],
        format=facts.format,
        size=facts.size if spec.plan else 0,
        config=json.loads(json.dumps(dict(facts.config))),
        meta=meta,
        heavy=sorted(heavy),
        seconds=seconds,
    )


def _written_meta(meta: Meta) -> tuple[dict[str, JsonValue], str]:
    """(meta as it comes back from JSON, what is wrong with it)."""
    plain = asdict(meta)
    try:
        back: dict[str, JsonValue] = json.loads(json.dumps(plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        return {}, f"{error} (meta: {plain!r})"
    return back, "" if back == plain else f"it comes back from JSON as {back!r}, and was {plain!r}"


def _config(result: Artifact) -> dict[str, JsonValue] | None:
    for artifact in filter(None, (result, result.base)):
        file = artifact.path / "config.json"
        if file.is_file():
            config: dict[str, JsonValue] = json.loads(file.read_bytes())
            return config
    return None


class _Counted:
    """Counts how often a pass says how far it is."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, context: WorkerContext, done: int, total: int) -> None:
        self.count += 1


class _KilledHalfWay(_Counted):
    """Ends the process by a signal that it cannot catch."""

    def __call__(self, context: WorkerContext, done: int, total: int) -> None:
        super().__call__(context, done, total)
        if done * 2 >= total if total else self.count >= 2:
            context.flush()
            os.kill(os.getpid(), signal.SIGKILL)


class _GivenByClass(Mapping[str, DataSource]):
    """The `data` of a contract's class. Its file is imported when data are asked for, and not before: what a
    test module imports must not be taken for what the plan does."""

    def __init__(self, file: str, name: str) -> None:
        self._file = file
        self._name = name
        self._known: Mapping[str, DataSource] | None = None

    def __getitem__(self, role: str) -> DataSource:
        return self._data()[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data())

    def __len__(self) -> int:
        return len(self._data())

    def _data(self) -> Mapping[str, DataSource]:
        if self._known is None:
            self._known = {}
            if self._file:
                spec = importlib.util.spec_from_file_location("contract_under_test", self._file)
                if spec is not None and spec.loader is not None:
                    module = importlib.util.module_from_spec(spec)
                    sys.modules[spec.name] = module
                    spec.loader.exec_module(module)
                    self._known = attrgetter(self._name)(module).data
        return self._known or {}


if __name__ == "__main__":
    main(sys.argv[1])
