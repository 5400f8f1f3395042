"""Press tiny models of many architectures in many ways, and compare what comes out with transformers.

    python campaigns/architectures.py [--seed N] [--only NAME …] [--quick] [--page] [--work FOLDER]

Each cell of the table is one workflow, run as a user runs it: refused by the plan in a sentence, or a model
whose logits over 160 tokens, past each switch of the architecture, are those of its source. Cells that are
done are kept in the work folder, so that a run that was stopped goes on. The page docs/architectures.md is made
by a whole run; `--only MODEL --page` makes rows of it anew, when the seed is that of the page. Exit code 1 where a cell is wrong, refused late, or ends in an error that is nobody's.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from architectures_page import BAD, LATE, RAW, REFUSED, RIGHT, WRONG, Cell, page, with_rows

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architectures.md"
SECONDS = 600
"""A cell may take as long."""

_DATA = {"data_config": "train", "calibration_tokens": 1024}
_LORA = {"type": "LoRA", "r": 4, "train_data_config": "train", "training_args": {"max_steps": 2}}
_INT4 = {"type": "ModelBuilder", "precision": "int4"}

PATHS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "fp32": ({"type": "ModelBuilder", "precision": "fp32"},),
    "int8": ({"type": "ModelBuilder", "precision": "int8"},),
    "int4": (_INT4,),
    "LoRA": (_LORA, {"type": "MergeAdapterWeights"}, _INT4),
    "Rtn": ({"type": "Rtn"}, _INT4),
    "KQuant": ({"type": "KQuant"}, _INT4),
    "Hqq": ({"type": "Hqq"}, _INT4),
    "AutoClip": ({"type": "AutoClip", **_DATA}, _INT4),
    "Awq": ({"type": "Awq", **_DATA}, _INT4),
    "Gptq": ({"type": "Gptq", **_DATA}, _INT4),
    "QuaRot": ({"type": "QuaRot"}, _INT4),
}
"""Column -> the passes before the model is compared."""
QUICK = ("fp32", "int4", "Gptq")
"""Columns of --quick."""

_RAW = ("This is a bug", "Traceback", "The builder of onnxruntime-genai failed", "Error:")
"""Words of an error that no one wrote for a user."""


def main() -> int:
    """Run what is not done, tell each cell, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="of the weights; a fresh one when left out")
    parser.add_argument("--only", nargs="*", default=[], help="models or paths by name")
    parser.add_argument("--quick", action="store_true", help=f"the paths {', '.join(QUICK)}")
    parser.add_argument(
        "--page", action="store_true", help="put the rows of --only into the page, with its seed"
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "modelpress-architectures")
    parser.add_argument("--again", action="store_true", help="forget what is done")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.serve:
        return _serve(told.work, told.seed)
    seed = secrets.randbelow(10**6) if told.seed is None else told.seed
    work = told.work / f"seed-{seed}"
    work.mkdir(parents=True, exist_ok=True)
    kept = work / "cells.jsonl"
    if told.again:
        kept.unlink(missing_ok=True)
    print(f"seed {seed}, in {work}", flush=True)
    done = {(cell.model, cell.path): cell for cell in read_cells(kept)}
    wanted = _wanted(told.only, quick=told.quick)
    worker = Worker(work, seed)
    for pair in wanted:
        if pair not in done:
            done[pair] = worker.press(*pair)
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(done[pair])) + "\n")
            _tell(done[pair])
    worker.close()
    cells = [done[pair] for pair in wanted]
    if told.page:
        from tiny import MODELS

        before = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(with_rows(before, cells, seed, list(PATHS), list(MODELS)), encoding="utf-8")
    elif not told.only and not told.quick:
        PAGE.write_text(page(cells, seed, list(PATHS)), encoding="utf-8")
    bad = [cell for cell in cells if cell.verdict in BAD]
    counts = {v: sum(c.verdict == v for c in cells) for v in (RIGHT, REFUSED, *BAD)}
    print(f"seed {seed}: {len(cells)} cells: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    return 1 if bad else 0


def _wanted(only: Sequence[str], *, quick: bool) -> list[tuple[str, str]]:
    from tiny import MODELS

    unknown = set(only) - set(MODELS) - set(PATHS)
    if unknown:
        sys.exit(f"No model and no path: {', '.join(sorted(unknown))}.")
    models = [name for name in MODELS if name in only] or list(MODELS)
    paths = [name for name in PATHS if name in only] or list(QUICK if quick else PATHS)
    return [(model, path) for model in models for path in paths]


def read_cells(kept: Path) -> Iterator[Cell]:
    """What is done; a line that was cut is not."""
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else ():
        with suppress(ValueError, TypeError):
            yield Cell(**json.loads(line))


def _tell(cell: Cell) -> None:
    numbers = f"exact {cell.exact:.1e}, off {cell.off:.2%}, cost {cell.cost:.1%}"
    told = " ".join(filter(None, [numbers if cell.exact else "", cell.text]))
    print(f"{cell.seconds:6.1f} s  {cell.model:16} {cell.path:9} {cell.verdict:12} {told}", flush=True)


class Worker:
    """A process that presses cell after cell, so that libraries are imported once; ended where one hangs."""

    def __init__(self, work: Path, seed: int) -> None:
        self._command = [sys.executable, __file__, "--serve", "--work", str(work), "--seed", str(seed)]
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    def press(self, model: str, path: str) -> Cell:
        started = time.monotonic()
        process = self._ready()
        assert process.stdin
        process.stdin.write(json.dumps([model, path]) + "\n")
        process.stdin.flush()
        try:
            answer = self._answers.get(timeout=SECONDS)
        except queue.Empty:
            self.close()
            return Cell(model, path, RAW, f"not done after {SECONDS} s", seconds=SECONDS)
        seconds = round(time.monotonic() - started, 1)
        if not answer:
            self.close()
            return Cell(model, path, RAW, f"the process died with {process.returncode}", seconds=seconds)
        return Cell(**{**json.loads(answer), "seconds": seconds})

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _ready(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._answers = queue.Queue()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            threading.Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()
        return self._process


def _listen(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    for line in process.stdout or ():
        if line.startswith("{"):
            answers.put(line)
    process.wait()
    answers.put("")


def _serve(work: Path, seed: int) -> int:
    for line in sys.stdin:
        model, path = json.loads(line)
        try:
            cell = press(model, path, work, seed)
        # Whatever a library raises is what this campaign looks for.
        except Exception as error:  # noqa: BLE001
            text = f"{type(error).__name__}: {error} {traceback.format_exc()[-600:]}"
            cell = Cell(model, path, RAW, _short(text, work / "cell"))
        print("\n" + json.dumps(asdict(cell)), flush=True)
    return 0


def press(model: str, path: str, work: Path, seed: int) -> Cell:
    """Run the workflow of one cell in this process, and judge what it gives."""
    from tiny import make

    import modelpress
    from modelpress.errors import ModelpressError, WorkflowError

    source = make(model, work / "models", seed)
    folder = work / "cell"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    workflow = folder / "workflow.json"
    workflow.write_text(json.dumps(_workflow(source, PATHS[path], folder)))
    try:
        modelpress.run(workflow, in_process=True, offline=True)
    except WorkflowError as error:
        raw = any(words in error.message for words in _RAW)
        problem = error.problems[0]
        return Cell(model, path, RAW if raw else REFUSED, _short(f"{problem.message} {problem.hint}", folder))
    except ModelpressError as error:
        raw = any(words in error.message for words in _RAW)
        return Cell(model, path, RAW if raw else LATE, _short(error.message, folder))
    return _judge(model, path, source, folder)


def _judge(model: str, path: str, source: Path, folder: Path) -> Cell:
    from oracle import compare

    steps = [step["type"] for step in PATHS[path]]
    out = folder / "output"
    merged = "MergeAdapterWeights" in steps
    float_model = out / f"p{len(steps) - 2}" if merged or steps[0] == "QuaRot" else source
    quantized = out / "p0" if len(steps) == 2 and float_model == source else None
    bits = {"fp32": 0, "int8": 8}.get(path, 4)
    verdict = compare(out / "model", float_model, quantized, bits, folder / "scratch")
    numbers = {"exact": verdict.exact, "off": verdict.shipped, "cost": verdict.cost}
    return Cell(model, path, WRONG if verdict.wrong else RIGHT, verdict.wrong, **numbers)


def _workflow(source: Path, steps: Sequence[Mapping[str, Any]], folder: Path) -> Mapping[str, Any]:
    data = ROOT / "examples" / "emotions" / "data" / "emotions.json"
    train = {
        "name": "train",
        "type": "HuggingfaceContainer",
        "load_dataset_config": {"data_name": "json", "data_files": str(data), "split": "train"},
        "pre_process_data_config": {"text_template": "{phrase} {tone}", "max_seq_len": 64},
    }
    used = any("train" in step.values() for step in steps)
    passes = {f"p{i}": {**step, "output_name": f"p{i}"} for i, step in enumerate(steps[:-1])}
    return {
        "input_model": {"type": "HfModel", "model_path": str(source)},
        **({"data_configs": [train]} if used else {}),
        "passes": {**passes, "last": steps[-1]},
        "output_dir": str(folder / "output"),
        "cache_dir": str(folder / "cache"),
    }


def _short(problem: str, folder: Path) -> str:
    """On one line, and with no path of this machine."""
    text = " ".join(problem.split())
    for place in (folder, folder.parent, ROOT):
        text = text.replace(f"{place}{os.sep}", "")
    return text if len(text) < 400 else text[:399] + "…"


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
