"""The grid's arithmetic and the packed layout, against onnxruntime's own quantizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modelpress_plugins.grids.grid import Codes, Grid, as_blocks, encode
from modelpress_plugins.grids.half_quadratic import half_quadratic
from modelpress_plugins.grids.kquant import k_quant
from modelpress_plugins.grids.nearest import round_to_nearest
from modelpress_plugins.hf.quantized import QuantizationConfig, pack, tensors_of, unpack

DATA_FREE = [round_to_nearest, k_quant, half_quadratic]
GRIDS = [
    Grid(bits, size, symmetric) for bits in (2, 4, 8) for size in (16, 128) for symmetric in (True, False)
]


def weights(rows: int = 16, columns: int = 256, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(rows, columns, generator=generator) * 0.05).to(dtype).float()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_packing_round_trips_also_where_a_row_does_not_fill_its_last_byte(bits: int) -> None:
    values = (torch.arange(21).view(3, 7) * 37 % 2**bits).to(torch.uint8)
    packed = pack(values, bits)
    assert packed.shape == (3, -(-7 * bits // 8))
    assert torch.equal(unpack(packed, bits, 7), values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_symmetric_rounding_gives_the_bytes_of_onnxruntime(bits: int, dtype: torch.dtype) -> None:
    # Half precision makes many exact ties, which is where roundings differ.
    native = pytest.importorskip("onnxruntime.capi._pybind_state")
    weight = weights(64, 256, dtype)
    packed = np.zeros((64, 8, 32 * bits // 8), np.uint8)
    scales = np.zeros((64, 8), np.float32)
    zeros = np.zeros((64, -(-8 * bits // 8)), np.uint8)
    transposed = np.ascontiguousarray(weight.T.numpy())
    getattr(native, f"quantize_matmul_{bits}bits")(packed, transposed, scales, zeros, 32, 64, 256, True)

    ours = tensors_of("m", round_to_nearest(weight, Grid(bits, 32, True)))

    assert np.array_equal(ours["m.qweight"].numpy(), packed.reshape(64, -1))
    assert np.array_equal(ours["m.scales"].numpy(), scales)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("rounder", DATA_FREE)
def test_no_weight_moves_further_than_its_grid_explains(rounder, grid: Grid) -> None:
    weight = weights()
    rounded = rounder(weight, grid).dequantize()
    blocks = as_blocks(weight, grid.group_size)
    spread = (blocks.amax(-1).clamp(min=0) - blocks.amin(-1).clamp(max=0)).unsqueeze(-1)
    # One step of the min-max grid, or two on the symmetric one; searches may clip, hence the factor.
    limit = 2.5 * spread / (grid.top if not grid.symmetric else grid.middle)
    assert bool(((as_blocks(rounded, grid.group_size) - blocks).abs() <= limit).all())


@pytest.mark.parametrize("symmetric", [True, False])
def test_searches_err_less_than_rounding_to_nearest(symmetric: bool) -> None:
    weight, grid = weights(64), Grid(4, 32, symmetric)
    errors = [float((rounder(weight, grid).dequantize() - weight).square().mean()) for rounder in DATA_FREE]
    assert errors[1] < 0.97 * errors[0]
    assert errors[2] < 0.97 * errors[0]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("rounder", DATA_FREE)
def test_an_all_zero_block_stays_zero(rounder, symmetric: bool) -> None:
    weight = weights(4, 64)
    weight[:, :32] = 0
    rounded = rounder(weight, Grid(4, 32, symmetric)).dequantize()
    assert bool(torch.isfinite(rounded).all())
    assert not rounded[:, :32].any()


@pytest.mark.parametrize("rounder", DATA_FREE)
def test_an_outlier_spoils_only_its_own_block(rounder) -> None:
    weight, grid = weights(4, 128), Grid(4, 32, True)
    before = rounder(weight, grid).dequantize()
    weight[0, 5] = 100.0
    after = rounder(weight, grid).dequantize()
    assert abs(float(after[0, 5]) - 100) < 15
    assert torch.equal(before[:, 32:], after[:, 32:])


def test_the_config_block_round_trips_with_overrides() -> None:
    config = QuantizationConfig(
        Grid(4, 32, True),
        overrides={"lm_head": Grid(8, 128, True)},
        fused={"model.layers.0.self_attn.qkv_proj": ("a", "b", "c")},
        lm_head=True,
        algorithm="rtn",
    )
    read = QuantizationConfig.from_json({"quantization_config": config.to_json()})
    assert read.grid_of("lm_head") == Grid(8, 128, True)
    assert read.grid_of("model.layers.0.mlp.down_proj") == Grid(4, 32, True)
    assert read.to_json() == config.to_json()


def test_dequantizing_honours_zero_points() -> None:
    grid = Grid(4, 16, False)
    scales, zeros = torch.tensor([[0.5]]), torch.tensor([[3.0]])
    codes = encode(torch.linspace(-1.5, 6, 16).view(1, 16), scales, zeros, grid)
    assert isinstance(codes, Codes)
    assert torch.allclose(codes.dequantize(), torch.linspace(-1.5, 6, 16).view(1, 16), atol=0.25)
