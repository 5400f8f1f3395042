"""How long training takes until 95 % of held-out phrases are answered right: modelpress and Olive, on the
same model, data, rank, batch, learning rate and schedule.

Olive trains as its users do: on the whole text, since it has no way to put the loss on the answer alone for
a template. It runs with its defaults (bfloat16, gradient checkpointing), without both, which suits a CPU
better, and so for twice the epochs, since its learning rate has to fall, too, before accuracy is steady.
The target is held against the fastest of the three.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import against_olive
import emotions
from harness import ROOT, Contender, Settings, compare, remove, versions
from harness import measure as measure_once
from page import Section, Target, number, table
from plots import bars, curves

NAME = "lora"
OURS = "modelpress"
_ON_CPU = {"torch_dtype": "float32"}, {"gradient_checkpointing": False}
_VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "Olive, tuned for a CPU": (*_ON_CPU, 1),
    "Olive, so, twice the epochs": (*_ON_CPU, 2),
    "Olive, its defaults": ({}, {}, 1),
}
"""Name -> options of the pass, training arguments, times the example's epochs."""
_WANTED = 0.95
_EVERY = 25
"""Steps between two looks."""
_PATIENCE = 2.5
"""The competitor is given this many times our whole training time."""


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    train, heldout = emotions.split_rows(folder / "data")
    olive = against_olive.python()
    every = 4 if settings.quick else _EVERY
    ours = _ours(folder, settings, train, every)
    print("  once, to know how long the others may take:", flush=True)
    measure_once(ours, limit=3600)
    limit = 30.0 if settings.quick else _PATIENCE * _snapshots(folder / OURS)[-1]["seconds"]
    contenders = [
        _telling(ours, folder / OURS, heldout),
        *(
            _telling(c, folder / c.name, heldout)
            for c in _olive(folder, settings, train, every, limit, olive)
        ),
    ]
    figures = compare(contenders, settings.runs)
    names = ("torch", "transformers", "peft", "accelerate")
    return {
        "versions": {**versions(olive, ("olive-ai",)), **versions(sys.executable, ("modelpress", *names))},
        "limit": limit,
        "options": emotions.lora_options(),
        "figures": [f.to_record() for f in figures],
    }


def _training_args(settings: Settings, seed: int, epochs: int = 1) -> dict[str, Any]:
    """The example's. epochs: times as many."""
    given: dict[str, Any] = dict(emotions.lora_options()["training_args"])
    given.update(seed=seed, logging_steps=1000, num_train_epochs=epochs * given["num_train_epochs"])
    if settings.quick:
        given["max_steps"] = 4
    return given


def _ours(folder: Path, settings: Settings, train: Path, every: int) -> Contender:
    data = emotions.rows_of(train, "train")
    place = folder / OURS
    file = folder / "modelpress.json"

    def lay_out(seed: int) -> None:
        remove(place)
        options = {
            **emotions.lora_options(),
            "training_args": _training_args(settings, seed),
        }
        document = {
            "input_model": {"type": "HfModel", "model_path": str(emotions.MODEL)},
            "data_configs": [data],
            "passes": {"lora": options},
        }
        file.write_text(json.dumps(document), encoding="utf-8")

    script = str(ROOT / "contenders" / "lora_modelpress.py")
    command = [
        sys.executable,
        script,
        str(file),
        str(place / "cache"),
        str(place / "snapshots"),
        str(every),
        "1e9",
    ]
    return Contender(OURS, command, before=lay_out)


def _olive(
    folder: Path, settings: Settings, train: Path, every: int, limit: float, python: Path
) -> list[Contender]:
    found = []
    for name, (options, arguments, epochs) in _VARIANTS.items():
        place = folder / name

        def lay_out(
            seed: int,
            place: Path = place,
            options: Any = options,
            arguments: Any = arguments,
            epochs: int = epochs,
        ) -> None:
            remove(place)
            shared = emotions.lora_options()
            given = {key: shared[key] for key in ("type", "r", "alpha", "lora_dropout", "target_modules")}
            training = {**_training_args(settings, seed, epochs), **arguments}
            lora = {**given, **options, "train_data_config": "train", "training_args": training}
            against_olive.workflow({"lora": lora}, place, data=train)

        script = str(ROOT / "contenders" / "lora_olive.py")
        command = [
            str(python),
            script,
            str(place / "olive.json"),
            str(place / "snapshots"),
            str(every),
            str(limit),
        ]
        found.append(Contender(name, command, against_olive.OFFLINE, before=lay_out))
    return found


def _telling(contender: Contender, place: Path, heldout: Path) -> Contender:
    """The contender, telling `curve`: (step, seconds trained, held-out accuracy) of each snapshot."""
    return Contender(
        contender.name,
        contender.command,
        contender.environment,
        contender.before,
        _curve_reader(place, heldout),
    )


