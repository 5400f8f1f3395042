"""Memory is given back where the system can take it."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import psutil
import pytest

from modelpress_plugins.tensors.release import let_go_of_files

_SIZE = 64 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="the system call is Linux's")
def test_mapped_files_of_a_folder_leave_memory_and_keep_their_content(tmp_path: Path) -> None:
    for name in ("inside", "beside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(bytes(range(256)) * (_SIZE // 256))
    with (tmp_path / "inside" / "weights").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    mapped[4096:4099] = b"new"
    whole = bytes(mapped[:])
    before = psutil.Process().memory_info().rss
    let_go_of_files(tmp_path / "beside")
    assert before - psutil.Process().memory_info().rss < _SIZE / 4
    let_go_of_files(tmp_path / "inside")
    assert before - psutil.Process().memory_info().rss > _SIZE * 3 / 4
    assert mapped[:] == whole
    mapped.close()
