"""Measure, keep the results, and write docs/benchmarks.md anew.

python benchmarks/run.py [NAME …] [--runs 3] [--quick] [--page]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import page
import results
from cases import (
    before,
    build,
    cluster,
    gptq,
    graphs,
    lora,
    merge,
    press,
    quality,
    quantizers,
    rows,
    search,
    startup,
    systems,
)
from harness import REPOSITORY, RESULTS, WORK, Settings

CASES: dict[str, page.Case] = {
    case.NAME: case
    for case in (
        startup,
        rows,
        lora,
        merge,
        build,
        press,
        quality,
        quantizers,
        gptq,
        graphs,
        search,
        cluster,
        systems,
        before,
    )
}


def main() -> None:
    arguments = _arguments()
    if arguments.quick:
        os.environ["OMP_NUM_THREADS"] = (
            "1"  # tiny models gain nothing from more, and lose much on a busy machine
        )
        with tempfile.TemporaryDirectory(prefix="modelpress-bench-") as folder:
            _run(arguments.names, Settings(1, True, Path(folder)), Path(folder), Path(folder) / "results")
        return
    names = [] if arguments.page else arguments.names
    _run(names, Settings(arguments.runs, False, WORK), REPOSITORY / "docs", RESULTS)


def _run(names: list[str], settings: Settings, docs: Path, stored: Path) -> None:
    for name in names:
        print(f"{name}:", flush=True)
        results.save(stored, name, CASES[name].measure(settings), runs=settings.runs)
    page.write(docs / "benchmarks.md", docs / "benchmarks", stored, list(CASES.values()))


def _possible() -> list[str]:
    """All but what needs an earlier version, where none is named."""
    return [name for name in CASES if name != before.NAME or before.VARIABLE in os.environ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure modelpress against its competitors.")
    parser.add_argument(
        "names", nargs="*", default=_possible(), help=f"of {', '.join(CASES)}; all that can run when left out"
    )
    parser.add_argument("--runs", type=int, default=3, help="of each contender")
    parser.add_argument("--quick", action="store_true", help="tiny models, one run, nothing kept")
    parser.add_argument(
        "--page", action="store_true", help="measure nothing; write the page from the results"
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in CASES]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(CASES)}")
    return arguments


if __name__ == "__main__":
    main()
