"""What makes a folder an `hf-model` or an `hf-adapter`. Light: only headers and small files are read."""

from __future__ import annotations

from pathlib import Path

from modelpress.api import Checkpoint
from modelpress_plugins.hf.config import read_adapter_config, read_config


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
