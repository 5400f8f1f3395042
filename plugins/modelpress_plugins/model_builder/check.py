"""Whether a folder is a whole ort-genai model, without opening it in the runtime."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelpress.api import UserError

CONFIG = "genai_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
_REBUILD = "Build the model again, or copy the whole folder."
_LARGEST_GRAPH = 256 * 2**20  # bytes; weights inside the file: nothing is outside it to be looked for

# How protobuf writes the entries of TensorProto.external_data: field 1 is the key, field 2 the value.
_LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f])", re.DOTALL)
_EXTENT = re.compile(rb"\n\x06offset\x12.(\d+).{2}\n\x06length\x12.(\d+)", re.DOTALL)


def check(folder: Path) -> None:
    """Raises UserError when a file is missing, empty or cut short."""
    config = read_config(folder)
    graphs = [folder / name for name in sorted(set(_file_names(config.get("model", {}))))]
    if not graphs:
        raise UserError(f"{folder / CONFIG} names no ONNX file.", _REBUILD)
    for graph in graphs:
        _require(graph)
        if graph.suffix == ".onnx":
            _check_external_data(graph)
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise UserError(
            f"{folder} has no tokenizer (looked for {', '.join(_TOKENIZER_FILES)}).",
            "Copy the tokenizer's files of the original model into it.",
        )


def read_config(folder: Path) -> dict[str, Any]:
    """genai_config.json. Raises UserError when it is not there or damaged."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config.get("model"), dict):
            raise ValueError("it has no section `model`")
    except FileNotFoundError:
        raise UserError(f"{folder} is no ort-genai model: it has no {CONFIG}.", _REBUILD) from None
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error}.", _REBUILD) from None
    return dict(config)


def _file_names(section: Any) -> Iterator[str]:
    """Every `filename` below a section: decoder, vision, embedding, the stages of a pipeline."""
    if isinstance(section, Mapping):
        for key, value in section.items():
            if key == "filename" and isinstance(value, str) and value:
                yield value
            else:
                yield from _file_names(value)
    elif isinstance(section, list):
        for value in section:
            yield from _file_names(value)


def _check_external_data(graph: Path) -> None:
    if graph.stat().st_size > _LARGEST_GRAPH:
        return
    content = graph.read_bytes()
    needed = max((int(m[1]) + int(m[2]) for m in _EXTENT.finditer(content)), default=0)
    names = {content[m.end() : m.end() + m[1][0]] for m in _LOCATION.finditer(content)}
    for name in sorted(names):
        data = graph.parent / name.decode("utf-8", "replace")
        _require(data)
        if len(names) == 1 and data.stat().st_size < needed:
            raise UserError(
                f"{data} is cut short: {data.stat().st_size:,} bytes, {graph.name} needs {needed:,}.",
                _REBUILD,
            )


def _require(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path.parent} lacks {path.name}.", _REBUILD)
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty.", _REBUILD)
