"""Marks: which modules get other bits than the rest. SelectiveMixedPrecision makes them, quantizers take
them.

A marked model (format `hf-marked`) is a folder with `marks.json` and no weights: its base is the model
itself, as that of an adapter is. So a mark costs no copy of the model. What a quantizer leaves in float keeps
its mark in `config.json`, for the next.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelpress.api import Artifact, UserError, refusal
from modelpress_plugins.grids.given import Given
from modelpress_plugins.hf.config import read_config

FORMAT = "hf-marked"
FILE = "marks.json"


@dataclass(frozen=True, slots=True)
class Marks:
    """default: for every module; what it leaves out is as the quantizer's options say.
    overrides: by module."""

    default: Given = field(default_factory=dict)
    overrides: Mapping[str, Given] = field(default_factory=dict)


def write_marks(folder: Path, marks: Marks) -> None:
    document = {"default": dict(marks.default), "overrides": {m: dict(g) for m, g in marks.overrides.items()}}
    (folder / FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_marks(folder: Path) -> Marks:
    """Raises UserError when the folder has none that can be read."""
    try:
        document = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Marks(dict(document["default"]), {m: dict(g) for m, g in document["overrides"].items()})
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder} has no {FILE}.") from None
    except OSError as error:
        raise UserError(*refusal(f"{folder / FILE} cannot be read", error)) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{folder / FILE} cannot be read: it is not what SelectiveMixedPrecision writes.",
            "Make the marks again.",
        ) from None


def check_marks(folder: Path) -> None:
    """The check of the format."""
    read_marks(folder)


def marked(model: Artifact) -> tuple[Artifact, Marks]:
    """The model itself, and what was marked in it; nothing for most."""
    if model.format == FORMAT:
        if model.base is None:
            raise UserError(f"The marks {model.path} do not say which model they belong to.")
        return model.base, read_marks(model.path)
    kept = read_config(model.path).quantization.get("marks")
    return model, Marks(overrides=kept if isinstance(kept, Mapping) else {})
