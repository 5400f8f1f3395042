"""How a model of a format is used, told by the plugin that brings the format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """For the card in a model's folder, and for whoever has just made the model.

    text:     Markdown: how it is opened in its own runtime. Code in it runs in the model's folder as it
              stands, and names nothing of the machine that it was made on
    try_it:   the words after `modelpress` that try it, with `{}` where the model's folder goes: `ask {} "…"`;
              empty when nothing on this machine can
    library:  `library_name` of model hubs; tags: theirs, too
    relation: `base_model_relation` of model hubs: quantized, adapter, merge, finetune; empty: not said
    code:     Python that runs it in the model's folder as it stands; packages: what pip has to install for it
    """

    text: str
    try_it: str = ""
    library: str = ""
    tags: Sequence[str] = ()
    relation: str = ""
    code: str = ""
    packages: Sequence[str] = ()
