"""What the plan can tell of arrays before any is loaded, and what is wrong with them. Light."""

from __future__ import annotations

from dataclasses import replace

from modelpress.api import ArrayFacts, DataFacts, PlanContext, installed_versions
from modelpress_plugins.tensor_data.config import PreProcessImages, TensorDataOptions
from modelpress_plugins.tensor_data.files import IMAGES, FaultyData, arrays_of, samples_of

_LOOKED_AT = 256
"""Samples whose headers are read."""
_PRE = "pre_process_data_config"


def describe_arrays(config: TensorDataOptions, ctx: PlanContext) -> DataFacts:
    """For DataContainerSpec.describe."""
    load = config.load_dataset_config
    _check(config, ctx)
    try:
        samples = samples_of(load)
        arrays = arrays_of(samples[0], config)
        for sample in samples[1:_LOOKED_AT]:
            _require_alike(sample.by_input, arrays, arrays_of(sample, config), stacked=load.stacked)
        rows = _rows([arrays_of(s, config) for s in samples]) if load.stacked else len(samples)
    except FaultyData as error:
        ctx.problem(error.message, error.hint, option=error.option)
        return DataFacts()
    files = [file for sample in samples for file in sample.by_input.values()]
    if any(f.suffix.lower() in IMAGES for f in files) and not installed_versions(["pillow"]):
        ctx.problem("Images need Pillow, which is not installed.", "pip install pillow", kind="dependency")
    if load.stacked:
        arrays = {name: replace(array, shape=array.shape[1:]) for name, array in arrays.items()}
    return DataFacts(tuple(arrays), min(rows, load.max_samples or rows), arrays)


def _check(config: TensorDataOptions, ctx: PlanContext) -> None:
    load, pre = config.load_dataset_config, config.pre_process_data_config
    if load.type not in (None, "raw_dataset"):
        ctx.problem(
            f"There is no component {load.type!r} for arrays.",
            "Leave type out.",
            option="load_dataset_config.type",
        )
    count = 1 if pre.channels == "gray" else 3
    for option in ("mean", "std"):
        given = len(getattr(pre, option))
        if given not in (1, count):
            ctx.problem(
                f"{option} has {given} numbers, and an image {count} channels.", option=f"{_PRE}.{option}"
            )
    written = pre.model_fields_set & {"scale", "mean", "std"}
    if pre.dtype == "uint8" and written:
        ctx.problem(
            f"With dtype uint8 pixels stay as they are, and {', '.join(sorted(written))} has no effect.",
            "Leave it out, or set dtype: float32.",
            option=f"{_PRE}.dtype",
        )
    _tell_idle(pre, config, ctx)


def _tell_idle(pre: PreProcessImages, config: TensorDataOptions, ctx: PlanContext) -> None:
    try:
        files = [f for s in samples_of(config.load_dataset_config) for f in s.by_input.values()]
    except FaultyData:
        return
    if pre.model_fields_set - {"type"} and not any(file.suffix.lower() in IMAGES for file in files):
        ctx.note("pre_process_data_config has no effect: there are no images among the files.")


def _require_alike(
    files: object, first: dict[str, ArrayFacts], other: dict[str, ArrayFacts], *, stacked: bool
) -> None:
    if first.keys() != other.keys():
        raise FaultyData(
            f"The samples differ: one has {', '.join(sorted(first))}, another {', '.join(sorted(other))}."
        )
    for name, array in first.items():
        if other[name].dtype != array.dtype or len(other[name].shape) != len(array.shape):
            raise FaultyData(
                f"The samples differ: {name} is {array}, and in another {other[name]}.",
                "Give all samples arrays of the same type, with as many dimensions.",
            )


def _rows(samples: list[dict[str, ArrayFacts]]) -> int:
    """Samples in stacked arrays. Raises FaultyData when those of a file hold other numbers of them."""
    total = 0
    for arrays in samples:
        counts = {name: array.shape[0] if array.shape else 0 for name, array in arrays.items()}
        if len(set(counts.values())) != 1 or not all(counts.values()):
            told = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
            raise FaultyData(
                f"Stacked arrays have the same first dimension; these are {told}.",
                option="load_dataset_config.stacked",
            )
        total += next(iter(counts.values()))
    return total
