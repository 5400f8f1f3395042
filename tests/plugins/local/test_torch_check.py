"""What doctor tells of torch and the GPU."""

from __future__ import annotations

from modelpress.testing import LibraryContract
from modelpress_plugins.local.graphics import check_gpu


class TestTorch(LibraryContract):
    library_name = "torch"


def test_a_gpu_beside_a_torch_for_the_cpu_is_a_warning() -> None:
    gpus = ["NVIDIA L4, 23034 MiB, 570.1"]
    assert check_gpu(gpus, "2.13.0+cpu").verdict == "warning"
    assert check_gpu(gpus, "2.13.0").verdict == "ok"
    assert check_gpu([], "").verdict == "note"
