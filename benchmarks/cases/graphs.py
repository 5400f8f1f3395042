"""Passes on an ONNX graph: float16, int8 and int4 of a float32 model, against Olive's passes of the same names."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import against_olive
import graph_model
import jobs
from harness import ROOT, Contender, Figures, Settings, compare, remove, versions
from page import Section, at_most, number, table

NAME = "graphs"
PASSES: Mapping[str, Mapping[str, Any]] = {
    "OnnxFloatToFloat16": {},
    "OnnxDynamicQuantization": {},
    "OnnxBlockWiseRtnQuantization": {},
}
ALONE, WHOLE, OLIVE = "modelpress, the pass", "modelpress run", "Olive"


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    graph = graph_model.make_graph(
        folder / "model", graph_model.SMALL if settings.quick else graph_model.GRAPH
    )
    python = against_olive.python()
    figures = {}
    for name, options in PASSES.items():
        written = {**options, "save_as_external_data": True}
        document = {
            "input_model": {"type": "ONNXModel", "model_path": str(graph)},
            "passes": {"pass": {"type": name, **written}},
        }
        contenders = [
            jobs.pass_alone(ALONE, name, graph.parent, written, folder / "alone", format="onnx"),
            jobs.workflow(WHOLE, document, folder / "whole"),
            _olive(python, document, folder / "olive"),
        ]
        figures[name] = [f.to_record() for f in compare(contenders, settings.runs)]
    result = {
        "versions": versions(sys.executable, ("modelpress", "onnxruntime", "onnx", "onnx-ir")),
        "olive": versions(python, ("olive-ai", "onnxruntime", "onnx", "onnx-ir")),
        "model": sum(path.stat().st_size for path in graph.parent.iterdir()),
        "figures": figures,
    }
    remove(folder)
    return result


def _olive(python: Path, document: Mapping[str, Any], folder: Path) -> Contender:
    def lay_out(_: int) -> None:
        remove(folder)
        folder.mkdir(parents=True)
        places = {"cache_dir": str(folder / "cache"), "output_dir": str(folder / "output")}
        text = json.dumps({**document, **places, "log_severity_level": 2})
        (folder / "olive.json").write_text(text, encoding="utf-8")

    command = [str(python), str(ROOT / "contenders" / "olive_run.py"), str(folder / "olive.json")]
    return Contender(OLIVE, command, against_olive.OFFLINE, before=lay_out)


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    rows, targets = [], []
    for name, records in result["figures"].items():
        by_name = {record["name"]: Figures.from_record(record) for record in records}
        olive = by_name[OLIVE]
        for figures in by_name.values():
            rows.append(
                (
                    name,
                    figures.name,
                    number(figures.seconds, "s"),
                    number(figures.seconds / olive.seconds, "x"),
                    number(figures.peak, "MB"),
                    number(figures.peak / olive.peak, "x"),
                )
            )
        alone, whole = by_name[ALONE], by_name[WHOLE]
        targets += [
            at_most(f"{name}, peak", alone.peak, 500e6, "MB"),
            at_most(f"{name}, times Olive's peak", whole.peak / olive.peak, 0.25, "x"),
            at_most(f"{name}, times Olive's wall time", whole.seconds / olive.seconds, 0.6, "x"),
        ]
    body = (
        f"A decoder of {number(result['model'], 'MB')} in float32, weights beside the graph. *The pass* is a "
        "process of its own, imports included; `modelpress run` also digests the input, keeps the result in the "
        "cache and copies it. Olive's cache is empty each time.\n\n"
        + table(("", "", "wall", "/ Olive", "peak", "/ Olive"), rows)
    )
    return Section("Passes on an ONNX graph", body, targets)
