"""Bytes of a checkpoint as tensors and back: whole or some rows, every dtype, nothing that is no number."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file

from modelpress.api import Checkpoint, PassError  # noqa: E402
from modelpress_plugins.tensors.bytes import (  # noqa: E402
    FLOATS,
    SAFETENSORS_NAMES,
    TORCH_DTYPES,
    as_bytes,
    check_finite,
    from_bytes,
    is_finite,
    read_tensor,
    torch_dtype,
)

WEIGHT = torch.arange(12, dtype=torch.float32).view(4, 3)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    tensors = {
        "weight": WEIGHT,
        "scale": torch.tensor(2.5),
        "none": torch.empty(0, 3),
        "half": WEIGHT.to(torch.bfloat16),
        "cube": torch.arange(24).view(2, 3, 4),
    }
    save_file(tensors, str(tmp_path / "model.safetensors"))
    (tmp_path / "config.json").write_text("{}")
    return Checkpoint(tmp_path)


def test_a_tensor_is_read_as_it_was_written(checkpoint: Checkpoint) -> None:
    with checkpoint:
        assert torch.equal(read_tensor(checkpoint, "weight"), WEIGHT)
        assert read_tensor(checkpoint, "half").dtype == torch.bfloat16
        assert read_tensor(checkpoint, "scale").shape == ()
        assert read_tensor(checkpoint, "none").shape == (0, 3)


@pytest.mark.parametrize(
    "rows", [slice(1, 3), slice(0, 1), slice(3, 99), slice(-2, None), slice(2, 2), slice(3, 1), slice(None)]
)
def test_some_rows_are_those_that_indexing_gives(checkpoint: Checkpoint, rows: slice) -> None:
    with checkpoint:
        found = read_tensor(checkpoint, "weight", rows)
        assert found.shape == WEIGHT[rows].shape
        assert torch.equal(found, WEIGHT[rows])


def test_rows_are_along_the_first_of_any_dimensions(checkpoint: Checkpoint) -> None:
    with checkpoint:
        assert torch.equal(read_tensor(checkpoint, "cube", slice(1, 2))[0], torch.arange(12, 24).view(3, 4))


def test_what_has_no_rows_is_read_whole(checkpoint: Checkpoint) -> None:
    with checkpoint:
        assert float(read_tensor(checkpoint, "scale", slice(0, 1))) == 2.5


def test_what_is_read_is_memory_of_its_own(checkpoint: Checkpoint) -> None:
    with checkpoint:
        read_tensor(checkpoint, "weight").zero_()
        assert torch.equal(read_tensor(checkpoint, "weight"), WEIGHT)


def test_a_name_that_is_not_there_is_a_key_error(checkpoint: Checkpoint) -> None:
    with checkpoint, pytest.raises(KeyError):
        read_tensor(checkpoint, "bias")


@pytest.mark.parametrize("name", TORCH_DTYPES)
def test_every_dtype_comes_back_bit_for_bit(name: str) -> None:
    dtype = torch_dtype(name, "weight")
    data = bytearray([0, 1] * 8 if name == "BOOL" else range(16))
    tensor = from_bytes(data, dtype, (16 // dtype.itemsize,))
    assert tensor.dtype == dtype
    assert bytes(as_bytes(tensor)) == bytes(data)
    assert SAFETENSORS_NAMES[dtype] == name


def test_a_dtype_that_torch_lacks_is_told_with_the_tensor() -> None:
    with pytest.raises(
        PassError, match=r"Tensor layer\.0\.weight has dtype F4, which cannot be computed with"
    ):
        torch_dtype("F4", "layer.0.weight")


def test_floats_are_those_that_can_be_cast() -> None:
    assert all(TORCH_DTYPES[name].is_floating_point for name in FLOATS)
    assert "F8_E4M3" not in FLOATS, "its scales lie elsewhere"


def test_a_tensor_over_bytes_shares_them() -> None:
    data = bytearray(8)
    from_bytes(data, torch.float32, (2,)).fill_(1.0)
    assert data == bytearray(as_bytes(torch.ones(2)))


def test_bytes_of_a_view_are_in_the_order_of_its_rows() -> None:
    assert bytes(as_bytes(WEIGHT.T)) == bytes(as_bytes(WEIGHT.T.contiguous()))
    assert bytes(as_bytes(WEIGHT[::2])) == WEIGHT[::2].contiguous().numpy().tobytes()
    assert len(as_bytes(torch.empty(0))) == 0


def test_bytes_of_what_is_contiguous_are_no_copy() -> None:
    weight = WEIGHT.clone()
    view = as_bytes(weight)
    weight.zero_()
    assert not any(view)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_found_wherever_it_is(value: float) -> None:
    weight = WEIGHT.clone()
    weight[2, 1] = value
    assert not is_finite(weight)
    with pytest.raises(PassError, match=r"Tensor lm_head holds NaN or inf\."):
        check_finite(weight, "lm_head")


def test_a_sum_that_is_too_large_says_nothing_of_its_parts() -> None:
    weight = torch.full((4,), 3e38)
    assert not torch.isfinite(weight.sum())
    assert is_finite(weight)
    check_finite(weight, "lm_head")


def test_a_value_that_the_rounded_dtype_cannot_hold_is_told(tmp_path: Path) -> None:
    weight = torch.tensor([1.0, -70000.0])
    check_finite(weight, "lm_head", torch.bfloat16)
    with pytest.raises(PassError, match=r"a value of 70000, past the largest torch\.float16"):
        check_finite(weight, "lm_head", torch.float16)


def test_nothing_is_finite() -> None:
    assert is_finite(torch.empty(0))
    check_finite(torch.empty(0, 4), "none")
