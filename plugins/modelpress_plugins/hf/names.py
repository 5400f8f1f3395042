"""Names that transformers gives to tensors while it loads a checkpoint, where they differ from the file's.

An adapter speaks of modules; for some architectures (most with images, newer mixtures of experts)
transformers 5 renames the checkpoint's tensors to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from modelpress_plugins.hf.bare_model import bare_model, open_config


def renamed_on_loading(folder: Path, names: Iterable[str], trust_remote_code: bool) -> Mapping[str, str]:
    """Module tensor name -> name in the checkpoint, for the causal language model in the folder.

    Tensors that transformers fuses or splits while loading are not in it.
    """
    config = open_config(folder, trust_remote_code=trust_remote_code)
    model = bare_model(config, trust_remote_code=trust_remote_code)
    transforms = get_model_conversion_mapping(model)
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    state = model.state_dict()
    found = {}
    for name in names:
        renamed, converted = rename_source_key(name, renamings, converters, model.base_model_prefix, state)
        if converted is None:
            found[renamed] = name
    return found
