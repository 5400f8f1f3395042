"""How an ONNX model is used, in Python: for its card. Light."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelpress.api import Artifact, Usage
from modelpress_plugins.onnx_graph.facts import ValueFacts, read_facts
from modelpress_plugins.onnx_graph.folder import graph_names


def use(artifact: Artifact) -> Usage:
    """For FormatSpec.usage of onnx."""
    settings = artifact.meta.extra.get("inference_settings")
    options = settings.get("session_options") if isinstance(settings, Mapping) else None
    parts, codes = [], []
    for name in graph_names(artifact.path, artifact.format, artifact.meta):
        facts = read_facts(artifact.path / name)
        code = "\n".join(_python(name, facts.inputs, options if isinstance(options, Mapping) else {}))
        codes.append(code)
        parts.append(f"`{name}`, opset {facts.opsets.get('', 0)}:\n\n```python\n{code}\n```\n")
    text = "`pip install onnxruntime`, and in this folder\n\n" + "\n".join(parts)
    return Usage(
        text=text,
        library="onnx",
        tags=("onnxruntime",),
        code="\n\n".join(codes),
        packages=("numpy", "onnxruntime"),
    )


def _python(name: str, inputs: tuple[ValueFacts, ...], options: Mapping[str, object]) -> Iterator[str]:
    yield "import numpy as np"
    yield "import onnxruntime\n"
    if options:
        yield "options = onnxruntime.SessionOptions()"
        for key in ("intra_op_num_threads", "inter_op_num_threads"):
            if isinstance(value := options.get(key), int):
                yield f"options.{key} = {value}"
    yield f'session = onnxruntime.InferenceSession("{name}"{", options" if options else ""})'
    yield "inputs = {"
    for value in inputs:
        dims = ", ".join(str(dim) if isinstance(dim, int) else "1" for dim in value.dims or ())
        free = [f"{dim or 'any'}" for dim in value.dims or () if isinstance(dim, str)]
        told = f"  # free: {', '.join(free)}" if free else ""
        yield f'    "{value.name}": np.zeros(({dims}{"," if dims else ""}), np.{value.dtype}),{told}'
    yield "}"
    yield "outputs = session.run(None, inputs)"
