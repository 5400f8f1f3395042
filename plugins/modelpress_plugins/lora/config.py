"""Options of the adapter passes, under Olive's names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelpress.api import DataRole, Options
from modelpress_plugins.lora.training_args import TrainingArgs

Dtype = Literal["auto", "float32", "float16", "bfloat16"]


class AdapterConfig(Options):
    """What all adapters have in common."""

    train_data_config: Annotated[str, DataRole("train")] = Field(description="Name of the data to train on.")
    eval_data_config: Annotated[str | None, DataRole("eval")] = Field(
        default=None, description="Name of the data to evaluate the loss on."
    )
    eval_dataset_size: int | float | None = Field(
        default=None,
        gt=0,
        description="Cut this much off the training data for evaluation: a share in (0, 1), or a count of "
        "rows. Equal rows stay on one side.",
    )
    training_args: TrainingArgs = Field(
        default_factory=TrainingArgs, description="Arguments of transformers' Trainer."
    )
    r: int = Field(default=64, ge=1, description="Rank of the adapter.")
    alpha: int = Field(default=16, ge=1, description="The change is scaled by alpha / r.")
    target_modules: list[str] | str = Field(
        default="all-linear",
        min_length=1,
        description="Modules that get an adapter: names (the last parts of the path are enough), one regular "
        "expression for the whole path, or `all-linear`: every linear layer but the output layer.",
    )
    exclude_modules: list[str] | str | None = Field(default=None, description="Modules that get none.")
    layers_to_transform: list[int] | int | None = Field(
        default=None, description="Indices of the layers that get an adapter; all when left out."
    )
    layers_pattern: list[str] | str | None = Field(
        default=None, description="Name of the list of layers, where it is not a common one."
    )
    modules_to_save: list[str] | None = Field(
        default=None, description="Modules that are trained in full and saved with the adapter."
    )
    rank_pattern: dict[str, int] = Field(
        default_factory=dict, description="Other ranks by module name or regular expression."
    )
    alpha_pattern: dict[str, int] = Field(
        default_factory=dict, description="Other alphas by module name or regular expression."
    )
    num_workers: int = Field(
        default=1,
        ge=1,
        description="Processes that train together, each with its share of every batch: the global batch is "
        "as many times per_device_train_batch_size. On a Ray system they are where the cluster has room.",
    )
    torch_dtype: Dtype = Field(
        default="auto",
        description="Type of the frozen weights while training; the adapter itself is float32. `auto`: "
        "float32 on a CPU, bfloat16 on a GPU that has it.",
    )


class LowRankConfig(AdapterConfig):
    """What LoRA and its relatives have in common."""

    lora_dropout: float = Field(default=0.05, ge=0, lt=1, description="Share of inputs that are dropped.")
    bias: Literal["none", "all", "lora_only"] = Field(
        default="none", description="Which biases are trained along."
    )
    use_rslora: bool = Field(
        default=False, description="Scale by alpha / sqrt(r), steadier at high ranks (arXiv 2312.03732)."
    )
    init_lora_weights: bool | Literal["gaussian", "orthogonal"] = Field(
        default=True,
        description="How the adapter starts. Ways that change the base itself (pissa, olora, loftq, corda) "
        "are not offered: their adapter would not fit the base that it names.",
    )
    ephemeral_gpu_offload: bool = Field(
        default=False, description="Do DoRA's set-up on the GPU even when the weights are not there."
    )


class LoRAConfig(LowRankConfig):
    """LoRA, arXiv 2106.09685."""

    use_dora: bool = Field(default=False, description="Train as DoRA does.")


class DoRAConfig(LowRankConfig):
    """DoRA, arXiv 2402.09353."""


class QLoRAConfig(LoRAConfig):
    """QLoRA, arXiv 2305.14314: the base is held in 4 bits by bitsandbytes while the adapter trains."""

    quant_type: Literal["nf4", "fp4"] = Field(default="nf4", description="The 4-bit type of the base.")
    double_quant: bool = Field(default=False, description="Quantize the scales, too.")
    compute_dtype: Dtype = Field(
        default="auto", description="Type in which the 4-bit weights are multiplied; `auto` as torch_dtype."
    )


class _ProductConfig(AdapterConfig):
    rank_dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of ranks that are dropped.")
    module_dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of modules that are dropped.")
    use_effective_conv2d: bool = Field(
        default=False,
        description="Decompose convolutions larger than 1 x 1 in the smaller form.",
    )
    init_weights: bool = Field(default=True, description="Start with a change of zero.")


class LoHaConfig(_ProductConfig):
    """LoHa, arXiv 2108.06098."""


class LoKrConfig(_ProductConfig):
    """LoKr, arXiv 2309.14859."""

    decompose_both: bool = Field(default=False, description="Give both factors a low rank.")
    decompose_factor: int = Field(default=-1, description="Size of the first factor; -1 for near the root.")
    rank_dropout_scale: bool = Field(default=False, description="Scale up what rank_dropout leaves.")
