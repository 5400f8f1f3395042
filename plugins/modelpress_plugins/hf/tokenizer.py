"""The one way in which the tokenizer of a model is opened. What it makes of a text: ids.py."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from transformers import AutoTokenizer

from modelpress.api import Artifact, UserError
from modelpress_plugins.hf.files import tokenizer_folder
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.hf.reading import reading


def load_tokenizer(artifact: Artifact) -> HfTokenizer:
    """The transformers tokenizer of a model or adapter: its own, one that lies apart, or that of its base.

    Raises UserError when there is none.
    """
    return open_tokenizer(tokenizer_folder(artifact), trust_remote_code=artifact.meta.trust_remote_code)


def open_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> HfTokenizer:
    """The tokenizer in a folder; no network is asked. Raises UserError when it cannot be opened."""
    try:
        with reading(f"The tokenizer in {folder} cannot be opened"):
            found = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
    except ImportError as error:
        raise UserError(f"The tokenizer in {folder} cannot be opened: {error}") from error
    return cast("HfTokenizer", found)  # transformers types what differs between its backends as a union
