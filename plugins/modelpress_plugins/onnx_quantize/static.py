"""Static quantization by onnxruntime's own calibrators and quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnxruntime.quantization import (  # type: ignore[import-untyped]
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    StaticQuantConfig,
    quantize,
)
from onnxruntime.quantization.execution_providers.qnn import (  # type: ignore[import-untyped]
    get_qnn_qdq_config,
)
from onnxruntime.quantization.quantize import get_qdq_config  # type: ignore[import-untyped]

from modelpress.api import JSONValue
from modelpress_plugins.onnx_quantize.config import StaticOptions

TYPES: Mapping[str, QuantType] = {
    "int4": QuantType.QInt4,
    "uint4": QuantType.QUInt4,
    "int8": QuantType.QInt8,
    "uint8": QuantType.QUInt8,
    "int16": QuantType.QInt16,
    "uint16": QuantType.QUInt16,
}
QNN = "QNNExecutionProvider"


def quantize_static(
    source: Path,
    out: Path,
    reader: CalibrationDataReader,
    config: StaticOptions,
    excluded: tuple[str, ...],
    extra: Mapping[str, JSONValue],
    target: str,
) -> None:
    """Write the quantized graph, with its weights beside it. target: an execution provider."""
    told = _full_range(source, reader, config, excluded, extra, target) if _whole(config) else None
    quantize(str(source), str(out), told or _plain(reader, config, excluded, extra))


def _whole(config: StaticOptions) -> bool:
    """Whether the whole graph is to be of integers, as NPUs want it."""
    return config.quant_format == "QDQ" and config.prepare_qdq_config


def _plain(
    reader: CalibrationDataReader,
    config: StaticOptions,
    excluded: tuple[str, ...],
    extra: Mapping[str, JSONValue],
) -> StaticQuantConfig:
    return StaticQuantConfig(
        reader,
        calibrate_method=CalibrationMethod[config.calibrate_method],
        quant_format=QuantFormat[config.quant_format],
        activation_type=TYPES[config.activation_type],
        weight_type=TYPES[config.precision],
        op_types_to_quantize=list(config.op_types_to_quantize or ()),
        nodes_to_quantize=list(config.nodes_to_quantize or ()),
        nodes_to_exclude=list(excluded),
        per_channel=config.per_channel,
        reduce_range=config.reduce_range,
        use_external_data_format=True,
        calibration_providers=list(config.calibration_providers or ()) or None,
        extra_options=_typed(extra),
    )


def _full_range(
    source: Path,
    reader: CalibrationDataReader,
    config: StaticOptions,
    excluded: tuple[str, ...],
    extra: Mapping[str, JSONValue],
    target: str,
) -> StaticQuantConfig:
    own = _typed(extra)
    given = {
        "calibrate_method": CalibrationMethod[config.calibrate_method],
        "activation_type": TYPES[config.activation_type],
        "weight_type": TYPES[config.precision],
        "per_channel": config.per_channel,
        "activation_symmetric": own.pop("ActivationSymmetric", False),
        "weight_symmetric": own.pop("WeightSymmetric", None),
        "calibration_providers": list(config.calibration_providers or ()) or None,
        "op_types_to_quantize": list(config.op_types_to_quantize or ()) or None,
        "nodes_to_exclude": list(excluded) or None,
    }
    least, overrides = own.pop("MinimumRealRange", None), own.pop("TensorQuantOverrides", None)
    if target == QNN:
        made = get_qnn_qdq_config(str(source), reader, init_overrides=overrides, **given)
        made.extra_options.update(own)
    else:
        made = get_qdq_config(
            str(source), reader, min_real_range=least, tensor_quant_overrides=overrides,
            reduce_range=config.reduce_range, extra_options=own or None, **given,
        )  # fmt: skip
    made.nodes_to_quantize = list(config.nodes_to_quantize or ())
    made.use_external_data_format = True
    return made


def _typed(extra: Mapping[str, JSONValue]) -> dict[str, object]:
    """Options with types of onnxruntime where JSON has text: `quant_type` of overrides."""
    typed: dict[str, object] = dict(extra)
    overrides = extra.get("TensorQuantOverrides")
    if isinstance(overrides, Mapping):
        typed["TensorQuantOverrides"] = {
            name: [_override(one) for one in each] if isinstance(each, list) else each
            for name, each in overrides.items()
        }
    return typed


def _override(told: object) -> object:
    if not isinstance(told, Mapping):
        return told
    return {
        key: TYPES.get(value.lower().removeprefix("q"), value)
        if key == "quant_type" and isinstance(value, str)
        else _override(value)
        for key, value in told.items()
    }
