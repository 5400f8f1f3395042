"""Which tensors of the base an adapter changes, and how: names and shapes only, before any arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import accumulate
from math import prod
from typing import Protocol

from modelpress.api import Checkpoint, TensorInfo, UserError
from modelpress_plugins.hf import families
from modelpress_plugins.hf.adapter import Adapter, Expert, LowRank, Tokens
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.families import FUSED, IN_MEMORY, role_of
from modelpress_plugins.hf.tied import contradicts, embedding_of, head_of, is_tied

_FLOATS = ("F16", "BF16", "F32", "F64")


class Loaded(Protocol):
    """How transformers calls and keeps tensors once it has loaded them: `hf.names.LoadedNames`."""

    def in_file(self, tensor: str) -> str: ...
    def is_in_by_out(self, module: str) -> bool: ...


Load = Callable[[], Loaded] | None
"""Asked only where names and the family's row do not tell. None: not to be asked (yet), so that a name that
is not found may still be one that transformers changes."""


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

    def shape(self, base: Checkpoint, deltas: Checkpoint) -> tuple[int, ...]:
        """Of the result: of what it starts from."""
        return deltas.info(self.replaced).shape if self.replaced else base.info(self.source).shape


@dataclass(frozen=True, slots=True)
class Targets:
    """What becomes of the base.

    edits:   by the tensor's name in the output
    dropped: a tensor of the base that the output leaves out: a head that is the embedding
    untied:  the output has a head of its own, and config.json said that it has not
    vocabulary: rows of embedding and head, where the adapter brings another number of them; else 0
    shared:  modules whose change is that of another, since both hold the same tensor and the same adapter
    """

    edits: dict[str, Edit]
    dropped: str = ""
    untied: bool = False
    vocabulary: int = 0
    shared: int = 0


def match(adapter: Adapter, base: Checkpoint, deltas: Checkpoint, config: ModelConfig, load: Load) -> Targets:
    """Find the tensor of every module. config: of the base.

    Without load, tensors that are not found are left out.
    Raises UserError when a module is not in the base or shapes do not fit.
    """
    names = _Names(base, deltas, config, load)
    edits: dict[str, Edit] = {}

    def edit(tensor: str) -> Edit:
        name, source = names.find(tensor)
        return edits.setdefault(name, Edit(name, source))

    for tensor, key in adapter.replaced.items():
        found = edit(tensor)
        edits[found.name] = replace(found, replaced=key)
    for low_rank in adapter.low_rank.values():
        for tensor, change in names.changes(low_rank):
            found = edit(tensor)
            edits[found.name] = replace(found, low_rank=change)
        if bias := low_rank.parts.get("lora_B_bias"):
            found = edit(f"{low_rank.module}.bias")
            edits[found.name] = replace(found, bias=(bias, low_rank.scaling))
    for module, tokens in adapter.tokens.items():
        found = edit(f"{module}.weight")
        edits[found.name] = replace(found, tokens=tokens)
    for missing in names.missing:
        edits.pop(missing, None)
    if load is not None:
        names.complain(adapter)
    resized = {names.embedding, names.head, names.head.removesuffix("weight") + "bias"}
    for found in edits.values():
        _check(found, base, deltas, may_resize=found.name in resized)
    targets = _settle_ties(edits, names, adapter, deltas)
    return replace(targets, vocabulary=_vocabulary(targets, names, deltas))


def _settle_ties(edits: dict[str, Edit], names: _Names, adapter: Adapter, deltas: Checkpoint) -> Targets:
    """Untie head and embedding where the adapter changes one and not the other.

    While it was trained, a low-rank change of one did not reach the other (peft adds it to the module's
    output), nor did a saved copy. Trained tokens do reach both. peft's own merge changes the shared tensor.
    """
    embedding = edits.get(names.embedding)
    head = edits.get(names.head)
    if not names.tied:
        if names.contradicts and embedding and embedding.tokens:  # peft goes by what config.json says
            edits[names.head] = replace(head or Edit(names.head, names.head), tokens=embedding.tokens)
        return Targets(edits, untied=names.contradicts)
    if not (embedding or head):
        return Targets(edits)
    stays = names.head if names.has_head else ""
    if head is None and embedding is not None:
        if adapter.keeps_tied or not (embedding.low_rank or embedding.replaced):
            return Targets(edits, dropped=stays)
        edits[names.head] = Edit(names.head, names.embedding)
    elif head is not None and embedding is not None and _change_alike(embedding, head, adapter, deltas):
        # The head's adapter is the embedding's, transposed. Once is right; peft 0.21 adds it twice.
        rest = {k: v for k, v in edits.items() if k != names.head}
        return Targets(rest, dropped=stays, shared=int(head.low_rank is not None))
    return Targets(edits, untied=True)


def _change_alike(embedding: Edit, head: Edit, adapter: Adapter, deltas: Checkpoint) -> bool:
    """Whether both stay one: trained as one, or saved whole (as a resized vocabulary is) with one content."""
    if adapter.keeps_tied:
        return True
    one, other = embedding.replaced, head.replaced
    plain = replace(embedding, name="", source="", replaced="") == replace(
        head, name="", source="", replaced=""
    )
    return bool(one and other) and plain and deltas.read(one) == deltas.read(other)


def _vocabulary(targets: Targets, names: _Names, deltas: Checkpoint) -> int:
    """Rows of embedding and head in the output, if they are others than the base's; 0 else.

    Raises UserError when the two do not get the same number.
    """

    def rows(name: str) -> int:
        edit = targets.edits.get(name)
        return edit.shape(names.base, deltas)[0] if edit else names.rows(name)

    before, embedding, head = names.rows(names.embedding), rows(names.embedding), rows(names.head)
    if not head or targets.dropped:
        head = embedding
    if embedding == head == before or not before:
        return 0
    bias = names.head.removesuffix("weight") + "bias"
    if head != embedding or rows(bias) not in (0, head):
        raise UserError(
            f"The adapter brings another vocabulary, but only in part: the embedding has {embedding:,} rows, "
            f"the head {head:,}" + (f", its bias {rows(bias):,}" if rows(bias) else "") + ".",
            f"The base has {before:,}. Save the adapter with both: "
            "save_pretrained(…, save_embedding_layers=True).",
        )
    return embedding


class _Names:
    """From the names of modules to those of the base's tensors."""

    def __init__(self, base: Checkpoint, deltas: Checkpoint, config: ModelConfig, load: Load) -> None:
        self.base = base
        self._deltas = deltas
        self._known = set(base.names())
        self._prefixes = sorted({name.split(".", 1)[0] + "." for name in self._known if "." in name})
        self._family = config.family
        self._load = load
        self._loaded: Loaded | None = None
        self.missing: list[str] = []
        self._looked_up = 0
        self.embedding = embedding_of(base, config)
        found = head_of(base, config)
        self.has_head = bool(found)
        self.head = found or f"{config.family.parts.head}.weight"
        self.tied = is_tied(base, config)
        self.contradicts = contradicts(base, config)

    def find(self, tensor: str) -> tuple[str, str]:
        """(name in the output, name of the base's tensor to start from)."""
        self._looked_up += 1
        if found := self._in_file(tensor):
            return found, found
        if self.tied and tensor.rsplit(".", 2)[-2:] == self.head.rsplit(".", 2)[-2:]:
            return self.head, self.embedding
        self.missing.append(tensor)
        return tensor, tensor

    def rows(self, tensor: str) -> int:
        return self.base.info(tensor).shape[0] if tensor in self.base else 0

    def changes(self, low_rank: LowRank) -> Iterator[tuple[str, LowRank]]:
        """(tensor, its own change): one, or those of the experts, which the base may hold one by one."""
        found = self._in_file(low_rank.name)
        if found and low_rank.method == "lora":
            whole = len(self.base.info(found).shape) == 3
            change = replace(low_rank, method="experts" if whole else "lora")
            yield low_rank.name, replace(change, in_by_out=self._is_in_by_out(change, found))
            return
        alone = list(self._experts(low_rank)) if low_rank.parameter and not found else []
        yield from alone or [(low_rank.name, low_rank)]

    def _experts(self, low_rank: LowRank) -> Iterator[tuple[str, LowRank]]:
        """The tensors of single experts that transformers joins. Nothing if one is lacking."""
        at = families.layer_of(low_rank.module)
        whole = IN_MEMORY.get(low_rank.parameter, "")
        roles = FUSED.get(whole, (whole,))
        found: dict[tuple[int, str], str] = {}
        for name in self.base.names():
            part = role_of(name.removesuffix(".weight"), self._family)
            if part and part.layer == at and part.expert is not None and part.role in roles:
                found[part.expert, part.role] = name
        if len(found) != low_rank.experts * len(roles):
            return
        out, columns = product_shape(low_rank, self._deltas)
        for number in range(low_rank.experts):
            stops = list(accumulate(self.rows(found[number, role]) for role in roles))
            if stops[-1] != out:
                shape = (stops[-1], self.base.info(found[number, roles[0]]).shape[1])
                raise UserError(
                    _unfit(low_rank.name, f"a product of shape {[out, columns]}", shape), _OTHER_BASE
                )
            for role, start, stop in zip(roles, (0, *stops), stops, strict=False):
                yield found[number, role], replace(low_rank, expert=Expert(number, start, stop))

    def _is_in_by_out(self, low_rank: LowRank, tensor: str) -> bool:
        """Whether the weight is stored (in, out): by the kind of its layer. Where there is no row for the
        architecture, by its shape; where that is square, as transformers has it."""
        experts = low_rank.method == "experts"
        if role_of(tensor.removesuffix(".weight"), self._family) and self._family.known:
            return (
                bool(self._family.experts and self._family.experts.in_by_out)
                if experts
                else (self._family.in_by_out)
            )
        shape = self.base.info(tensor).shape
        if self._family.known and not experts:
            return False
        if shape[-1] != shape[-2]:
            return shape != product_shape(low_rank, self._deltas)
        loaded = self._ask()
        return loaded is not None and loaded.is_in_by_out(low_rank.module)

    def _in_file(self, tensor: str) -> str:
        """The base's tensor of a module's; empty when there is none, or several may be meant."""
        if tensor in self._known:
            return tensor
        found = {name for name in self._candidates(tensor) if name in self._known}
        if len(found) == 1:
            return found.pop()
        loaded = self._ask()
        name = loaded.in_file(tensor) if loaded else ""
        return name if name in self._known else ""

    def _ask(self) -> Loaded | None:
        if self._loaded is None and self._load is not None:
            self._loaded = self._load()
        return self._loaded

    def _candidates(self, tensor: str) -> Iterable[str]:
        """Without the inner model's name (`model.`), which some checkpoints lack; with it."""
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


