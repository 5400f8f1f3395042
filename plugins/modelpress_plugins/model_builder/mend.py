"""config.json as the builder of onnxruntime-genai 0.18 has to find it: the same model, told in its words."""

from __future__ import annotations

from pathlib import Path

from transformers import PretrainedConfig

from modelpress.api import Checkpoint
from modelpress_plugins.hf.bare_model import open_config
from modelpress_plugins.hf.config import CONFIG, ModelConfig, changed_document, read_config, write_json
from modelpress_plugins.hf.files import link
from modelpress_plugins.hf.tied import contradicts

WINDOWED = "sliding_attention"


def window_of(config: PretrainedConfig) -> int:
    """Positions that a layer with a sliding window sees; 0 where no layer has one.

    config: as transformers opens it, which fills in what an architecture's default is.
    """
    text = config.get_text_config()
    window = getattr(text, "sliding_window", None)
    return int(window) if window and any(windowed_layers(config)) else 0


def windowed_layers(config: PretrainedConfig) -> list[bool]:
    """For each layer, whether transformers gives it the sliding window.

    Where an architecture has no types of layers (Phi-3, Mistral), the window is that of all of them.
    """
    text = config.get_text_config()
    types = getattr(text, "layer_types", None)
    if types is None:
        return [bool(getattr(text, "sliding_window", None))] * int(getattr(text, "num_hidden_layers", 0))
    return [kind == WINDOWED for kind in types]


def _needs_rope_type(model: ModelConfig) -> bool:
    """Whether the builder would stumble over a longrope section: it wants `type`, which transformers 5 no
    longer writes."""
    return model.rope.get("rope_type") == "longrope" and "type" not in model.rope


def mended(folder: Path, scratch: Path, *, trust_remote_code: bool) -> Path:
    """The folder, or one of links to its files and a config.json that the builder reads as transformers does.

    Without `layer_types` the builder gives no layer the window, but names it in genai_config.json: the cache
    is cut while attention is not.
    """
    written = read_config(folder)
    document = dict(written.document)
    with Checkpoint(folder) as checkpoint:
        if contradicts(checkpoint, written):  # the builder would share what transformers keeps apart
            document = changed_document(written, untied=True)
    if _needs_rope_type(written):
        document["rope_parameters"] = {**written.rope, "type": "longrope"}
    config = open_config(folder, trust_remote_code=trust_remote_code)
    if window_of(config) and getattr(config, "layer_types", None) is None and "text_config" not in document:
        document["layer_types"] = [WINDOWED] * len(windowed_layers(config))
    if document == written.document:
        return folder
    scratch.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != CONFIG:
            link(path, scratch / path.name)
    write_json(scratch / CONFIG, document)
    return scratch
