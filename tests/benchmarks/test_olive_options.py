"""The comparison with Olive's options finds what differs, in a wheel's sources, and explains it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """
class Rtn(Pass):
    @classmethod
    def _default_config(cls, accelerator_spec):
        return {
            "bits": PassConfigParam(type_=int, default_value=PrecisionBits.BITS4),
            "group_size": PassConfigParam(type_=int, default_value=%s),
            "sym": PassConfigParam(type_=bool, default_value=False),
        }
"""


def compared(folder: Path, group_size: int) -> tuple[int, str]:
    wheel = folder / "olive.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("olive/passes/rtn.py", SOURCE % group_size)
    script = ROOT / "benchmarks" / "olive_options.py"
    done = subprocess.run(
        [sys.executable, str(script), str(wheel)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_what_is_the_same_is_not_listed(tmp_path: Path) -> None:
    code, page = compared(tmp_path, 128)
    assert code == 0
    assert "| Rtn |" not in page


def test_what_differs_without_a_reason_is_told(tmp_path: Path) -> None:
    code, page = compared(tmp_path, 64)
    assert code == 1
    assert "| Rtn | `group_size` | 64 | 128 |  |" in page


def test_the_committed_page_gives_a_reason_for_each() -> None:
    rows = [
        line for line in (ROOT / "docs" / "olive-options.md").read_text().splitlines() if line.count("|") > 5
    ]
    assert len(rows) > 10
    assert all(row.split("|")[5].strip() for row in rows)
