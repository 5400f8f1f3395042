"""Orthogonal matrices that are quick to apply: a randomized Hadamard matrix for any size."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Rotation:
    """x -> x Q, with Q = diag(signs) (O (x) H), H a Hadamard matrix of the largest power of two that divides
    size, O a random orthogonal matrix for the rest. With dense=True, Q is a random orthogonal matrix."""

    def __init__(self, size: int, generator: torch.Generator, dense: bool = False) -> None:
        power = 1 if dense else size & -size
        left = 2 ** (int(math.log2(power)) // 2)
        signs = torch.randint(0, 2, (size,), generator=generator) * 2.0 - 1.0
        self._signs = signs
        self._factors = (_orthogonal(size // power, generator), hadamard(left), hadamard(power // left))

    def rows(self, weight: Tensor) -> Tensor:
        """weight Q, for (rows, size)."""
        first, middle, last = self._factors
        x = (weight * self._signs).view(-1, len(first), len(middle), len(last))
        x = torch.einsum("rabc,ad->rdbc", x, first) if len(first) > 1 else x
        return torch.matmul(middle.T, torch.matmul(x, last)).reshape(weight.shape)

    def columns(self, weight: Tensor) -> Tensor:
        """Q^T weight, for (size, columns)."""
        return self.rows(weight.T.contiguous()).T.contiguous()

    def heads(self, weight: Tensor) -> Tensor:
        """weight with every run of `size` columns rotated, for (rows, n * size)."""
        return self.rows(weight.reshape(-1, len(self._signs))).view(weight.shape)


def hadamard(size: int) -> Tensor:
    """The normalized Sylvester Hadamard matrix of a power of two; symmetric."""
    matrix: Tensor = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / math.sqrt(size)


def _orthogonal(size: int, generator: torch.Generator) -> Tensor:
    if size == 1:
        return torch.ones(1, 1)
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    rotation: Tensor = q * torch.sign(torch.diagonal(r))
    return rotation.float()
