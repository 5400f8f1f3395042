"""What an adapter folder says it changes, read from its config and its tensor names. No torch.

The arithmetic that each kind stands for is in the pass that merges.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelpress.api import Checkpoint, UserError
from modelpress_plugins.hf.config import read_adapter_config
from modelpress_plugins.hf.families import EMBEDDINGS, HEADS, IN_MEMORY

STEM = "adapter_model"

_PREFIXES = ("base_model.model.", "base_model.")
_LOW_RANK = re.compile(
    r"(?P<module>.+?)\.(?P<part>lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|hada_(?:w[12]_[ab]|t[12])"
    r"|lokr_(?:w[12](?:_[ab])?|t2))(?P<bias>\.bias)?(?:\.weight)?"
)
_TOKENS = re.compile(r"(?P<module>.+?)(?:\.token_adapter)?\.trainable_tokens_delta")
_WRAPPERS = re.compile(r"\.(?:base_layer|modules_to_save|token_adapter)(?=\.)")
_NESTED = ".base_layer"
_METHODS = {"LORA": "lora", "LOHA": "loha", "LOKR": "lokr", "TRAINABLE_TOKENS": "tokens"}

_CHANGES_BASE = {
    "pissa": "PiSSA",
    "olora": "OLoRA",
    "corda": "CorDA",
    "lora_ga": "LoRA-GA",
    "loftq": "LoftQ",
}
_NOT_ONE_WEIGHT = {
    "alora_invocation_tokens": "Activated LoRA works on some tokens only, so no single weight holds it",
    "arrow_config": "an Arrow router chooses among adapters for each token, so no single weight holds it",
    "layer_replication": "it repeats layers of the base model",
    "use_qalora": "QALoRA pools the inputs of a GPTQ base",
    "kasa_config": "KaSA changes the base weights themselves",
    "monteclora_config": "MonteCLoRA samples its weights",
    "use_bdlora": "block-diagonal LoRA is not known here",
}


@dataclass(frozen=True, slots=True)
class Expert:
    """One of the experts that a change is for, or some rows of it: those of a projection that is fused.

    number: which; start, stop: rows of (out, in) in its part of the change
    """

    number: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class LowRank:
    """The change of one weight.

    method:  lora, embedding (LoRA on an embedding), experts (LoRA on those of a layer at once), loha, lokr
    parts:   tensor names in the adapter's file, by part (`lora_A`, `hada_w1_a` …)
    scaling: alpha / r, or alpha / sqrt(r) for rsLoRA
    parameter: the module's own, which is changed; empty for its weight
    experts: how many the parameter holds; for each, `lora_A` has r rows and `lora_B` r columns
    expert:  the one whose weight is changed; None for the weight of all
    in_by_out: the weight is stored (in, out)
    """

    module: str
    method: str
    parts: Mapping[str, str]
    scaling: float
    parameter: str = ""
    experts: int = 1
    expert: Expert | None = None
    in_by_out: bool = False

    @property
    def name(self) -> str:
        return f"{self.module}.{self.parameter or 'weight'}"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Rows of an embedding that are replaced. tensor: (len(rows), width) in the adapter's file."""

    module: str
    tensor: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Adapter:
    """All that an adapter changes. Module and tensor names are those of the model's modules.

    low_rank: by the tensor that it changes
    replaced: tensors saved whole (modules_to_save, trained biases), name -> tensor in the adapter's file
    keeps_tied: it was trained with ensure_weight_tying, so that tied weights stay tied
    """

    kind: str
    low_rank: Mapping[str, LowRank]
    tokens: Mapping[str, Tokens]
    replaced: Mapping[str, str]
    keeps_tied: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def modules(self) -> int:
        """How many weights of modules it changes by a low-rank product."""
        return len(self.low_rank)


def why_not(config: Mapping[str, Any]) -> str:
    """Why an adapter with this config cannot be merged exactly; empty when it can."""
    kind = str(config.get("peft_type"))
    if kind not in _METHODS:
        return f"its type is {kind}; LORA, LOHA, LOKR and TRAINABLE_TOKENS can be merged"
    init = str(config.get("init_lora_weights", "")).lower()
    for start, name in _CHANGES_BASE.items():
        if init.startswith(start):
            return (
                f"{name} changes the base weights before training, so the adapter does not belong to the "
                "original base; convert it to plain LoRA first (peft's save_pretrained with "
                "path_initial_model_for_weight_conversion)"
            )
    return next((reason for key, reason in _NOT_ONE_WEIGHT.items() if config.get(key)), "")


def read_adapter(folder: Path, tensors: Checkpoint) -> Adapter:
    """Sort the tensors of an adapter. tensors: its opened file.

    Raises UserError when it cannot be merged exactly, or a part is missing.
    """
    config = read_adapter_config(folder)
    if reason := why_not(config):
        raise UserError(f"The adapter in {folder} cannot be merged: {reason}.")
    parts: dict[str, dict[str, str]] = {}
    tokens: dict[str, Tokens] = {}
    replaced: dict[str, str] = {}
    for name in tensors.names():
        inner = _without_prefix(name)
        if match := _LOW_RANK.fullmatch(inner):
            part = match["part"] + ("_bias" if match["bias"] else "")
            parts.setdefault(match["module"], {})[part] = name
        elif match := _TOKENS.fullmatch(inner):
            tokens[match["module"]] = Tokens(match["module"], name, _token_rows(config, match["module"]))
        elif "trainable_tokens_original" not in inner and ".original_module." not in inner:
            replaced[_WRAPPERS.sub("", inner)] = name
    low_rank = {found.name: found for found in (_low_rank(m, p, config, tensors) for m, p in parts.items())}
    if not (low_rank or tokens or replaced):
        raise UserError(f"The adapter in {folder} has no tensors.", "Was it saved before its training?")
    return Adapter(
        kind=str(config["peft_type"]),
        low_rank=low_rank,
        tokens=tokens,
        replaced=replaced,
        keeps_tied=bool(config.get("ensure_weight_tying")),
        config=config,
    )


