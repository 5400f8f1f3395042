"""Quantizing against Olive's own passes: quality by the same measure, time, memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import against_olive
import emotions
import jobs
from harness import ROOT, Contender, Figures, Settings, compare, environment, remove, versions
from page import Section, Target, at_most, number, table
from plots import bars

from cases.quality import evaluate, fine_tune

NAME = "quantizers"
_PASSES = ("Rtn", "KQuant", "Gptq")
_OPTIONS = {"bits": 4, "group_size": 32, "sym": True, "lm_head": False}
OURS, OLIVE, COMPRESSOR = "modelpress", "Olive", "llm-compressor"
_COMPRESSOR = ("llmcompressor==0.14.0.1", "torch==2.13.0")


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    train, _ = emotions.split_rows(folder / "data")
    model = fine_tune(folder / "float", 0, settings.quick)
    outputs: dict[str, Path] = {}
    contenders = []
    for name in _PASSES:
        place = folder / f"{OURS} {name}"
        contenders.append(ours(f"{OURS} {name}", name, model, place, train))
        outputs[f"{OURS} {name}"] = place / "output" / "model"
        place = folder / f"{OLIVE} {name}"
        contenders.append(olive(f"{OLIVE} {name}", name, model, place, train))
        outputs[f"{OLIVE} {name}"] = place / "output" / "model"
    contenders.append(_compressor(f"{COMPRESSOR} GPTQ", model, folder / COMPRESSOR, train))
    outputs[f"{COMPRESSOR} GPTQ"] = folder / COMPRESSOR
    figures = compare(contenders, settings.runs)
    heldout = emotions.whole_text(emotions.data_config("heldout"))
    found = evaluate(folder / "heldout.json", heldout, "accuracy,perplexity", [model, *outputs.values()])
    quality = {"float": found[str(model)], **{name: found[str(path)] for name, path in outputs.items()}}
    result = {
        "versions": {
            **versions(against_olive.python(), ("olive-ai",)),
            **versions(environment("llmcompressor", _COMPRESSOR), ("llmcompressor",)),
            **versions(sys.executable, ("modelpress", "torch", "transformers")),
        },
        "figures": [f.to_record() for f in figures],
        "quality": quality,
    }
    remove(folder)
    return result


def ours(title: str, name: str, model: Path, place: Path, rows: Path) -> Contender:
    """`modelpress run` of one quantizer. rows: to calibrate on, where it does."""
    data = {"data_config": "train"} if name == "Gptq" else {}
    document = {
        "input_model": {"type": "HfModel", "model_path": str(model)},
        "data_configs": [emotions.whole_text(emotions.rows_of(rows, "train"))],
        "passes": {"quantize": {"type": name, **_OPTIONS, **data}},
    }
    return jobs.workflow(title, document, place)


def olive(title: str, name: str, model: Path, place: Path, rows: Path) -> Contender:
    """The same with Olive, which by default loads the model in half precision: slow on a CPU."""
    data = {"data_config": "train"} if name == "Gptq" else {}
    passes = {"quantize": {"type": name, **_OPTIONS, **data}}
    return against_olive.contender(title, passes, place, model=model, data=rows, dtype="float32")


def _compressor(title: str, model: Path, place: Path, train: Path) -> Contender:
    template = emotions.data_config("train")["pre_process_data_config"]["text_template"]
    rows = [{"text": template.format(**row)} for row in json.loads(train.read_text(encoding="utf-8"))]
    texts = train.with_name("texts.json")
    texts.write_text(json.dumps(rows), encoding="utf-8")
    script = str(ROOT / "contenders" / "llmcompressor_gptq.py")
    python = environment("llmcompressor", _COMPRESSOR)
    command = [str(python), script, str(model), str(texts), str(place)]
    return Contender(title, command, {"HF_HUB_OFFLINE": "1"}, before=lambda _: remove(place))


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    by_name = {r["name"]: Figures.from_record(r) for r in result["figures"]}
    quality = result["quality"]
    rows = [("float", "–", "–", *_quality(quality["float"]))]
    rows += [
        (n, number(f.seconds, "s"), number(f.peak, "MB"), *_quality(quality[n])) for n, f in by_name.items()
    ]
    mine, theirs = by_name[f"{OURS} Gptq"], by_name[f"{OLIVE} Gptq"]
    body = (
        "4 bits, blocks of 32, symmetric, the output layer in float, calibrated on the same rows. Wall and peak are "
        "those of the whole of `modelpress run` and of Olive's `run`, starting included. Both checkpoints are read "
        "and measured by the same code; perplexity is that of the held-out text. The example model, fine-tuned on whole "
        "texts; Olive loads it in float32, as half precision is slow on a CPU.\n\n"
        f"{table(('', 'wall', 'peak', 'perplexity', 'accuracy'), rows)}\n\n"
        + bars(plots / "quantizers-seconds.svg", "Quantizing the example model: wall time",
               {n: f.seconds for n, f in by_name.items()}, "s", [f"{OURS} {n}" for n in _PASSES])
    )  # fmt: skip
    found, wanted = (quality[f"{n} Gptq"]["perplexity"] for n in (OURS, OLIVE))
    return Section("Quantizers against Olive's", body, [
        Target("Gptq, perplexity against Olive's", f"at most {wanted:.4f}", f"{found:.4f}", found <= wanted),
        at_most("Gptq, example model, times Olive's wall time", mine.seconds / theirs.seconds, 0.5, "x"),
        at_most("Gptq, example model, times Olive's peak", mine.peak / theirs.peak, 0.5, "x"),
    ])  # fmt: skip


def _quality(figures: Mapping[str, float]) -> tuple[str, str]:
    return f"{figures['perplexity']:.4f}", f"{100 * figures['accuracy']:.1f} %"
