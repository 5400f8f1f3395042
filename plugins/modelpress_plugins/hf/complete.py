"""Whether a checkpoint holds what its config.json promises: libraries fill gaps with random numbers.

From the headers of the files alone, and only what can be told for sure from them: layers that are not there,
tensors that one layer lacks and its like have, sizes that are not those of config.json. What the classes of
transformers know is asked where a model is opened (`whole.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from modelpress.api import Checkpoint, UserError
from modelpress_plugins.hf.config import ModelConfig

_TOLD = 3
_STACK = re.compile(r"((?:.*?\.)?(?:layers?|blocks?|h))\.(\d+)\.(.+)")
_WEIGHT = ("weight", "qweight", "weight_packed", "weight_quantized", "blocks")
_OF_CODES = ("scales", "qzeros", "g_idx", "weight_scale", "weight_shape", "weight_zero_point", "input_scale")
_OTHER_MODELS = re.compile(
    r"vision|visual|audio|speech|image|encoder|connector|projector|resampler|former|mtp"
)
"""Words in the path of a stack that is not the language model's."""
_IMAGES = re.compile(r"vision|visual")
_LAYERS = ("num_hidden_layers", "num_layers", "depth", "n_layer", "n_layers")
_PLAIN_HEADS = frozenset(
    ("llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "phi", "phi3", "granite", "olmo", "olmo2")
)
"""Model types whose heads share hidden_size where config.json says no head_dim."""
_VARIED = ("layer_types", "layers_block_type", "block_types", "hybrid_override_pattern", "attn_layer_period")
"""Keys of architectures whose layers are not all alike."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers, one like the other. start: `model.layers`; found: layer -> name inside it -> shape, the codes
    of a quantized weight under the name of the weight."""

    start: str
    found: Mapping[int, Mapping[str, Sequence[int]]]


def require_complete(folder: Path, config: ModelConfig) -> list[str]:
    """Raises UserError that names what is missing. Returns what the files hold and config.json does not
    mention, as sentences."""
    with Checkpoint(folder) as checkpoint:
        held = Held({name: tuple(checkpoint.info(name).shape) for name in checkpoint.names()}, config)
    lacking = [*held.lacking_layers(), *held.wrong_sizes(), *held.lacking_ends()]
    if lacking:
        more = f" and {len(lacking) - _TOLD} more" if len(lacking) > _TOLD else ""
        raise UserError(
            f"The weights in {folder} are not those of its config.json: {'; '.join(lacking[:_TOLD])}{more}.",
            "Fetch the whole checkpoint, or the config.json that it was saved with.",
        )
    return list(held.left_over())


@dataclass(frozen=True)
class Held:
    """What the files hold (name -> shape), against a config."""

    shapes: Mapping[str, Sequence[int]]
    config: ModelConfig
    _float: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_float", not self.config.quantization)

    @cached_property
    def stacks(self) -> Sequence[Stack]:
        """By the path before the layer's number."""
        found: dict[str, dict[int, dict[str, Sequence[int]]]] = {}
        for name, shape in self.shapes.items():
            _, _, kind = name.rpartition(".")
            if kind in _OF_CODES or not (match := _STACK.fullmatch(name)):
                continue
            inside = match[3].rpartition(".")[0] + ".weight" if kind in _WEIGHT else match[3]
            found.setdefault(match[1], {}).setdefault(int(match[2]), {})[inside.lstrip(".")] = shape
        return [Stack(start, layers) for start, layers in found.items()]

    @cached_property
    def text(self) -> Stack | None:
        """The layers of the language model; None where they are not known for sure."""
        candidates = [stack for stack in self.stacks if not _OTHER_MODELS.search(stack.start.lower())]
        return candidates[0] if len(candidates) == 1 else None

    def lacking_layers(self) -> Iterator[str]:
        """Layers that are not there, and tensors that a layer lacks."""
        for stack in self.stacks:
            promised = self._promised(stack)
            absent = [n for n in range(promised or max(stack.found) + 1) if n not in stack.found]
            if absent:
                of = "" if stack is self.text else f" of {stack.start}"
                told = (
                    f"it says {promised} layers{of}, and there are" if promised else f"of {stack.start} are"
                )
                yield f"{told} {len(stack.found)} (none of number {absent[0]})"
        if (text := self.text) and all(n in text.found for n in range(self.config.layers)):
            gaps = self._gaps(text) if self.config.family.known else self._interior_gaps(text)
            yield from (f"{text.start}.{name} is missing" for name in gaps)
            yield from self._lacking_experts(text)

    def wrong_sizes(self) -> Iterator[str]:
        """Tensors of the language model's layers of another size than config.json or their like say."""
        if self.text is None or not self._float:
            return
        for layer, name, found, wanted in self._sizes(self.text):
            yield f"{self.text.start}.{layer}.{name} is {_told(found)}, expected {_told(wanted)}"

    def lacking_ends(self) -> Iterator[str]:
        """Embedding and head."""
        parts, config = self.config.family.parts, self.config
        if not config.family.known or not parts.roles:
            return
        embedding = self._named(parts.embedding)
        if not embedding:
            yield f"there is no {parts.embedding}.weight"
        elif embedding.endswith(".weight") and config.vocabulary and len(self.shapes[embedding]) == 2:
            rows, columns = self.shapes[embedding]
            if rows != config.vocabulary and (self._float or rows < config.vocabulary):
                yield f"{embedding} has {rows:,} rows, and vocab_size is {config.vocabulary:,}"
            if columns != config.hidden_size and config.number("word_embed_proj_dim") != columns:
                yield f"{embedding} has {columns:,} columns, and hidden_size is {config.hidden_size:,}"
        own_head = config.tied is False and config.architecture.endswith("ForCausalLM")
        if own_head and not self._named(parts.head):
            yield f"there is no {parts.head}.weight, and tie_word_embeddings is false"

    def left_over(self) -> Iterator[str]:
        """Layers beyond those of config.json: nothing reads them."""
        for stack in self.stacks:
            promised = self._promised(stack)
            if promised and (more := [n for n in stack.found if n >= promised]):
                yield (
                    f"The weights have {len(more)} more layers than config.json says ({promised}), from "
                    f"{stack.start}.{min(more)} on: they are left out."
                )

    def _promised(self, stack: Stack) -> int:
        """How many layers config.json says that a stack has; 0 when that is not known."""
        if stack is self.text:
            return self.config.layers
        path, document = stack.start.lower(), self.config.document
        if _IMAGES.search(path):
            towers = [s for s in self.stacks if _IMAGES.search(s.start.lower())]
            part = document.get("vision_config")
            return _first(part, _LAYERS) if isinstance(part, Mapping) and len(towers) == 1 else 0
        side = next((side for side in ("encoder", "decoder") if side in path.split(".")), "")
        return _first(document, (f"{side}_layers", f"num_{side}_layers")) if side else 0

    def _kind(self, stack: Stack, layer: int) -> object:
        """What layers must share to hold the same tensors."""
        types = self.config.text.get("layer_types")
        named = types[layer] if isinstance(types, list) and layer < len(types) else ""
        path = self.config.family.experts.path if self.config.family.experts else "experts"
        sparse = any(name.startswith(f"{path}.") or ".experts." in name for name in stack.found[layer])
        shared = self.config.number("num_kv_shared_layers")
        return named, sparse, bool(shared) and layer >= self.config.layers - shared

    def _alike(self, stack: Stack) -> Iterator[list[int]]:
        """The layers of config.json, those of one kind together."""
        kinds: dict[object, list[int]] = {}
        for layer in range(self.config.layers):
            kinds.setdefault(self._kind(stack, layer), []).append(layer)
        yield from kinds.values()

    def _gaps(self, stack: Stack) -> Iterator[str]:
        for layers in self._alike(stack):
            every = set().union(*(stack.found[layer] for layer in layers))
            for layer in layers:
                yield from (f"{layer}.{name}" for name in sorted(every - set(stack.found[layer])))

    def _interior_gaps(self, stack: Stack) -> Iterator[str]:
        """Of an architecture that is not known: what one layer alone lacks, and that is not at an end."""
        count = self.config.layers
        if count < 4 or any(self.config.text.get(key) for key in _VARIED):
            return
        held = Counter(name for layer in range(count) for name in stack.found[layer])
        for layer in range(1, count - 1):
            lost = sorted(
                n for n, times in held.items() if times == count - 1 and n not in stack.found[layer]
            )
            yield from (f"{layer}.{name}" for name in lost)

    def _lacking_experts(self, stack: Stack) -> Iterator[str]:
        experts = self.config.family.experts
        if experts is None or not experts.numbered:
            return
        keys = ("num_local_experts", "num_experts", "n_routed_experts")
        wanted = set(range(_first(self.config.text, keys)))
        pattern = re.compile(rf"{re.escape(experts.path)}\.(\d+)\.")
        for layer in range(self.config.layers):
            found = {int(match[1]) for name in stack.found[layer] if (match := pattern.match(name))}
            if found and (lost := sorted(wanted - found)):
                yield f"{stack.start}.{layer} has {len(found)} experts of {len(wanted)} (no number {lost[0]})"

    def _sizes(self, stack: Stack) -> Iterator[tuple[int, str, Sequence[int], Sequence[int]]]:
        """(layer, name, shape, the shape that it should have) of what is wrong."""
        wanted = dict(self._expected())
        uniform = not any(isinstance(v, list) and k.endswith("_size") for k, v in self.config.text.items())
        for layers in self._alike(stack) if all(n in stack.found for n in range(self.config.layers)) else ():
            for name in sorted(set().union(*(stack.found[layer] for layer in layers))):
                shapes = {layer: stack.found[layer][name] for layer in layers if name in stack.found[layer]}
                usual = wanted.get(name) or Counter(map(tuple, shapes.values())).most_common(1)[0][0]
                if (uniform and self.config.family.known) or name in wanted:
                    yield from ((n, name, s, usual) for n, s in shapes.items() if tuple(s) != tuple(usual))

    def _expected(self) -> Iterator[tuple[str, Sequence[int]]]:
        """name inside a layer -> shape, as far as config.json says it beyond doubt."""
        config = self.config
        if config.model_type not in _PLAIN_HEADS or not (config.hidden_size and config.heads):
            return
        queries, keys = config.heads * config.head_size, config.kv_heads * config.head_size
        wide, hidden = config.intermediate_size, config.hidden_size
        shapes = {"q": (queries, hidden), "k": (keys, hidden), "v": (keys, hidden), "o": (hidden, queries)}
        if wide and "_moe" not in config.model_type:
            shapes |= {"gate": (wide, hidden), "up": (wide, hidden), "down": (hidden, wide)}
            shapes |= {"gate_up": (2 * wide, hidden)}
        shapes |= {"qkv": (queries + 2 * keys, hidden)}
        for role, path in config.family.parts.roles.items():
            if role in shapes:
                yield f"{path}.weight", shapes[role]

    def _named(self, module: str) -> str:
        """The tensor of a module by the last part of its path; empty when there is none."""
        wanted = tuple(f"{module}.{kind}" for kind in _WEIGHT)
        return next((n for n in self.shapes if f".{n}".endswith(tuple(f".{w}" for w in wanted))), "")


def _first(section: Mapping[str, object], keys: Sequence[str]) -> int:
    return next((v for key in keys if isinstance(v := section.get(key), int)), 0)


def _told(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"
