"""What doctor tells of onnxruntime on a processor."""

from __future__ import annotations

import pytest

from modelpress.testing import LibraryContract
from modelpress_plugins.model_builder.kernels import check_int4


class TestOnnxruntime(LibraryContract):
    library_name = "onnxruntime"


def test_a_cpu_that_stops_at_avx2_is_noted_for_int4() -> None:
    (finding,) = check_int4(["avx2"])
    assert finding.verdict == "note"
    assert "int4" in finding.text


@pytest.mark.parametrize(
    "features", [["avx2", "avx512f", "avx512_vnni"], ["avx2", "avx_vnni"], ["asimddp"], []]
)
def test_any_other_is_well(features: list[str]) -> None:
    assert check_int4(features) == []
