"""Quantize the weights of a Hugging Face model to 2, 4 or 8 bits, layer by layer, into one layout."""

from __future__ import annotations

from modelpress.api import CommandSpec, FormatSpec, PassSpec, Rename, hookimpl
from modelpress_plugins.quantize.algorithms.table import ROWS, Row
from modelpress_plugins.ranges import ACCELERATE, TORCH, TRANSFORMERS

MODELPRESS_API = 1

_RENAMES = (
    Rename("block_size", "group_size"),
    Rename("is_symmetric", "sym"),
    Rename("symmetric", "sym"),
    Rename("w_bit", "bits"),
    Rename("q_group_size", "group_size"),
    Rename("quantize_vision", None, "Only the decoder is quantized."),
    Rename("moe", None, "Mixture-of-experts layers are not quantized."),
)
_CALIBRATED = (TORCH, TRANSFORMERS, ACCELERATE)


@hookimpl
def modelpress_passes() -> list[PassSpec]:
    return [*(pass_of(row) for row in ROWS), _MIXED_PRECISION, _QUAROT]


@hookimpl
def modelpress_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="quantize",
            summary="Quantize a model, without a workflow file.",
            command="modelpress_plugins.quantize.command:command",
        )
    ]


@hookimpl
def modelpress_formats() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="hf-marked",
            summary="A Hugging Face model with marks for a quantizer; the weights lie in its base.",
            check="modelpress_plugins.quantize.marks:check_marks",
        )
    ]


def pass_of(row: Row) -> PassSpec:
    """The pass that an algorithm is."""
    return PassSpec(
        name=row.name,
        summary=row.summary,
        accepts=("hf-model", "hf-marked"),
        produces="hf-model",
        run=f"modelpress_plugins.quantize.{'run_calibrated' if row.calibrated else 'run'}:quantize",
        config=f"modelpress_plugins.quantize.config:{row.name}Config",
        plan="modelpress_plugins.quantize.plan:plan",
        requires=_CALIBRATED if row.calibrated else (TORCH,),
        extra="train",
        version=row.version,
        by_threads=row.calibrated,
        renames=(*_RENAMES, *row.renames),
    )


_MIXED_PRECISION = PassSpec(
    name="SelectiveMixedPrecision",
    summary="Mark the modules that get more bits, by measure or by list. A quantizer has to follow.",
    accepts=("hf-model",),
    produces="hf-marked",
    run="modelpress_plugins.quantize.run_marks:mark",
    config="modelpress_plugins.quantize.config:SelectiveMixedPrecisionConfig",
    plan="modelpress_plugins.quantize.plan:plan_marks",
    requires=_CALIBRATED,
    extra="train",
    version=2,
    by_threads=True,
    renames=(
        *_RENAMES,
        Rename("quantizer", None, "It marks only; the quantizer that follows takes the marks."),
        Rename("high_sym", None, "Modules with more bits are symmetric where the others are."),
        Rename("kld_memory_mode", None, "One layer is held at a time, always."),
    ),
)
_QUAROT = PassSpec(
    name="QuaRot",
    summary="Rotate weights so that none stands out; the model computes the same. Quantize after.",
    accepts=("hf-model",),
    produces="hf-model",
    run="modelpress_plugins.quantize.run_rotation:quarot",
    config="modelpress_plugins.quantize.config:QuaRotConfig",
    plan="modelpress_plugins.quantize.plan:plan_rotation",
    requires=_CALIBRATED,
    extra="train",
)
