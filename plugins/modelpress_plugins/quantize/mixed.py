"""Which modules get more bits: measure what each way to store a module costs, then spend a budget of bytes.

The cost of a module on a grid is the rise of the model's divergence from itself, to second order: with d
the change of a row of the weight, G the Gram matrix of its inputs and r the mean square of the loss's
gradient at that output, 0.5 * sum over rows of r * d G d^T. That is the Kronecker-factored Fisher
information (Martens and Grosse, arXiv 1503.05671) with a diagonal for the outputs; labels are drawn from
the model itself. Gradients come from a backward pass that holds one layer at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from modelpress.api import Checkpoint, UserError
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.nearest import round_to_nearest
from modelpress_plugins.grids.row_blocks import read_weight_rows, row_blocks
from modelpress_plugins.grids.stream import kept_tensors, written_size
from modelpress_plugins.grids.targets import Choice, Targets, find_targets
from modelpress_plugins.quantize.activations import Activations
from modelpress_plugins.quantize.decoder import LayeredDecoder
from modelpress_plugins.quantize.inputs import InputStatistics
from modelpress_plugins.quantize.layer import EVERY_KIND, LayerView, LinearPart
from modelpress_plugins.quantize.layerwise import Calibration

TOKENS = 8192
"""Tokens of the calibration data that the gradients are taken on."""

GROWTH = 1.08
"""The budget when none is given: the size with every module at the lower bits, times this."""

LARGEST_GROUP = 256


@dataclass(frozen=True, slots=True)
class Budget:
    """high_group_size: None tries several. At most one of the last three is given."""

    high_bits: int
    high_group_size: int | None = None
    max_size: int | None = None
    bits_per_weight: float | None = None
    ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to store a module. nbytes: what it takes. cost: what it does to the model."""

    grid: Grid
    nbytes: float
    cost: float


def choose_grids(
    checkpoint: Checkpoint,
    config: Mapping[str, object],
    decoder: LayeredDecoder | None,
    choice: Choice,
    budget: Budget,
    algorithm: str,
    calibration: Calibration | None,
) -> Choice:
    """The choice with more bits for some modules. config: the float model's `config.json`. Without decoder
    and data it is chosen by the weights alone.

    Raises UserError when even the lower bits everywhere do not fit the budget.
    """
    targets = find_targets(checkpoint, config, choice)
    weights = {p.module: (p.stop - p.start) * t.columns for t in targets.all for p in t.parts}
    float_bytes = sum(checkpoint.info(name).nbytes for name in kept_tensors(checkpoint, targets))
    low = sum(weights[p.module] * p.grid.bits_per_weight / 8 for t in targets.all for p in t.parts)
    _room(low, weights, budget, float_bytes)  # before hours of measuring
    if decoder is not None and calibration is not None:
        offers = fisher_offers(checkpoint, decoder, targets, budget, calibration)
    else:
        offers = _weight_offers(checkpoint, targets, budget, algorithm)
    limit = budget.max_size
    while True:
        chosen = spend(offers, weights, budget, float_bytes)
        mixed = _with_more_bits(choice, {m: o.grid for m, o in chosen.items() if o is not offers[m][0]})
        if limit is None:
            return mixed
        size = written_size(checkpoint, find_targets(checkpoint, config, mixed))
        if size <= limit:
            return mixed
        headers = size - float_bytes - sum(offer.nbytes for offer in chosen.values())
        budget = replace(budget, max_size=limit - math.ceil(headers))


def _with_more_bits(choice: Choice, grids: Mapping[str, Grid]) -> Choice:
    more = {
        module: {"bits": grid.bits, "group_size": grid.group_size, "symmetric": grid.symmetric}
        for module, grid in grids.items()
    }
    others = {pattern: given for pattern, given in choice.overrides.items() if pattern not in more}
    return replace(choice, overrides={**more, **others})  # the first that names a module counts


def fisher_offers(
    checkpoint: Checkpoint,
    decoder: LayeredDecoder,
    targets: Targets,
    budget: Budget,
    calibration: Calibration,
) -> dict[str, list[Offer]]:
    """module -> its offers, the lower bits first."""
    kept = _layer_inputs(decoder, _few(calibration.batches, TOKENS), calibration)
    offers: dict[str, list[Offer]] = {}
    gradients = _head_gradients(checkpoint, decoder, targets, kept[-1], budget, offers)
    for index in reversed(range(len(decoder))):
        calibration.progress(2 * len(decoder) - index, 2 * len(decoder), "layers measured")
        view = LayerView(decoder.layer(index), decoder.name(index), targets.of_layer(index))
        gradients = _measure(decoder, view, index, kept[index], gradients, budget, offers)
    return offers


