"""What makes a folder an `hf-model` or an `hf-adapter`. Light: only headers and small files are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelpress.api import Artifact, Checkpoint, UserError

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
)
"""One of these lies in every folder from which a tokenizer can be opened."""


def check_hf_model(folder: Path) -> None:
    """Raises UserError when config.json or weights are missing or damaged."""
    read_config(folder)
    with Checkpoint(folder):
        pass


def check_hf_adapter(folder: Path) -> None:
    """Raises UserError when adapter_config.json or adapter weights are missing or damaged."""
    read_adapter_config(folder)
    with Checkpoint(folder, stem="adapter_model"):
        pass


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model. Raises UserError."""
    hint = "It should be a folder as transformers' save_pretrained() writes it."
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        hint = "It holds an adapter: give it as adapter_path, and its base as model_path."
    return _read_json(folder / "config.json", hint)


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """adapter_config.json of a PEFT adapter. Raises UserError."""
    config = _read_json(folder / "adapter_config.json", "An adapter is a folder as PEFT writes it.")
    if "peft_type" not in config:
        raise UserError(f"{folder / 'adapter_config.json'} does not name its peft_type.")
    return config


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer can be opened from the folder."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def tokenizer_folder(artifact: Artifact) -> Path:
    """The folder with the tokenizer's files. Raises UserError when there is none."""
    current: Artifact | None = artifact
    while current is not None:
        apart = current.meta.get("tokenizer_path")
        for folder in (current.path, Path(str(apart)) if apart else None):
            if folder is not None and has_tokenizer(folder):
                return folder
        current = current.base
    raise UserError(f"{artifact.path} has no tokenizer.", "Put tokenizer.json beside config.json.")


def _read_json(file: Path, hint: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file.parent} has no {file.name}.", hint) from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise UserError(f"{file} is not valid JSON: {error}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} should hold a JSON object, not a {type(content).__name__}.")
    return content
