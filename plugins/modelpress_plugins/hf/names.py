"""Names that transformers gives to tensors while it loads a checkpoint, where they differ from the file's.

An adapter speaks of modules; for some architectures (most with images, newer mixtures of experts)
transformers 5 renames the checkpoint's tensors to them. An adapter that an older version saved speaks of that
version's modules: the same renaming leads to today's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.pytorch_utils import Conv1D

from modelpress_plugins.hf.bare_model import bare_model, open_config


class LoadedNames:
    """How transformers calls and keeps the tensors of one checkpoint, once it has loaded them."""

    def __init__(self, folder: Path, names: Iterable[str], trust_remote_code: bool) -> None:
        """names: the tensors of the checkpoint. Those that are fused or split while loading are not found."""
        config = open_config(folder, trust_remote_code=trust_remote_code)
        self._model = bare_model(config, trust_remote_code=trust_remote_code)
        transforms = get_model_conversion_mapping(self._model)
        self._renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
        self._converters = [t for t in transforms if isinstance(t, WeightConverter)]
        self._state = self._model.state_dict()
        self._in_file = {
            renamed: name for name in names for renamed, fused in [self._loaded(name)] if not fused
        }

    def in_file(self, tensor: str) -> str:
        """The checkpoint's name of a module's tensor, by the module's name of today or of an older version;
        empty when there is none."""
        return self._in_file.get(tensor) or self._in_file.get(self._loaded(tensor)[0]) or ""

    def is_in_by_out(self, module: str) -> bool:
        """Whether a module keeps its weight as (in, out)."""
        try:
            found = self._model.get_submodule(self._loaded(f"{module}.weight")[0].removesuffix(".weight"))
        except AttributeError:
            return False
        return isinstance(found, Conv1D) or bool(getattr(found, "is_transposed", False))

    def _loaded(self, name: str) -> tuple[str, bool]:
        """(the name after loading, whether it is then part of another tensor)."""
        renamed, converted = rename_source_key(
            name, self._renamings, self._converters, self._model.base_model_prefix, self._state
        )
        return renamed, converted is not None
