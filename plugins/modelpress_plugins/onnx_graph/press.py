"""What every pass on a graph does: open, change, count, write, prove.

    def run(model, config, ctx):
        return press(model, config, ctx, change)     # change: onnx_ir Model -> onnx_ir Model

Each graph of a model is changed in turn; what lies beside them travels along, so that an onnxruntime-genai
folder stays one.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import onnx_ir as ir

from modelpress.api import Artifact, JSONValue, PassContext, PassError, UserError
from modelpress_plugins.onnx_graph.config import GraphOptions, IoConfig
from modelpress_plugins.onnx_graph.facts import read_facts
from modelpress_plugins.onnx_graph.folder import GENAI, copy_companions, graph_names, meta_of_result
from modelpress_plugins.onnx_graph.graph import Form, open_graph, write_graph
from modelpress_plugins.onnx_graph.in_parts import PART, GraphInParts
from modelpress_plugins.onnx_graph.inputs import Array, numpy_type
from modelpress_plugins.onnx_graph.proof import difference, fitted
from modelpress_plugins.onnx_graph.session import CPU, OnnxPart, Settings

Change: TypeAlias = "Callable[[ir.Model], ir.Model | Changed]"
_ALMOST = 1e-3
"""Of the largest value: a change that keeps the function moves no output by more, in float32."""
_RUN_WHOLE = PART
"""Bytes of a graph up to which it is opened as it is to be compared; a larger one is run in parts."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A graph after a change.

    count:  of changes; what: of what, the word is told, with an s for several
    feeds:  what the result is fed with, where its source is fed with something
    exact:  whether outputs have to stay as they were, but for rounding
    cosine: what each output and that of the source have at least, on made inputs; -1 asks for nothing
    """

    graph: ir.Model
    count: int
    what: str = "node"
    feeds: Callable[[dict[str, Array]], dict[str, Array]] = dict
    exact: bool = True
    cosine: float = -1.0


def press(
    model: Artifact,
    config: GraphOptions,
    ctx: PassContext,
    change: Change,
    *,
    exact: bool = True,
    cosine: float = 0.9,
    extra: Mapping[str, JSONValue] | None = None,
) -> Artifact:
    """Change every graph of a model.

    exact:  whether outputs have to stay as they are, but for rounding
    cosine: what each output and that of the source have at least, on made inputs
    extra:  what the model's meta says from now on
    """

    def changed(name: str) -> Changed:
        graph = open_graph(model.path / name)
        before = signature(graph)
        answer = change(graph)
        if not isinstance(answer, Changed):
            answer = Changed(answer, count_changes(before, signature(answer)), exact=exact, cosine=cosine)
        ctx.note(f"{name}: {told(answer.count, answer.what)}.")
        return answer

    return press_each(model, config, ctx, graph_names(model.path, model.format, model.meta), changed, extra)


def press_each(
    model: Artifact,
    config: GraphOptions,
    ctx: PassContext,
    names: Iterable[str],
    change: Callable[[str], Changed],
    extra: Mapping[str, JSONValue] | None = None,
) -> Artifact:
    """The same where a change has to open a graph by itself, or gives it other inputs. change: is given the
    graph's file, relative to the model's folder."""
    total, were_run = 0, True
    for name in names:
        changed = change(name)
        total += changed.count
        form = form_of(model, model.path / name, config)
        write_graph(changed.graph, ctx.out / name, form, lambda d, t: ctx.progress(d, t, "bytes"))
        were_run &= prove(model, name, config, ctx, changed)
    if were_run and model.format != GENAI:
        ctx.was_run()
    if config.require_change and not total:
        raise PassError(
            "The graph came out as it went in, and require_change is true.",
            "Look at what the model holds: the pass found nothing that it changes.",
        )
    copy_companions(model, ctx.out, names)
    meta = meta_of_result(model.meta)
    return ctx.artifact(model.format, meta=replace(meta, extra={**meta.extra, **(extra or {})}))


def told(count: int, what: str) -> str:
    """In words."""
    return f"{count:,} {what}{'' if count == 1 else 's'} changed" if count else "changed nothing"


def form_of(model: Artifact, source: Path, config: GraphOptions) -> Form:
    """Weights lie beside the graph where they did, and in every onnxruntime-genai folder."""
    beside = bool(read_facts(source).files) or model.format == GENAI
    return Form(
        external=config.save_as_external_data or beside,
        data_name=config.external_data_name or "",
        threshold=config.size_threshold,
        one_file=config.all_tensors_to_one_file,
    )


def signature(model: ir.Model) -> Counter[bytes]:
    """A digest of each node with the types and shapes of its weights, and of what goes in and out."""
    found: Counter[bytes] = Counter()
    for graph in model.graphs():
        for node in graph:
            found[_digest(_node_text(node))] += 1
        ends = [*graph.inputs, None, *graph.outputs]
        found[_digest("|".join(_value_text(value) for value in ends))] += 1
    for function in model.functions.values():
        for node in function:
            found[_digest(_node_text(node))] += 1
    found[_digest(repr((model.graph.name, sorted(model.metadata_props.items()), model.opset_imports)))] += 1
    return found


def count_changes(before: Counter[bytes], after: Counter[bytes]) -> int:
    """How many nodes are new or otherwise, or gone where more went than came."""
    return max((after - before).total(), (before - after).total())


def _node_text(node: ir.Node) -> str:
    attributes = [
        f"{name}={attribute.value if not _is_large(attribute) else attribute.type}"
        for name, attribute in sorted(node.attributes.items())
    ]
    inputs = [_value_text(value) for value in node.inputs]
    return repr((node.domain, node.op_type, attributes, inputs, [value.name for value in node.outputs]))


def _is_large(attribute: ir.Attr) -> bool:
    return not attribute.is_ref() and attribute.type in (
        ir.AttributeType.GRAPH,
        ir.AttributeType.GRAPHS,
        ir.AttributeType.TENSOR,
        ir.AttributeType.TENSORS,
    )


def _value_text(value: ir.Value | None) -> str:
    if value is None:
        return ""
    tensor = value.const_value
    if tensor is not None:
        return f"{value.name}:{tensor.dtype}{list(tensor.shape.numpy())}"
    ends = value.is_graph_input() or value.is_graph_output()
    return f"{value.name}:{value.dtype}{value.shape}" if ends else str(value.name)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=12).digest()


def prove(model: Artifact, name: str, config: GraphOptions, ctx: PassContext, changed: Changed) -> bool:
    """Load the result, run both on the same inputs, tell how far apart they are. Returns whether it was run.

    Raises PassError when the result gives what is no number, or something else where it must not.
    """
    source, result = model.path / name, ctx.out / name
    if config.verify == "never":
        return False
    settings = replace(Settings.of(model), options={}, providers={})
    after = _opened(result, settings)
    try:
        before = _opened(source, settings)
        fixed = {value.name: value.dims or () for value in after.inputs}
        feed = before.made_inputs(shapes_of(config.io_config, model), ctx.seed, fixed)
    except (UserError, PassError) as error:  # a source that does not open: what the pass may have mended
        if config.verify == "required":
            raise
        is_open = isinstance(after, OnnxPart)
        told = "loaded" if is_open else "checked file by file"
        ctx.note(f"{error.message} So the result was {told}, and not compared. {error.hint}")
        return is_open
    wanted = {value.name: numpy_type(value.dtype) for value in after.inputs}
    found = difference(before.run(feed), after.run(fitted(changed.feeds(dict(feed)), wanted)))
    ctx.note(f"{name}, compared with its source on made inputs: {found}.")
    if found.infinite:
        raise PassError(
            f"{name} gives {found.infinite:,} values that are no numbers, where its source gives numbers.",
            "Leave the nodes that overflow in float32.",
        )
    if found.cosine < changed.cosine:
        raise PassError(
            f"{name} does not give what its source gives: {found}.",
            "Leave sensitive nodes as they are. If made inputs mislead, give io_config, or verify: never.",
        )
    if changed.exact and found.largest > _ALMOST * max(found.scale, 1.0):
        raise PassError(f"{name} does not compute what its source does: {found}.")
    return True


def _opened(graph: Path, settings: Settings) -> OnnxPart | GraphInParts:
    """As a whole where it is small, or takes weights from elsewhere."""
    size = sum(path.stat().st_size for path in _files(graph))
    if size <= _RUN_WHOLE or settings.initializers is not None:
        return OnnxPart(graph, CPU, settings)
    return GraphInParts(graph, settings)


def shapes_of(config: IoConfig | None, model: Artifact) -> dict[str, tuple[int, ...]]:
    """The shapes that io_config gives, that of the pass before that of the model."""
    told = config
    kept = model.meta.extra.get("io_config")
    if told is None and isinstance(kept, Mapping):
        told = IoConfig.parse(kept)
    if told is None or not told.input_names or not told.input_shapes:
        return {}
    return dict(zip(told.input_names, told.input_shapes, strict=False))


def _files(graph: Path) -> list[Path]:
    return [graph, *(graph.parent / file for file in read_facts(graph).files)]
