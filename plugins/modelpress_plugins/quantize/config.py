"""Options of the quantizers, under Olive's names. Those of one algorithm alone come from its row."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, create_model

from modelpress.api import DataRole, Options, Searchable, Size
from modelpress_plugins.grids.given import Given
from modelpress_plugins.quantize.algorithms import table
from modelpress_plugins.quantize.algorithms.table import Row

Bits = Literal[2, 4, 8]
GroupSize = Literal[-1, 16, 32, 64, 128, 256]


class ModuleOverride(Options):
    """What is different for some modules; what is left out is as for all."""

    bits: Bits | None = None
    group_size: GroupSize | None = None
    symmetric: bool | None = None

    def said(self) -> Given:
        """What is not left out."""
        given = {"bits": self.bits, "group_size": self.group_size, "symmetric": self.symmetric}
        return {name: value for name, value in given.items() if value is not None}


class GridOptions(Options):
    """What is quantized, and how finely."""

    bits: Annotated[Bits, Searchable((4, 8), by_default=False)] = Field(
        default=4, description="Bits of a weight: 2, 4 or 8."
    )
    group_size: Annotated[GroupSize, Searchable((32, 64, 128))] = Field(
        default=128,
        description="Weights along a row that share a scale: 16, 32, 64, 128 or 256; -1 for the whole row, "
        "which is stored in groups of 256, the largest that the runtime has. A module whose inputs it does "
        "not divide gets the next smaller that does.",
    )
    sym: Annotated[bool, Searchable((False, True))] = Field(
        default=False,
        description="Symmetric: no zero points. Some CPUs without AVX-512 decode zero points wrongly at the "
        "fastest accuracy level of onnxruntime; ModelBuilder finds that out and takes another level.",
    )
    lm_head: bool = Field(
        default=False,
        description="Quantize the output layer too. If not, an int4 build of the model rounds it to nearest.",
    )
    modules_to_not_convert: list[str] | None = Field(
        default=None,
        description="Modules that stay as they are: a part of the name, or `re:` and a regular expression "
        "for all of it. Decoder layers can then not be built into an int4 model.",
    )
    overrides: dict[str, ModuleOverride] = Field(
        default_factory=dict,
        description="Other bits, group_size or symmetric for some modules: by name, or `re:` and a regular "
        "expression for the whole name. They count for more than marks of SelectiveMixedPrecision.",
    )


class DataOptions(Options):
    """What is calibrated on."""

    data_config: Annotated[str | None, DataRole("calibration")] = Field(
        default=None,
        description="Name of the data to calibrate on: some hundred samples like those the model will see. "
        "Left out: a short text that comes with modelpress.",
    )
    calibration_tokens: int = Field(
        default=65536, ge=64, description="Tokens of the data that are used at most, from its beginning."
    )
    activation_memory: Size = Field(
        default="1GB",
        description='Activations that may be held in memory, in bytes or like "1GB"; more go to the disk.',
    )


class QuantizerConfig(GridOptions):
    """What all quantizers have in common. row: the algorithm."""

    row: ClassVar[Row]

    embeds: bool = Field(
        default=False,
        description="Quantize the input embedding too. Possible where the model ties it to the output layer, "
        "which has to be quantized then (`lm_head`): both use the same codes. If not, it stays in float.",
    )


class CalibratedConfig(QuantizerConfig, DataOptions):
    """What the quantizers that need data have in common."""

    true_sequential: bool = Field(
        default=False,
        description="Within a layer, look at the inputs of each projection after those before it are "
        "quantized. Takes more time.",
    )


class SelectiveMixedPrecisionConfig(GridOptions, DataOptions):
    """More bits for the most sensitive modules."""

    algorithm: Annotated[
        Literal[
            "fisher",
            "kld_gradient",
            "snr",
            "snr_relative",
            "iqe",
            "iqe_relative",
            "k_quant_mixed",
            "k_quant_last",
            "k_quant_down",
        ],
        Searchable(("k_quant_down", "k_quant_mixed")),
    ] = Field(
        default="fisher",
        description="`fisher` (Olive's name: `kld_gradient`): by the rise of the model's own divergence, "
        "from gradients, layer by layer. `snr` … `iqe_relative`: by the weights alone. `k_quant_last`: the "
        "output layer; `k_quant_down`: that and down_proj of the first and last eighth of the layers and of "
        "every third between; `k_quant_mixed`: q, k and v of those layers too.",
    )
    high_bits: Literal[4, 8] = Field(default=8, description="Bits of the modules that get more.")
    high_group_size: GroupSize | None = Field(
        default=None, description="Their group_size; the best for the budget when left out."
    )
    max_size: Size | None = Field(
        default=None,
        description='Size of the weights files once quantized, in bytes or like "250MB": no more is written.',
    )
    bits_per_weight: float | None = Field(
        default=None, gt=0, description="Mean bits of a quantized weight, scales and zero points counted."
    )
    ratio: float | None = Field(
        default=None, ge=0, le=1, description="Share of the weights that stay at the lower bits."
    )


class QuaRotConfig(Options):
    """Rotate weights."""

    rotate_mode: Literal["hadamard", "random"] = Field(
        default="hadamard",
        description="`hadamard`: a randomized Hadamard matrix where the size allows, else as `random`; "
        "`random`: a random orthogonal matrix.",
    )
    seed: int = Field(default=0, ge=0, description="Of the random signs or matrix.")


def __getattr__(name: str) -> type[QuantizerConfig]:
    """`GptqConfig`, `RtnConfig` …: made of an algorithm's row."""
    row = next((row for row in table.ROWS if f"{row.name}Config" == name), None)
    if row is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return options_of(row)


_MADE: dict[str, type[QuantizerConfig]] = {}


def options_of(row: Row) -> type[QuantizerConfig]:
    """The options of an algorithm: what all have, what those have that need data, and its own."""
    if row.name in _MADE and _MADE[row.name].row is row:
        return _MADE[row.name]
    own: dict[str, Any] = {
        option.name: (
            type(option.default),
            Field(
                default=option.default,
                description=option.description,
                ge=option.ge,
                gt=option.gt,
                le=option.le,
                lt=option.lt,
            ),
        )
        for option in row.options
    }
    group_size = GridOptions.model_fields["group_size"]
    if row.group_size != group_size.default:
        own["group_size"] = (GroupSize, Field(default=row.group_size, description=group_size.description))
    base = CalibratedConfig if row.calibrated else QuantizerConfig
    made: type[QuantizerConfig] = create_model(
        f"{row.name}Config", __base__=base, __doc__=row.summary, __module__=__name__, **own
    )
    made.row = row
    _MADE[row.name] = made
    return made
