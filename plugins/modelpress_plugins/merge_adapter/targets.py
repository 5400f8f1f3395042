"""Which tensors of the base an adapter changes, and how: names and shapes only, before any arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import prod

from modelpress.api import Checkpoint, TensorInfo, UserError
from modelpress_plugins.hf import families
from modelpress_plugins.hf.families import EMBEDDINGS, HEADS

from .adapter import Adapter, LowRank, Tokens

_FLOATS = ("F16", "BF16", "F32", "F64")

Rename = Callable[[], Mapping[str, str]] | None
"""Gives module tensor name -> checkpoint tensor name, where transformers renames on loading.

None: not known (yet), so that a name that is not found may still be one of those.
"""


@dataclass(frozen=True, slots=True)
class Edit:
    """What happens to one tensor, in this order.

    source:   the tensor of the base to start from (not its own name for a head that was tied)
    replaced: start from this tensor of the adapter's file instead
    low_rank, tokens: what is added, which rows are replaced
    bias:     (tensor of the adapter's file, scaling) added to a bias
    """

    name: str
    source: str
    replaced: str = ""
    low_rank: LowRank | None = None
    tokens: Tokens | None = None
    bias: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """What becomes of the base.

    edits:  by the tensor's name in the output
    untied: the output no longer shares head and embedding
    shared: modules whose change is that of another, since both hold the same tensor and the same adapter
    """

    edits: Mapping[str, Edit]
    untied: bool = False
    shared: int = 0


def match(adapter: Adapter, base: Checkpoint, deltas: Checkpoint, tied: bool, renamed: Rename) -> Targets:
    """Find the tensor of every module.

    tied: config.json ties the head to the embedding. renamed is called only when a name is not found; without
    it, tensors that are not found are left out.
    Raises UserError when a module is not in the base or shapes do not fit.
    """
    names = _Names(base, tied, renamed)
    edits: dict[str, Edit] = {}

    def edit(tensor: str) -> Edit:
        name, source = names.find(tensor)
        return edits.setdefault(name, Edit(name, source))

    for tensor, key in adapter.replaced.items():
        found = edit(tensor)
        edits[found.name] = replace(found, replaced=key)
    for module, low_rank in adapter.low_rank.items():
        found = edit(f"{module}.weight")
        edits[found.name] = replace(found, low_rank=low_rank)
        if bias := low_rank.parts.get("lora_B_bias"):
            found = edit(f"{module}.bias")
            edits[found.name] = replace(found, bias=(bias, low_rank.scaling))
    for module, tokens in adapter.tokens.items():
        found = edit(f"{module}.weight")
        edits[found.name] = replace(found, tokens=tokens)
    for missing in names.missing:
        edits.pop(missing, None)
    if renamed is not None:
        names.complain(adapter)
    for found in edits.values():
        _check(found, base, deltas)
    return _settle_ties(edits, names, adapter)


def _settle_ties(edits: dict[str, Edit], names: _Names, adapter: Adapter) -> Targets:
    """Untie head and embedding where the adapter changes one and not the other.

    While it was trained, a low-rank change of one did not reach the other (peft adds it to the module's
    output), nor did a saved copy. Trained tokens do reach both. peft's own merge changes the shared tensor.
    """
    embedding = edits.get(names.embedding)
    head = edits.get(names.head)
    if not names.tied or not (embedding or head):
        return Targets(edits)
    if head is None and embedding is not None:
        if adapter.keeps_tied or not (embedding.low_rank or embedding.replaced):
            return Targets(edits)
        edits[names.head] = Edit(names.head, names.embedding)
    elif head is not None and embedding is not None and adapter.keeps_tied:
        # The head's adapter is the embedding's, transposed. Once is right; peft 0.21 adds it twice.
        return Targets(
            {k: v for k, v in edits.items() if k != names.head}, shared=int(head.low_rank is not None)
        )
    return Targets(edits, untied=True)


class _Names:
    """From the names of modules to those of the base's tensors."""

    def __init__(self, base: Checkpoint, tied: bool, renamed: Rename) -> None:
        self._base = base
        self._known = set(base.names())
        self._prefixes = sorted({name.split(".", 1)[0] + "." for name in self._known if "." in name})
        self._renamed = renamed
        self._renames: Mapping[str, str] | None = None
        self.missing: list[str] = []
        self._looked_up = 0
        self.embedding = _first_ending(self._known, EMBEDDINGS)
        self.head = _first_ending(self._known, HEADS) or f"{HEADS[0]}.weight"
        self.tied = bool(self.embedding) and (tied or self.head not in self._known)

    def find(self, tensor: str) -> tuple[str, str]:
        """(name in the output, name of the base's tensor to start from)."""
        self._looked_up += 1
        for candidate in self._candidates(tensor):
            if candidate in self._known:
                return candidate, candidate
        if self.tied and tensor.rsplit(".", 2)[-2:] == [self.head.rsplit(".", 2)[-2], "weight"]:
            return self.head, self.embedding
        if self._renames is None:
            self._renames = self._renamed() if self._renamed else {}
        if (name := self._renames.get(tensor)) in self._known:
            return str(name), str(name)
        self.missing.append(tensor)
        return tensor, tensor

    def _candidates(self, tensor: str) -> Iterable[str]:
        """As it is; without the inner model's name (`model.`), which some checkpoints lack; with it."""
        yield tensor
        yield tensor.partition(".")[2]
        for prefix in self._prefixes:
            yield prefix + tensor

    def complain(self, adapter: Adapter) -> None:
        if not self.missing:
            return
        first = self.missing[0]
        near = ", ".join(get_close_matches(first, self._known, n=3, cutoff=0.3)) or "none like it"
        raise UserError(
            f"The adapter does not belong to this base: {len(self.missing)} of {self._looked_up} tensors "
            f"that it changes are not there, first {first}. The base has {near}.",
            f"It was trained on {adapter.config.get('base_model_name_or_path') or 'another model'}.",
        )


def is_linear(name: str, info: TensorInfo) -> bool:
    """Whether this is the weight of a linear layer inside the model: neither the head nor an embedding."""
    return (
        len(info.shape) == 2 and name.endswith(".weight") and families.is_linear(name.removesuffix(".weight"))
    )


def _first_ending(names: set[str], modules: Iterable[str]) -> str:
    for module in modules:
        for name in sorted(names):
            if name == f"{module}.weight" or name.endswith(f".{module}.weight"):
                return name
    return ""


def _check(edit: Edit, base: Checkpoint, deltas: Checkpoint) -> None:
    info = base.info(edit.source)
    shape = info.shape
    if info.dtype not in _FLOATS:
        raise UserError(
            f"Tensor {edit.source} of the base has dtype {info.dtype}: an adapter can only be merged into "
            "floating weights.",
            "Use the model that this one was quantized from.",
        )
    if edit.replaced and (found := deltas.info(edit.replaced).shape) != shape:
        raise UserError(_unfit(edit.name, f"a whole tensor of shape {list(found)}", shape), _OTHER_BASE)
    if edit.low_rank is not None:
        found = product_shape(edit.low_rank, deltas)
        fits = prod(found) == prod(shape) if edit.low_rank.method == "lokr" else found in (shape, shape[::-1])
        if len(shape) != 2 or not fits:
            raise UserError(_unfit(edit.name, f"a product of shape {list(found)}", shape), _OTHER_BASE)
    if edit.tokens is not None:
        found = deltas.info(edit.tokens.tensor).shape
        rows = edit.tokens.rows
        if found != (len(rows), *shape[1:]) or not all(0 <= row < shape[0] for row in rows):
            raise UserError(
                _unfit(edit.name, f"{len(rows)} rows of shape {list(found[1:])}", shape), _OTHER_BASE
            )


_OTHER_BASE = "The adapter was trained on another base; use that one."


def _unfit(name: str, given: str, shape: tuple[int, ...]) -> str:
    return f"The adapter does not fit this base: it has {given} for {name}, whose shape is {list(shape)}."


def product_shape(low_rank: LowRank, deltas: Checkpoint) -> tuple[int, int]:
    """The shape of the change as the parts give it; for LoKr only the count of elements is certain."""

    def shape(part: str) -> tuple[int, ...]:
        return deltas.info(low_rank.parts[part]).shape

    if low_rank.method == "lora":
        return shape("lora_B")[0], shape("lora_A")[1]
    if low_rank.method == "embedding":
        return shape("lora_embedding_A")[1], shape("lora_embedding_B")[0]
    if low_rank.method == "loha":
        return shape("hada_w1_a")[0], shape("hada_w1_b")[1]
    first, second = (_lokr_shape(low_rank, w, shape) for w in ("lokr_w1", "lokr_w2"))
    return first[0] * second[0], first[1] * second[1]


def _lokr_shape(low_rank: LowRank, part: str, shape: Callable[[str], tuple[int, ...]]) -> tuple[int, int]:
    if part in low_rank.parts:
        rows, columns = shape(part)
        return rows, columns
    if f"{part}_a" not in low_rank.parts or f"{part}_b" not in low_rank.parts:
        raise UserError(f"The adapter lacks {part} of module {low_rank.module}.")
    return shape(f"{part}_a")[0], shape(f"{part}_b")[1]