def _measure(
    decoder: LayeredDecoder,
    view: LayerView,
    index: int,
    before: Activations,
    gradients: Sequence[Tensor],
    budget: Budget,
    offers: dict[str, list[Offer]],
) -> list[Tensor]:
    """Add the offers of one layer's modules. gradients: at its outputs, by batch; those at its inputs."""
    rows = _row_weights(view)
    pulled: list[Tensor] = []

    def forward_backward(batch: Tensor) -> Tensor:
        given = batch.to(decoder.device).clone().requires_grad_()
        with torch.enable_grad():
            out = decoder.run(view.module, index, given)
        torch.autograd.backward(out, gradients[len(pulled)].to(decoder.device))
        pulled.append(_gradient_of(given))
        return out

    tokens = sum(batch.shape[0] * batch.shape[1] for batch in before)
    view.gather(forward_backward, before, tokens, EVERY_KIND, to_the_end=True)
    for part in view.parts():
        weights, inputs = rows.mean_square(part, tokens), view.inputs_of(part)
        offers[part.name] = _offers(part.weight, part.grid, weights, inputs, budget)
    return pulled


def grids_offered(low: Grid, columns: int, budget: Budget) -> list[Grid]:
    """The lower bits, then the higher ones in groups of several sizes: at 8 bits a larger group does little
    harm and saves scales."""
    if budget.high_group_size:
        sizes = [budget.high_group_size]
    else:
        sizes = [low.group_size * 2**n for n in range(5) if low.group_size * 2**n <= LARGEST_GROUP]
    high = [Grid(budget.high_bits, size, low.symmetric) for size in sizes if columns % size == 0]
    return [low, *(high or [Grid(budget.high_bits, low.group_size, low.symmetric)])]


def spend(
    offers: Mapping[str, Sequence[Offer]], weights: Mapping[str, int], budget: Budget, float_bytes: int
) -> dict[str, Offer]:
    """The offers that lessen the cost most within the budget: step by step, the most per byte."""
    chosen = {module: given[0] for module, given in offers.items()}
    room = _room(sum(offer.nbytes for offer in chosen.values()), weights, budget, float_bytes)
    low_weights = budget.ratio * sum(weights.values()) if budget.ratio is not None else 0.0
    spare = sum(weights.values()) - low_weights
    while True:
        best: tuple[float, str, Offer] | None = None
        for module, given in offers.items():
            now = chosen[module]
            is_low = now is given[0]
            for offer in given:
                more, gain = offer.nbytes - now.nbytes, now.cost - offer.cost
                if gain <= 0 or more > room or (is_low and weights[module] > spare):
                    continue
                worth = gain / max(more, 1e-9)
                if best is None or worth > best[0]:
                    best = (worth, module, offer)
        if best is None:
            return chosen
        _, module, offer = best
        if chosen[module] is offers[module][0]:
            spare -= weights[module]
        room -= offer.nbytes - chosen[module].nbytes
        chosen[module] = offer


def _room(low: float, weights: Mapping[str, int], budget: Budget, float_bytes: int) -> float:
    """Bytes that are left when every module has the lower bits, which take `low`. Raises UserError when there
    are none."""
    room = _allowed(budget, low, sum(weights.values()), float_bytes) - low
    if room < 0:
        raise UserError(
            f"The budget is {math.ceil(-room):,} bytes too small even with every module at the lower bits.",
            "Raise max_size or bits_per_weight, or lower bits.",
        )
    return room


def _allowed(budget: Budget, low: float, weights: int, float_bytes: int) -> float:
    """Bytes that the quantized modules may take."""
    if budget.max_size is not None:
        return budget.max_size - float_bytes
    if budget.bits_per_weight is not None:
        return budget.bits_per_weight * weights / 8
    if budget.ratio is not None:
        return float("inf")
    return GROWTH * (low + float_bytes) - float_bytes


def _offers(
    weight: Tensor, low: Grid, row_weights: Tensor, inputs: InputStatistics, budget: Budget
) -> list[Offer]:
    """row_weights: (out,), the mean square of the gradient at each output."""
    found = []
    for grid in grids_offered(low, weight.shape[1], budget):
        moved = round_to_nearest(weight.contiguous(), grid).dequantize().sub_(weight)
        cost = 0.5 * inputs.output_error(moved.mul_(row_weights.sqrt().unsqueeze(1)))
        found.append(Offer(grid, weight.numel() * grid.bits_per_weight / 8, cost))
    return found


def _gradient_of(tensor: Tensor) -> Tensor:
    """On the CPU."""
    return torch.zeros_like(tensor).cpu() if tensor.grad is None else tensor.grad.cpu()


def _weight_offers(
    checkpoint: Checkpoint, targets: Targets, budget: Budget, algorithm: str
) -> dict[str, list[Offer]]:
    """By the weights alone: signal-to-noise, or the worst row's mean square (both per weight)."""
    offers: dict[str, list[Offer]] = {}
    for target in targets.all:
        for part in target.parts:
            grids = grids_offered(part.grid, target.columns, budget)
            signal, noise, worst, count = 0.0, [0.0] * len(grids), [0.0] * len(grids), 0
            for start, stop in row_blocks(part.start, part.stop, target.columns):
                weight = read_weight_rows(checkpoint, target.tensor, start, stop)
                signal, count = signal + float(weight.square().sum()), count + weight.numel()
                for at, grid in enumerate(grids):
                    moved = round_to_nearest(weight, grid).dequantize().sub_(weight).square_()
                    noise[at] += float(moved.sum())
                    worst[at] = max(worst[at], float(moved.mean(1).max()))
            costs = [n / max(signal, 1e-30) for n in noise] if algorithm.startswith("snr") else worst
            offers[part.module] = [
                Offer(g, count * g.bits_per_weight / 8, c * count) for g, c in zip(grids, costs, strict=True)
            ]
    return offers


