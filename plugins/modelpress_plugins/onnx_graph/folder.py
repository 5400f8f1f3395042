"""Which files of a model's folder are graphs, which hold their weights, and which travel along. Light."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from modelpress.api import Artifact, Meta, UserError, refusal
from modelpress_plugins.onnx_graph.facts import GraphFacts, read_facts

GENAI, GENAI_CONFIG = "ort-genai", "genai_config.json"
SUFFIX = ".onnx"
FILE_NAME, FILES = "onnx_file_name", "files"
"""In `meta.extra`: the graph that is meant, where a folder holds several; the files of the folder that are
the model, where it holds others, too."""
_MANIFEST = "modelpress.json"


def graph_names(folder: Path, format: str, meta: Meta) -> list[str]:
    """The graphs of a model, relative to its folder. Raises UserError when there is none."""
    named = meta.extra.get(FILE_NAME)
    if isinstance(named, str) and named:
        return [named]
    found = sorted(set(_named_in(folder / GENAI_CONFIG))) if format == GENAI else _lying_in(folder)
    if not found:
        raise UserError(f"{folder} holds no {SUFFIX} file.", "Name the folder of an ONNX model, or its file.")
    return found


def with_summaries(folder: Path, names: Iterable[str]) -> Mapping[str, GraphFacts]:
    return {name: read_facts(folder / name) for name in names}


def files_of(name: str, facts: GraphFacts) -> list[str]:
    """A graph and the files that hold its weights, relative to the model's folder."""
    below = Path(name).parent
    return [name, *((below / file).as_posix() for file in facts.files)]


def copy_companions(model: Artifact, out: Path, graphs: Iterable[str]) -> None:
    """Copy what lies beside the graphs and their weights: configuration, tokenizer, licence. Graphs of the
    folder that are not meant, and their weights, stay."""
    listed = model.meta.extra.get(FILES)
    if isinstance(listed, list | tuple):
        names = [str(name) for name in listed]
    else:
        names = [p.relative_to(model.path).as_posix() for p in sorted(model.path.rglob("*")) if p.is_file()]
    weights = set[str]()
    for name in {*graphs, *_lying_in(model.path)}:
        weights.update(files_of(name, read_facts(model.path / name)))
    for name in names:
        if name in weights or name == _MANIFEST or any(part.startswith(".") for part in Path(name).parts):
            continue
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.path / name, out / name)


def meta_of_result(meta: Meta) -> Meta:
    """What holds for a model of which every graph was written anew: its folder holds nothing else."""
    return replace(meta, extra={k: v for k, v in meta.extra.items() if k not in (FILE_NAME, FILES)})


def _lying_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(f"*{SUFFIX}") if path.is_file())


def _named_in(config: Path) -> Iterator[str]:
    """Every `filename` of a graph in genai_config.json."""
    try:
        yield from _file_names(json.loads(config.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(*refusal(f"{config} cannot be read", error, "Build the model again.")) from None


def _file_names(section: object) -> Iterator[str]:
    if isinstance(section, Mapping):
        for key, value in section.items():
            if key == "filename" and isinstance(value, str) and value.endswith(SUFFIX):
                yield value
            else:
                yield from _file_names(value)
    elif isinstance(section, list):
        for value in section:
            yield from _file_names(value)