def _curve_reader(place: Path, heldout: Path) -> Callable[[], Mapping[str, Any]]:
    data = emotions.rows_of(heldout, "heldout")

    def read() -> Mapping[str, Any]:
        file = heldout.with_name("heldout-config.json")
        file.write_text(json.dumps(data), encoding="utf-8")
        snapshots = _snapshots(place)
        script = str(ROOT / "contenders" / "evaluate.py")
        command = [sys.executable, script, "accuracy", str(file), str(emotions.MODEL)]
        done = subprocess.run(
            [*command, *(s["folder"] for s in snapshots)], check=True, capture_output=True, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        return {"curve": [[s["step"], s["seconds"], found[s["folder"]]["accuracy"]] for s in snapshots]}

    return read


def _snapshots(place: Path) -> list[dict[str, Any]]:
    folders = sorted((place / "snapshots").iterdir())
    return [{**json.loads((f / "snapshot.json").read_text()), "folder": str(f)} for f in folders]


def _time_to(curve: list[tuple[int, float, float]]) -> float | None:
    """Seconds trained at the first look with the wanted accuracy."""
    return next((seconds for _, seconds, accuracy in curve if accuracy >= _WANTED), None)


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    curves_of = {f["name"]: [run["told"]["curve"] for run in f["runs"]] for f in result["figures"]}
    times = {name: _median_time([_time_to(curve) for curve in found]) for name, found in curves_of.items()}
    limit = result["limit"]
    shown = {name: number(t, "s") if t else f"more than {number(limit, 's')}" for name, t in times.items()}
    rows = [
        (
            name,
            shown[name],
            _best(found),
            _steps(found),
            _per_step(found),
        )
        for name, found in curves_of.items()
    ]
    plot = curves(
        plots / "lora.svg",
        "Held-out accuracy while training",
        {
            f"{name}#{i}": [(0.0, 0.0), *((seconds, 100 * accuracy) for _, seconds, accuracy in curve)]
            for name, found in curves_of.items()
            for i, curve in enumerate(found)
        },
        ("seconds trained", "accuracy, %"),
        100 * _WANTED,
    )
    bar = bars(plots / "lora-time.svg", "Seconds of training to 95 % (or given up at)",
               {name: t or limit for name, t in times.items()}, "s", ours=(OURS,))  # fmt: skip
    given = result["options"]
    args = given["training_args"]
    body = (
        f"LoRA on the example's model and data, with the example's options: rank {given['r']}, alpha "
        f"{given['alpha']}, batch {args['per_device_train_batch_size']}, learning rate {args['learning_rate']}, "
        f"{args['lr_scheduler_type']} schedule, {args['num_train_epochs']} epochs; a seed a run, the same for all. "
        "Seconds are those inside the training loop; the adapter is looked at every "
        f"{_EVERY} steps by the same generating code. modelpress takes the loss on the answer alone; Olive, for a "
        "template, on the whole text. Olive's defaults are bfloat16 and gradient checkpointing; *tuned for a CPU* "
        "is without both. The target is held against the fastest. Olive was stopped after "
        f"{_PATIENCE} times our whole training ({number(limit, 's')}).\n\n"
        f"{table(('', 'to 95 %', 'best accuracy', 'steps to 95 %', 'a step'), rows)}\n\n{bar}\n\n{plot}"
    )
    return Section("LoRA: time to 95 % held-out accuracy", body, [_target(times, limit)])


def _median_time(times: list[float | None]) -> float | None:
    """The median; None when most runs never got there."""
    middle = statistics.median(time if time is not None else float("inf") for time in times)
    return None if middle == float("inf") else middle


def _target(times: Mapping[str, float | None], limit: float) -> Target:
    what, wanted = "LoRA to 95 % accuracy, times Olive's time", "at most 0.50x"
    ours = times[OURS]
    theirs = min((t for name, t in times.items() if name != OURS and t is not None), default=None)
    if ours is None:
        return Target(what, wanted, "never got there", False)
    ratio = ours / (theirs or limit)
    return Target(what, wanted, f"{'' if theirs else 'less than '}{number(ratio, 'x')}", ratio <= 0.5)


def _best(found: list[Any]) -> str:
    return number(statistics.median(max(point[2] for point in curve) for curve in found), "%")


def _steps(found: list[Any]) -> str:
    steps = [next((step for step, _, accuracy in curve if accuracy >= _WANTED), None) for curve in found]
    middle = _median_time([None if step is None else float(step) for step in steps])
    return f"{middle:.0f}" if middle else "–"


def _per_step(found: list[Any]) -> str:
    return number(statistics.median(curve[-1][1] / curve[-1][0] for curve in found), "ms")
