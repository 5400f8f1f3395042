"""HQQ: half-quadratic quantization, data-free, with whole zero points and groups along the row.

Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models" (2023),
https://mobiusml.github.io/hqq_blog/. Minimizes the lp norm (p < 1) of the error, which forgives outliers,
by alternating between e, a shrunken copy of the error, and the grid that fits weight - e.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modelpress_plugins.quantize.grid import Codes, Grid, as_blocks, codes_of, encode, minmax
from modelpress_plugins.quantize.kquant import fit_scales

ITERATIONS = 20
NORM = 0.7
BETA, GROWTH = 10.0, 1.01


def half_quadratic(weight: Tensor, grid: Grid) -> Codes:
    raise NotImplementedError
