"""Find an ONNX model and tell the plan what it is. Weights are not read."""

from __future__ import annotations

from pathlib import Path

from modelpress.api import JSONValue, Meta, ModelFacts, PlanContext, UserError, content_identity
from modelpress_plugins.onnx.config import ONNXModelOptions
from modelpress_plugins.onnx_graph.facts import GraphFacts, check_weights, read_facts
from modelpress_plugins.onnx_graph.folder import FILE_NAME, FILES, SUFFIX, files_of, graph_names
from modelpress_plugins.onnx_graph.plan import TOKENIZER, graphs_config
from modelpress_plugins.onnx_graph.runtime import LIBRARY, USE_EXTENSIONS, unreadable

_TRAVELS = (
    "inference_settings",
    "external_initializers_file_name",
    "constant_inputs_file_name",
    LIBRARY,
)


def open_model(config: ONNXModelOptions, ctx: PlanContext) -> ModelFacts | None:
    """For ModelSpec.open of ONNXModel. None after a problem."""
    path = (ctx.folder / Path(config.model_path).expanduser()).resolve()
    if not path.exists():
        ctx.problem(f"There is no file or folder {path}.", "Give the .onnx file.", option="model_path")
        return None
    folder = path if path.is_dir() else path.parent
    alone = path.name if path.is_file() else ""
    named = alone or config.onnx_file_name or ""
    if config.onnx_file_name and alone and config.onnx_file_name != alone:
        ctx.problem(
            f"model_path is the file {alone}, onnx_file_name another.",
            "Give the folder in model_path.",
            option="onnx_file_name",
        )
        return None
    graphs = _graphs(folder, named, config, ctx)
    if graphs is None:
        return None
    files = sorted({file for name, facts in graphs.items() for file in files_of(name, facts)})
    for option in _TRAVELS[1:]:
        file = getattr(config, option)
        if file and not (folder / file).is_file():
            ctx.problem(f"{folder} has no {file}.", "Put it beside the graph.", option=option)
        elif file:
            files.append(file)
    own = bool(alone) and _has_others(folder, files)
    return ModelFacts(
        "onnx",
        path=folder,
        identity=_identity(folder, files) if own else "",
        config={**graphs_config(graphs), TOKENIZER: (folder / "tokenizer_config.json").is_file()},
        size=sum((folder / file).stat().st_size for file in files if (folder / file).is_file()),
        meta=Meta(extra=_extra(config, named, files if own else [])),
    )


def _graphs(
    folder: Path, named: str, config: ONNXModelOptions, ctx: PlanContext
) -> dict[str, GraphFacts] | None:
    option = "onnx_file_name" if config.onnx_file_name else "model_path"
    if named and not (folder / named).is_file():
        found = sorted(path.name for path in folder.glob(f"*{SUFFIX}"))
        ctx.problem(f"{folder} has no {named}.", f"It holds {', '.join(found) or 'none'}.", option=option)
        return None
    graphs: dict[str, GraphFacts] = {}
    try:
        for name in [named] if named else graph_names(folder, "onnx", Meta()):
            graphs[name] = read_facts(folder / name)
            check_weights(folder / name, graphs[name])
    except UserError as error:
        ctx.problem(error.message, error.hint, option=option)
        return None
    faults = [fault for name, facts in graphs.items() for fault in unreadable(name, facts)]
    for message, hint in faults:
        ctx.problem(message, hint, option=option)
    return None if faults else graphs


def _extra(config: ONNXModelOptions, named: str, files: list[str]) -> dict[str, JSONValue]:
    extra: dict[str, JSONValue] = {}
    if named:
        extra[FILE_NAME] = named
    if files:
        extra[FILES] = files
    for option in (*_TRAVELS, "model_attributes"):
        if value := getattr(config, option):
            extra[option] = value
    if config.use_ort_extensions:
        extra[USE_EXTENSIONS] = True
    if config.io_config:
        extra["io_config"] = config.io_config.model_dump(mode="json", exclude_none=True)
    return extra


def _has_others(folder: Path, files: list[str]) -> bool:
    known = {folder / file for file in files}
    return any(path not in known for path in folder.iterdir())


def _identity(folder: Path, files: list[str]) -> str:
    return " ".join(f"{file}={content_identity(folder / file)}" for file in files)
