"""Several runs at once; see ABOUT."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from demo import Demo, steps
from trials import Broken, Outcome, Trial
from workbench import model_files, require_plain

from modelpress.engine import cache_cleaning as cleaning
from modelpress.engine.cache import Cache

NAME = "together"
TITLE = "Two and more at once"
ABOUT = """
Two to four runs over one cache, begun within a second: of the same workflow or of some that share their first
steps; into one output folder or each into its own; with `cache gc`, `cache clear` and `cache verify` in between.
What must hold: each run ends well, or is refused because another's result is there; every model that is there is
that of one of the workflows, whole; nothing is left over.
"""
COUNT, FEW, LIMIT = 60, 3, 240.0
_TEXTS = (("a", "b"), ("a", "c"), ("a", "b", "d"))


def begin(folder: Path) -> Trial:
    whole = {}
    for texts in _TEXTS:
        bench = Demo(folder / "-".join(texts))
        bench.write(steps(*texts, pieces=2, seconds=0.1))
        whole[texts] = bench.run().files

    def trial(chance: Random, place: Path) -> Outcome:
        same, one_output = chance.random() < 0.5, chance.random() < 0.5
        count = chance.randint(2, 4)
        runs = []
        for number in range(count):
            texts = _TEXTS[0] if same else chance.choice(_TEXTS)
            bench = Demo(place / str(number))
            output = place / "output" if one_output else bench.output
            bench.write(
                steps(*texts, pieces=2, seconds=0.1), cache_dir=str(place / "cache"), output_dir=str(output)
            )
            process = bench.start()
            runs.append((bench, process, texts, output))
            time.sleep(chance.uniform(0, 0.5))
        if chance.random() < 0.5:
            _clean(runs[0][0], place, chance)
        codes = [process.wait(LIMIT / 2) for _, process, _, _ in runs]
        said = "\n".join((bench.folder / "said.txt").read_text() for bench, _, _, _ in runs)
        require_plain(said)
        if any(codes) and (same or not one_output):
            raise Broken(f"exit codes {codes}: {said[-800:]}")
        if any(code not in (0, 2) for code in codes) or not codes.count(0):
            raise Broken(f"exit codes {codes}: {said[-800:]}")
        for _, _, texts, output in runs:
            found = model_files(output / "model")
            if found not in (whole.values() if one_output else [whole[texts]]):
                raise Broken(f"{output / 'model'} is nobody's: {sorted(found)}")
            if left := [path.name for path in output.iterdir() if path.name not in ("model", "run.json")]:
                raise Broken(f"left over: {left}")
        _require_sound(place / "cache")
        what = f"{'the same workflow' if same else 'workflows that share steps'}, {'one output' if one_output else 'an output each'}"
        return Outcome(what, "all done" if not any(codes) else "one refused")

    return trial


def _clean(bench: Demo, place: Path, chance: Random) -> None:
    verb = chance.choice([("gc", "--keep-size", "1KB"), ("clear", "--yes"), ("verify",)])
    done = bench.finish(60, "cache", *verb, "--cache-dir", str(place / "cache"))
    require_plain(done.stdout + done.stderr)


def _require_sound(folder: Path) -> None:
    cache = Cache(folder)
    wrong = [text for entry in cleaning.entries(cache) for text in cleaning.verify(entry)]
    left = [str(path) for path in (*folder.glob("jobs/*"), *folder.glob("trash/*"))]
    if wrong or left:
        raise Broken(f"in the cache: {wrong[:3]} {left[:3]}")
