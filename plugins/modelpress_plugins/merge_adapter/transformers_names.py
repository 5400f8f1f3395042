"""Names that transformers gives to tensors when it loads a checkpoint, where they differ from the file's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path


def renamed_on_loading(folder: Path, names: Iterable[str], trust_remote_code: bool) -> Mapping[str, str]:
    """Module tensor name -> name in the checkpoint."""
    return {}
