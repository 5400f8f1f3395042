"""SelectiveMixedPrecision: say which modules get more bits. No weight is changed, none is copied."""

from __future__ import annotations

from dataclasses import replace

from modelpress.api import Artifact, Checkpoint, PassContext, parse_size
from modelpress_plugins.grids.given import Given
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.stream import read_float_config
from modelpress_plugins.grids.targets import Targets, find_targets
from modelpress_plugins.quantize.calibration import calibration_of
from modelpress_plugins.quantize.config import SelectiveMixedPrecisionConfig
from modelpress_plugins.quantize.decoder import LayeredDecoder
from modelpress_plugins.quantize.layerwise import Calibration
from modelpress_plugins.quantize.marks import FORMAT, Marks, write_marks
from modelpress_plugins.quantize.mixed import Budget, choose_grids
from modelpress_plugins.quantize.plan import MEASURED_ON_DATA
from modelpress_plugins.quantize.run import choice_of
from modelpress_plugins.quantize.run_calibrated import device_of

LISTS = {"k_quant_last": (), "k_quant_down": ("down",), "k_quant_mixed": ("q", "k", "v", "down")}
"""Algorithm -> the projections that it marks in some layers, beside the output layer."""


def mark(model: Artifact, config: SelectiveMixedPrecisionConfig, ctx: PassContext) -> Artifact:
    """Gives a folder with the marks alone; its base is the model."""
    with Checkpoint(model.path) as checkpoint:
        listed = config.algorithm in LISTS
        marks = _listed(checkpoint, model, config) if listed else _measured(checkpoint, model, config, ctx)
    more = sum(given.get("bits", config.bits) > config.bits for given in marks.overrides.values())
    ctx.report("modules_with_more_bits", more)
    write_marks(ctx.out, marks)
    return ctx.artifact(FORMAT, base=model, meta=model.meta)


def _listed(checkpoint: Checkpoint, model: Artifact, config: SelectiveMixedPrecisionConfig) -> Marks:
    choice = replace(choice_of(config), lm_head=True)
    targets = find_targets(checkpoint, read_float_config(model.path), choice)
    high: Given = {"bits": config.high_bits}
    own = {module: given.said() for module, given in config.overrides.items()}
    return Marks(
        {"bits": config.bits}, {**dict.fromkeys(listed_modules(targets, config.algorithm), high), **own}
    )


def listed_modules(targets: Targets, algorithm: str) -> list[str]:
    """Names of the modules that get more bits by one of the lists; the output layer is always among them."""
    kinds, count = LISTS[algorithm], 1 + max(t.layer or 0 for t in targets.all)
    return ["lm_head"] + [
        part.module
        for target in targets.all
        if target.layer is not None and is_listed(target.layer, count)
        for part in target.parts
        if part.role in kinds
    ]


def is_listed(layer: int, count: int) -> bool:
    """The first and the last eighth of the layers, and every third between."""
    return layer < count / 8 or layer >= 7 * count / 8 or (layer - count // 8) % 3 == 2


def _measured(
    checkpoint: Checkpoint, model: Artifact, config: SelectiveMixedPrecisionConfig, ctx: PassContext
) -> Marks:
    float_config = read_float_config(model.path)
    budget = Budget(
        config.high_bits,
        config.high_group_size,
        None if config.max_size is None else parse_size(config.max_size),
        config.bits_per_weight,
        config.ratio,
    )
    decoder: LayeredDecoder | None = None
    calibration: Calibration | None = None
    if config.algorithm in MEASURED_ON_DATA:
        decoder = LayeredDecoder(checkpoint, model.meta.trust_remote_code, device_of(ctx))
        calibration = calibration_of(model, config, ctx)
    plain = choice_of(config)
    chosen = choose_grids(checkpoint, float_config, decoder, plain, budget, config.algorithm, calibration)
    base = replace(plain, overrides={})
    marks: dict[str, Given] = {}
    for target in find_targets(checkpoint, float_config, chosen).all:
        for part in target.parts:
            if part.grid != base.grid_of(part.module, target.columns):
                marks[part.module] = _given(part.grid)
    return Marks(_given(plain.grid), marks)


def _given(grid: Grid) -> Given:
    return {"bits": grid.bits, "group_size": grid.group_size, "symmetric": grid.symmetric}
