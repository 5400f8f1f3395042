"""Round to nearest: every weight to the nearest point of its block's min-max grid. Needs no data."""

from __future__ import annotations

from torch import Tensor

from modelpress_plugins.grids.grid import Codes, Grid, as_blocks, encode, minmax


def round_to_nearest(weight: Tensor, grid: Grid) -> Codes:
    """weight: float32 (out, in). The symmetric grid gives the bytes of onnxruntime's default quantizer."""
    scales, zeros = minmax(as_blocks(weight, grid.group_size), grid)
    return encode(weight, scales, zeros, grid)