def _few(batches: Sequence[Tensor], tokens: int) -> list[Tensor]:
    """Rows spread over all batches, about that many tokens."""
    every = max(1, sum(batch.numel() for batch in batches) // tokens)
    if all(len(batch) == 1 for batch in batches):
        return list(batches[::every])
    return [batch[::every] for batch in batches]


def _layer_inputs(
    decoder: LayeredDecoder, batches: Sequence[Tensor], calibration: Calibration
) -> list[Activations]:
    """The hidden states before each layer and after the last, of the float model."""
    shapes = [(batch.shape[0], batch.shape[1]) for batch in batches]
    kept: list[Activations] = []
    embedded = list(decoder.embed(batches))
    width = embedded[0].shape[-1]

    def another() -> Activations:
        limit = calibration.limit // (len(decoder) + 1)
        kept.append(Activations(shapes, width, limit, calibration.scratch, f"inputs-{len(kept)}"))
        return kept[-1]

    first = another()
    for at, batch in enumerate(embedded):
        first[at].copy_(batch)
    with torch.no_grad():
        for index in range(len(decoder)):
            calibration.progress(index, 2 * len(decoder), "layers measured")
            layer, before, after = decoder.layer(index), kept[-1], another()
            for at, batch in enumerate(before):
                after[at].copy_(decoder.run(layer, index, batch.to(decoder.device)))
    return kept


def _head_gradients(
    checkpoint: Checkpoint,
    decoder: LayeredDecoder,
    targets: Targets,
    last: Activations,
    budget: Budget,
    offers: dict[str, list[Offer]],
) -> list[Tensor]:
    """The loss's gradient at the hidden states after the last layer; adds the output layer's offers.

    The labels are drawn from the model's own prediction, so that the mean square of the gradient is the
    Fisher information.
    """
    name = targets.head_tensor
    weight = torch.cat(
        [read_weight_rows(checkpoint, name, a, b) for a, b in row_blocks(0, *checkpoint.info(name).shape)]
    ).to(decoder.device)
    norm = decoder.norm()
    generator = torch.Generator().manual_seed(0)
    tokens = sum(b.shape[0] * b.shape[1] for b in last)
    inputs = InputStatistics(weight.shape[1], tokens, decoder.device)
    mean_square = torch.zeros(len(weight), device=decoder.device)
    gradients = []
    for batch in last:
        given = batch.to(decoder.device).clone().requires_grad_()
        with torch.enable_grad():
            normed = norm(given)
        inputs.add(normed)
        pulled = torch.empty_like(normed).view(-1, normed.shape[-1])
        rows = normed.detach().reshape(-1, normed.shape[-1])
        for start, stop in row_blocks(0, len(rows), len(weight)):
            error = torch.softmax(rows[start:stop] @ weight.T, -1)
            mean_square += (error * (1 - error)).sum(0)  # its expectation over the labels
            labels = torch.multinomial(error.cpu(), 1, generator=generator).to(decoder.device)
            error.scatter_add_(1, labels, torch.full_like(labels, -1, dtype=error.dtype))
            pulled[start:stop] = error @ weight
        torch.autograd.backward(normed, pulled.view_as(normed))
        gradients.append(_gradient_of(given))
    inputs.finish()
    mean_square /= tokens
    if targets.lm_head is not None:
        (part,) = targets.lm_head.parts
        offers[part.module] = _offers(weight, part.grid, mean_square, inputs, budget)
    return gradients


class _RowWeights:
    """Sums of squared gradients at the outputs of linear modules: (out,) for each."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}

    def mean_square(self, part: LinearPart, tokens: int) -> Tensor:
        return self.sums[part.linear_name][part.first_row : part.first_row + part.rows] / tokens


def _row_weights(view: LayerView) -> _RowWeights:
    """Watch the layer's linear modules; each backward pass adds to the sums."""
    found = _RowWeights()

    def watch(name: str) -> Callable[[object, object, Tensor], None]:
        def forward_hook(module: object, args: object, output: Tensor) -> None:
            if output.requires_grad:
                output.register_hook(add)  # type: ignore[no-untyped-call]

        def add(gradient: Tensor) -> None:
            squares = gradient.reshape(-1, gradient.shape[-1]).square().sum(0)
            found.sums[name] = found.sums.get(name, 0) + squares

        return forward_hook

    for name in {part.linear_name for part in view.parts()}:
        view.module.get_submodule(name).register_forward_hook(watch(name))
    return found
