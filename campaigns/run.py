"""Try to break modelpress: cases of random trials, each with a seed, a time limit and a count.

python campaigns/run.py [CASE[:TRIAL] …] [--seed N] [--count N] [--minutes M] [--quick] [--page]

Without a seed a fresh one is taken and printed; `SEED` and `CASES` in the environment are the same as the
arguments. Exit code 1 when a trial found a fault. Results are kept, and docs/reliability.md is made of them.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

# Before anything imports torch. One thread: tiny models gain nothing from more, and sums stay the same.
os.environ.update(
    OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false"
)
os.environ.pop("MODELPRESS_DEBUG", None)

import page
from cases import belongings, cluster, disks, flips, hostile, kills, malformed, searches, together, workflows
from trials import Case, hush, run_case

ROOT = Path(__file__).resolve().parents[1]
CASES: dict[str, Case] = {
    case.NAME: case
    for case in (flips, kills, malformed, workflows, hostile, disks, together, belongings, searches, cluster)
}
OF_THEIR_OWN = {"architectures": "architectures.py"}
"""Campaigns that are no row of trials: a script each, with a page of its own. They are given the seed."""


def main() -> int:
    """Run what is asked for; see above."""
    arguments = _arguments()
    seed = secrets.randbelow(2**32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    hush(Path(tempfile.mkstemp(prefix="modelpress-campaign-", suffix=".txt")[1]))
    wanted = [] if arguments.page else [_named(name) for name in arguments.names]
    faults = 0
    for name, numbers in wanted:
        if name in OF_THEIR_OWN:
            script = Path(__file__).with_name(OF_THEIR_OWN[name])
            faults += subprocess.run(
                [sys.executable, str(script), "--seed", str(seed)], check=False
            ).returncode
        else:
            faults += _run(CASES[name], seed, numbers, arguments)
    if not arguments.quick:
        page.write(ROOT / "docs" / "reliability.md", list(CASES.values()))
    return 1 if faults else 0


def _run(case: Case, seed: int, numbers: range | None, arguments: argparse.Namespace) -> int:
    """How many faults a case found. What is asked for by number is not kept."""
    count = arguments.count or (case.FEW if arguments.quick else case.COUNT)
    print(f"{case.NAME}: {len(numbers or range(count))} trials", flush=True)
    folder = tempfile.mkdtemp(prefix=f"modelpress-{case.NAME}-")
    tally = run_case(case, seed, numbers or range(count), Path(folder), arguments.minutes)
    print(f"{case.NAME}: {tally.count} trials, {len(tally.faults)} faults, {tally.seconds:.0f} s", flush=True)
    if tally.faults:
        print(f"    what they left is in {folder}", flush=True)
    else:
        subprocess.run(["rm", "-rf", folder], check=False)
    if numbers is None and not arguments.quick and not tally.skipped and "WORKFLOWS" not in os.environ:
        page.keep(case, tally)
    return len(tally.faults)


def _named(text: str) -> tuple[str, range | None]:
    name, _, number = text.partition(":")
    return name, range(int(number), int(number) + 1) if number else None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Try to break modelpress.")
    known = [
        *CASES,
        *(name for name in OF_THEIR_OWN if Path(__file__).with_name(OF_THEIR_OWN[name]).exists()),
    ]
    named = os.environ.get("CASES", "").replace(",", " ").split()
    parser.add_argument(
        "names", nargs="*", default=named or known, help=f"of {', '.join(known)}; all when left out"
    )
    given = os.environ.get("SEED")
    parser.add_argument("--seed", type=int, default=int(given) if given else None)
    parser.add_argument("--count", type=int, help="trials of each case, instead of its own number")
    parser.add_argument("--minutes", type=float, default=30, help="of each case, at most")
    parser.add_argument("--quick", action="store_true", help="a few trials of each; nothing is kept")
    parser.add_argument(
        "--workflows", help="a folder of workflow files for the case of that name; nothing of it is kept"
    )
    parser.add_argument("--page", action="store_true", help="only make the page from the results")
    arguments = parser.parse_args()
    if arguments.workflows:
        os.environ["WORKFLOWS"] = arguments.workflows
    unknown = [name for name in arguments.names if _named(name)[0] not in known]
    if unknown:
        parser.error(f"there is no case {unknown[0]!r}; there are: {', '.join(known)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