def saved_rows(tensors: Checkpoint) -> int:
    """Rows of the embedding or head that an adapter brings whole; 0 when it brings none."""
    for name in tensors.names():
        module, _, kind = _WRAPPERS.sub("", name).rpartition(".")
        if kind == "weight" and module.rpartition(".")[2] in (*EMBEDDINGS, *HEADS) and "lora_" not in name:
            return tensors.info(name).shape[0]
    return 0


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _low_rank(
    wrapped: str, parts: Mapping[str, str], config: Mapping[str, Any], tensors: Checkpoint
) -> LowRank:
    """wrapped: the module, with the wrappers of peft around it where it has several."""
    module = wrapped
    while module.endswith(_NESTED):
        module = module.removesuffix(_NESTED)
    parameter = _parameter(module, (len(wrapped) - len(module)) // len(_NESTED), config)
    changed = f"{module}.{parameter}" if parameter else module
    method = "embedding" if "lora_embedding_A" in parts else _METHODS[str(config["peft_type"])]
    needed = {
        "lora": ("lora_A", "lora_B"),
        "embedding": ("lora_embedding_A", "lora_embedding_B"),
        "loha": ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    }.get(method, ())
    if missing := [part for part in needed if part not in parts]:
        raise UserError(f"The adapter lacks {missing[0]} of module {module}.")
    for part, name in parts.items():
        if part.endswith("_t1") or part.endswith("_t2") or len(tensors.info(name).shape) > 2:
            raise UserError(
                f"Module {module} is a convolution; only linear and embedding layers can be merged."
            )
    rank = _pattern_value(config.get("rank_pattern"), changed, config.get("r"))
    alpha_name = "lora_alpha" if method in ("lora", "embedding") else "alpha"
    alpha = _pattern_value(config.get("alpha_pattern"), changed, config.get(alpha_name))
    experts = _ranks(module, method, parts, rank, tensors, several=bool(parameter))
    divisor = math.sqrt(rank) if config.get("use_rslora") and alpha_name == "lora_alpha" else rank
    return LowRank(module, method, dict(parts), alpha / divisor, parameter, experts)


def _parameter(module: str, depth: int, config: Mapping[str, Any]) -> str:
    """The parameter of a module that a product is for, by target_parameters; empty for its weight.

    depth: how many further wrappers are around it. peft puts them around each other in the order of the
    module's parameters, the first one innermost.
    """
    targets = config.get("target_parameters") or ()
    last = {str(target).rpartition(".")[2] for target in targets}
    named = [name for name in (*IN_MEMORY, *sorted(last - IN_MEMORY.keys())) if name in last]
    own = [
        n for n in named if any(f"{module}.{n}" == t or f"{module}.{n}".endswith(f".{t}") for t in targets)
    ]
    if not depth and ("weight" in own or _is_target_module(module, config)):
        return ""
    if depth >= max(1, len(own)) or (len(own) > 1 and not set(own) <= IN_MEMORY.keys()):
        raise UserError(
            f"It cannot be told which parameters of {module} the adapter changes: its config names "
            f"{', '.join(own) or 'none of them'}, and its file wraps that module {depth + 1} times or more."
        )
    return own[len(own) - 1 - depth] if own else ""


def _is_target_module(module: str, config: Mapping[str, Any]) -> bool:
    targets = config.get("target_modules") or ()
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return any(module == target or module.endswith(f".{target}") for target in targets)


def _ranks(
    module: str, method: str, parts: Mapping[str, str], rank: int, tensors: Checkpoint, *, several: bool
) -> int:
    """How many times the factors have their rank: once, or (several) for each expert."""
    first = {"lora": "lora_A", "embedding": "lora_embedding_A", "loha": "hada_w1_b"}.get(method)
    if not first:
        return 1
    found = tensors.info(parts[first]).shape[0]
    if found != rank and not (several and found and found % rank == 0):
        raise UserError(f"Module {module} has rank {found} in the adapter's file, {rank} in its config.")
    return found // rank if several else 1


def _pattern_value(pattern: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value of the first key that the module's name ends with; keys are regular expressions."""
    for key, value in (pattern or {}).items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    if not isinstance(default, int | float) or isinstance(default, bool):
        raise UserError(f"adapter_config.json has no rank or alpha for module {module}.")
    return default


def _token_rows(config: Mapping[str, Any], module: str) -> tuple[int, ...]:
    indices = config.get("trainable_token_indices") or config.get("token_indices") or ()
    if isinstance(indices, Mapping):
        indices = next((v for k, v in indices.items() if module == k or module.endswith(f".{k}")), ())
    if not indices:
        raise UserError(f"adapter_config.json does not say which tokens of {module} were trained.")
    return tuple(indices)