def _check(edit: Edit, base: Checkpoint, deltas: Checkpoint, *, may_resize: bool) -> None:
    info = base.info(edit.source)
    shape = edit.shape(base, deltas)
    if info.dtype not in _FLOATS:
        raise UserError(
            f"Tensor {edit.source} of the base has dtype {info.dtype}: an adapter can only be merged into "
            "floating weights.",
            "Use the model that this one was quantized from.",
        )
    if shape != info.shape and not (may_resize and shape[1:] == info.shape[1:]):
        raise UserError(_unfit(edit.name, f"a whole tensor of shape {list(shape)}", info.shape), _OTHER_BASE)
    if edit.low_rank is not None:
        found = product_shape(edit.low_rank, deltas)
        fits = prod(found) == prod(shape) if edit.low_rank.method == "lokr" else found == shape
        if not fits:
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


def product_shape(low_rank: LowRank, deltas: Checkpoint) -> tuple[int, ...]:
    """The shape of the change as the parts give it; for LoKr only the count of elements is certain."""

    def shape(part: str) -> tuple[int, ...]:
        return deltas.info(low_rank.parts[part]).shape

    if low_rank.method in ("lora", "experts"):
        out, inputs = shape("lora_B")[0], shape("lora_A")[1]
        if low_rank.expert is not None:
            out = low_rank.expert.stop - low_rank.expert.start
        one = (inputs, out) if low_rank.in_by_out else (out, inputs)
        return (low_rank.experts, *one) if low_rank.method == "experts" else one
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
