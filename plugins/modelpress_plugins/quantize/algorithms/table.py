"""The algorithms of `quantize`, one row each. Passes, their options, the command and the docs come from here.

A new algorithm is its module and a row. The table is read for every listing, so it holds names only: the
module behind `code` is imported where weights are quantized.
"""

from __future__ import annotations

from typing import NamedTuple

from modelpress.api import Rename

_HERE = "modelpress_plugins.quantize.algorithms"


class Option(NamedTuple):
    """An option that one algorithm has. Its type is that of its default; ge … lt: its range."""

    name: str
    default: bool | int | float
    description: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None


class Row(NamedTuple):
    """An algorithm.

    name, summary: of the pass
    code:    `module:attribute`, called with the row's options by name. With calibrated False it is a function
             (weight, grid, **options) -> Codes, given some rows at a time; with True a class that implements
             `layerwise.Algorithm`.
    renames: older names of its own options; those that all have are in the plugin's entry module
    group_size: the default, as Olive has it
    """

    name: str
    summary: str
    code: str
    calibrated: bool = False
    options: tuple[Option, ...] = ()
    renames: tuple[Rename, ...] = ()
    group_size: int = 128
    version: int = 2

    @property
    def key(self) -> str:
        """What `config.json` calls it, and the option `quantizer`: `gptq`."""
        return self.name.lower()


_LAYERWISE = "One decoder layer and its activations are held at a time."
_CLIPPING = (
    Option("n_grid", 20, "Steps of the clipping search over the range.", ge=2, le=100),
    Option("max_shrink", 0.5, "Share of a range that may be clipped.", ge=0, lt=1),
)

ROWS: tuple[Row, ...] = (
    Row(
        name="Rtn",
        summary="Quantize by rounding to nearest. Needs no data; fastest, least exact.",
        code="modelpress_plugins.grids.nearest:round_to_nearest",
    ),
    Row(
        name="KQuant",
        summary="Quantize with a search over each block's range, large weights counting more. Needs no data.",
        code="modelpress_plugins.grids.kquant:k_quant",
        group_size=32,
    ),
    Row(
        name="Hqq",
        summary="Quantize by half-quadratic optimization, robust to outliers. Needs no data; best of those.",
        code="modelpress_plugins.grids.half_quadratic:half_quadratic",
    ),
    Row(
        name="Gptq",
        summary=f"Quantize column by column, carrying errors over, on calibration data. {_LAYERWISE}",
        code=f"{_HERE}.gptq:Gptq",
        calibrated=True,
        options=(
            Option(
                "damp_percent",
                0.01,
                "Added to the diagonal of the inputs' Gram matrix, as a share of its mean.",
                gt=0,
                le=1,
            ),
            Option("group_aware", True, "Order groups, and columns within groups, by their inputs."),
        ),
        renames=(
            Rename(
                "desc_act",
                None,
                "Columns cannot be ordered across groups in an ONNX model; group_aware, on by default, gives "
                "its quality.",
            ),
            Rename("static_groups", None, "Groups are fitted as the columns are reached."),
            Rename("damp_auto_increment", None, "Damping grows tenfold until it suffices."),
            Rename("mse", None, "The error of each group is what its grid is searched for."),
            Rename("device", None, "A pass runs where its host says."),
            Rename("layers_block_name", None, "Layers are found by themselves."),
            Rename("outside_layer_modules", None, "Layers are found by themselves."),
            Rename("inside_layer_modules", None, "Layers are found by themselves."),
            Rename("moe_fallback_threshold", None, "Mixture-of-experts layers are not quantized."),
            Rename("moe_fallback_min_k_multiple", None, "Mixture-of-experts layers are not quantized."),
        ),
    ),
    Row(
        name="Awq",
        summary=f"Quantize with activation-aware scaling and clipping, on calibration data. {_LAYERWISE}",
        code=f"{_HERE}.awq:Awq",
        calibrated=True,
        options=_CLIPPING,
        renames=(
            Rename("zero_point", "sym", values={True: False, False: True}),
            Rename("input_model_dtype", None, "Layers are computed in float32, whatever the weights are."),
            Rename("version", None, "The kernel is chosen where the model runs."),
            Rename("duo_scaling", None, "Scales by inputs alone and by both are tried; the better counts."),
            Rename("export_compatible", None, "The quantized weights are what is written."),
            Rename("pack_model_for_onnx_conversion", None, "ModelBuilder reads what is written."),
        ),
    ),
    Row(
        name="AutoClip",
        summary=f"Quantize with each block's range clipped for least output error. {_LAYERWISE}",
        code=f"{_HERE}.clip:AutoClip",
        calibrated=True,
        options=_CLIPPING,
        renames=(Rename("n_sample_token", None, "All calibration tokens count."),),
    ),
)
