"""The files that travel with the weights of a model: one list of them, and the one copier. Light.

Tokenizer, chat templates, generation settings, processors, licence and read-me; Python files of the model
only where the user trusts them. config.json is not among them: whoever writes weights writes it, too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from itertools import chain, count
from pathlib import Path

from modelpress.api import Artifact, Meta, ModelFacts, PlanContext, UserError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
)
"""One of these lies in every folder from which a tokenizer can be opened."""

_ITSELF = (
    *("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "tekken.json"),
    *("vocab*", "merges.txt", "*.model", "*.tiktoken", "*.bpe", "*.spm"),
)
_TEMPLATES = ("*.jinja", "additional_chat_templates/*.jinja", "chat_template*.json")
_OF_TOKENIZER = (
    *_ITSELF,
    *_TEMPLATES,
    *("preprocessor_config.json", "processor_config.json"),
)
_LEGAL = ("licen[cs]e*", "*.license", "notice*", "copying*", "readme*", "*use_policy*", "*.md")
_OTHER = ("*.json", "*.txt")
_CODE = ("*.py",)
_WRITTEN_ANEW = (
    *("config.json", "modelpress.json", "*.index.json", "adapter_*", "genai_config.json"),
    *("trainer_state.json", "training_args*", "all_results.json", "*_results.json", ".*"),
)
"""Of the weights, or of how they were made: each output has its own."""

WITH_WEIGHTS = (*_OF_TOKENIZER, *_LEGAL, *_OTHER)
"""Patterns of the names, in lower case, of everything that travels but code. `hub.py` fetches by them."""


def copy_companions(model: Artifact | Path, out: Path) -> None:
    """Copy everything that travels with the model's weights to `out`, the tokenizer from where it lies.

    model: an artifact, or a folder whose code is not trusted. Files that are in `out` already are replaced.
    """
    folder, trusted = (
        (model.path, model.meta.trust_remote_code) if isinstance(model, Artifact) else (model, False)
    )
    _copy_all(folder, companions(folder, code=trusted), out)
    if isinstance(model, Artifact) and not has_tokenizer(folder) and find_tokenizer(model):
        copy_tokenizer(model, out)


def whole_folder(model: Artifact, folder: Path) -> Path:
    """A folder with the model and its tokenizer: the model's own, or else `folder`, made of links to all its
    files and a copy of its tokenizer. For libraries that look for both in one place."""
    if has_tokenizer(model.path) or find_tokenizer(model) is None:
        return model.path
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(model.path.iterdir()):
        if path.is_file():
            link(path, folder / path.name)
    copy_tokenizer(model, folder)
    return folder


def copy_tokenizer(model: Artifact, out: Path) -> None:
    """Copy the tokenizer of a model or adapter, with its chat templates, to `out`, byte for byte.

    One that is there goes: two mixed are none (a special_tokens_map.json of the one would rule over the
    tokenizer_config.json of the other, a chat_template.jinja over the template in it). Chat templates stay
    where the new tokenizer has none. Raises UserError when the model has none.
    """
    folder = tokenizer_folder(model)
    replaced = (*_ITSELF, *_TEMPLATES) if _has_template(folder) else _ITSELF
    for path in (*out.glob("*"), *out.glob("additional_chat_templates/*")):
        if path.is_file() and _matches(path.relative_to(out).as_posix(), replaced):
            path.unlink()
    patterns = (*_OF_TOKENIZER, *_CODE) if model.meta.trust_remote_code else _OF_TOKENIZER
    for name in companions(folder, code=model.meta.trust_remote_code):
        if _matches(name, patterns):
            _copy(folder, name, out)


def _has_template(folder: Path) -> bool:
    """Whether the tokenizer in a folder has a chat template, in a file of its own or in its configuration."""
    if any(_matches(name, _TEMPLATES) for name in companions(folder)):
        return True
    try:
        told = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and bool(told.get("chat_template"))


def copy_licence(folder: Path, out: Path) -> None:
    """Copy the licence and the read-me of a model to `out`, where something made from it goes."""
    _copy_all(folder, (name for name in companions(folder) if _matches(name, _LEGAL)), out)


def companions(folder: Path, *, code: bool = False) -> Iterator[str]:
    """The names, relative to the folder, of what travels with its weights. code: Python files, too."""
    for path in sorted(folder.rglob("*.py")) if code else ():
        if path.is_file():
            yield path.relative_to(folder).as_posix()
    for path in sorted((*folder.glob("*"), *folder.glob("additional_chat_templates/*"))):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and travels(name):
            yield name


def travels(name: str) -> bool:
    """Whether a file of this name, relative to the model's folder, travels with its weights. Not for code."""
    return _matches(name, WITH_WEIGHTS) and not _matches(name, _WRITTEN_ANEW)


def is_code(name: str) -> bool:
    """Whether it is a Python file of the model's own."""
    return _matches(name, _CODE)


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer can be opened from the folder."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def find_tokenizer(model: Artifact) -> Path | None:
    """The folder with the tokenizer of a model or adapter: its own, one apart (MLflow), or that of its base.
    None when there is none."""
    current: Artifact | None = model
    while current is not None:
        apart = current.meta.tokenizer_path
        for folder in (current.path, Path(str(apart)) if apart else None):
            if folder is not None and has_tokenizer(folder):
                return folder
        current = current.base
    return None


def tokenizer_folder(model: Artifact) -> Path:
    """As find_tokenizer. Raises UserError when there is none."""
    folder = find_tokenizer(model)
    if folder is None:
        raise UserError(f"{model.path} has no tokenizer.", NO_TOKENIZER_HINT)
    return folder


NO_TOKENIZER_HINT = "Put tokenizer.json and tokenizer_config.json beside config.json."
_WITHOUT = "without_tokenizer"


def without_tokenizer(meta: Meta) -> Meta:
    """The meta of a model that has none: some passes need none."""
    return replace(meta, extra={**meta.extra, _WITHOUT: True})


def with_tokenizer(meta: Meta) -> Meta:
    """The meta of the same model, once it has one."""
    return replace(meta, extra={name: value for name, value in meta.extra.items() if name != _WITHOUT})


def require_tokenizer(model: ModelFacts, ctx: PlanContext) -> None:
    """For the plan of a pass that needs one. Tells a problem where the model is known to have none."""
    if model.meta.extra.get(_WITHOUT):
        ctx.problem("The model has no tokenizer, which this step needs.", NO_TOKENIZER_HINT)


def meta_beside_tokenizer(meta: Meta) -> Meta:
    """The meta of a model that was made from one with this meta, and has its tokenizer beside it now."""
    extra = {name: value for name, value in meta.extra.items() if name != "tokenizer_identity"}
    return replace(meta, tokenizer_path="", extra=extra)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name.lower(), pattern) for pattern in patterns)


def link(path: Path, target: Path) -> None:
    """A link where the file system has them; Windows wants a privilege for it, and then it is a copy."""
    try:
        target.symlink_to(path.resolve())
    except OSError:
        shutil.copyfile(path, target)


def _copy_all(folder: Path, names: Iterable[str], out: Path) -> None:
    """README.md gets another name in `out`, where that is the name of the card of what is made."""
    known = list(names)
    for name in known:
        _copy(folder, name, out, _free_name(known) if name.lower() == "readme.md" else name)


def _free_name(taken: Sequence[str]) -> str:
    names = chain(["README.base.md"], (f"README.base.{number}.md" for number in count(2)))
    return next(name for name in names if name not in taken)


def _copy(folder: Path, name: str, out: Path, renamed: str = "") -> None:
    target = out / (renamed or name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / name, target)
