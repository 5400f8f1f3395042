"""Whether a folder is a whole ort-genai model, without opening it in the runtime."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelpress.api import UserError, refusal
from modelpress_plugins.onnx_graph.wire import DamagedError, fields

CONFIG = "genai_config.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
_REBUILD = "Build the model again, or copy the whole folder."
_LIBRARY = re.compile(r"\.(so|dll|dylib|pyd)(\.\d+)*$", re.IGNORECASE)
_RUNTIME_LIBRARIES = ("backend_path",)
"""Options that name a library of the execution provider itself, by its bare name (`QnnHtp.dll`)."""

# How protobuf writes the entries of TensorProto.external_data: field 1 is the key, field 2 the value.
_LOCATION = re.compile(rb"\n\x08location\x12([\x80-\xff]?[\x01-\x7f])", re.DOTALL)
_EXTENT = re.compile(rb"\n\x06offset\x12.(\d+).{2}\n\x06length\x12.(\d+)", re.DOTALL)


def check(folder: Path) -> None:
    """Raises UserError when a file is missing, empty or cut short, or when the folder names code to be run or
    files outside it."""
    config = read_config(folder)
    _refuse_code(config, folder)
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
    except OSError as error:
        raise UserError(*refusal(f"{path} cannot be read", error, _REBUILD)) from None
    except (ValueError, AttributeError) as error:
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


def _refuse_code(section: Any, folder: Path, key: str = "") -> None:
    """A shared library is opened as the model is, and its code is run: `custom_ops_library` of session
    options, plugins of providers. A path that leads out reads, or writes, what is not the model's."""
    if isinstance(section, Mapping):
        for name, value in section.items():
            _refuse_code(value, folder, str(name))
    elif isinstance(section, list):
        for value in section:
            _refuse_code(value, folder, key)
    elif isinstance(section, str) and section:
        known = key in _RUNTIME_LIBRARIES and not _has_folder(section) and not (folder / section).exists()
        if ("library" in key or _LIBRARY.search(section)) and not known:
            raise UserError(
                f"{folder / CONFIG} names a library to be run, {section!r} ({key}).",
                "modelpress runs no code that comes with a model. If it works without, take the entry out.",
            )
        if (key.endswith(("filename", "_path", "_dir", "_file")) or key == "enable_profiling") and leads_out(
            section
        ):
            raise UserError(
                f"{folder / CONFIG} names a file outside its folder, {section!r} ({key}).", _REBUILD
            )


def leads_out(name: str) -> bool:
    """Whether a file's name, as POSIX or Windows would read it, is not one below the folder."""
    parts = re.split(r"[/\\]", name)
    return ".." in parts or parts[0] == "" or bool(re.match(r"[A-Za-z]:|~", name))


def _has_folder(name: str) -> bool:
    return "/" in name or "\\" in name


def _check_external_data(graph: Path) -> None:
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            for _ in fields(content, 0, len(content)):
                pass
        except DamagedError as error:
            raise UserError(f"{graph} is damaged or cut short: {error}.", _REBUILD) from None
        needed = max((int(m[1]) + int(m[2]) for m in _EXTENT.finditer(content)), default=0)
        names = {content[m.end() : m.end() + _length(m[1])] for m in _LOCATION.finditer(content)}
    for name in sorted(names):
        told = name.decode("utf-8", "replace")
        if leads_out(told):
            raise UserError(f"{graph} keeps weights outside its folder, in {told!r}.", _REBUILD)
        data = graph.parent / told
        _require(data)
        if len(names) == 1 and data.stat().st_size < needed:
            raise UserError(
                f"{data} is cut short: {data.stat().st_size:,} bytes, {graph.name} needs {needed:,}.",
                _REBUILD,
            )


def _length(varint: bytes) -> int:
    """What one or two bytes of a protobuf length say."""
    return sum((byte & 0x7F) << (7 * i) for i, byte in enumerate(varint))


def _require(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path.parent} lacks {path.name}.", _REBUILD)
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty.", _REBUILD)
