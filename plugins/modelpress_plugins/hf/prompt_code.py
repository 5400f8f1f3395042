"""How a prompt is made for a model, as lines of code for its card. Light.

The ids have to be those of training, measuring and `ask` (see ids.py): one begin token, no end token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modelpress.api import Artifact, UserError
from modelpress_plugins.hf.config import read_json

PLACE = re.compile(r"\{[^{}\n]*\}")
"""A placeholder of a prompt template."""
CHAT_TEMPLATE = "chat_template.jinja"
_PHRASE = "I lost my keys."


@dataclass(frozen=True, slots=True)
class PromptCode:
    """template: that the model was trained with; empty when there is none. place: its placeholder
    chat:   whether there is no template of that kind, but one for chats
    begin:  a begin token that both the chat template and the tokenizer would put
    closes: whether the tokenizer puts an end token, which a prompt must not have
    """

    template: str
    place: str
    chat: bool
    begin: str
    closes: bool

    def python(self, chat: str) -> Iterator[str]:
        """Lines that make `prompt`. chat: an expression for the text of `messages`."""
        yield f"phrase = {_quoted(_PHRASE)}"
        if self.template:
            yield f"prompt = {_quoted(self.template)}.replace({_quoted(self.place)}, phrase)"
        elif self.chat:
            yield 'messages = [{"role": "user", "content": phrase}]'
            begin = f".removeprefix({_quoted(self.begin)})  # the tokenizer puts it" if self.begin else ""
            yield f"prompt = {chat}{begin}"
        else:
            yield "prompt = phrase"


def prompt_code(artifact: Artifact) -> PromptCode:
    """From the files in an artifact's folder and what its meta says."""
    template = artifact.meta.prompt_template
    places = {"{}"} if "{}" in template else set(PLACE.findall(template))
    place = places.pop() if len(places) == 1 else ""
    chat = "" if place else chat_template(artifact.path)
    first, last = _added_tokens(artifact.path)
    written = bool(first) and ("bos_token" in chat or first in chat)
    return PromptCode(template if place else "", place, bool(chat), first if written else "", bool(last))


def chat_template(folder: Path) -> str:
    """The chat template that lies with a tokenizer; empty when there is none."""
    file = folder / CHAT_TEMPLATE
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    found = _json(folder / "tokenizer_config.json").get("chat_template")
    return found if isinstance(found, str) else ""


def _added_tokens(folder: Path) -> tuple[str, str]:
    """The special tokens that the tokenizer puts before and behind a text; empty where it puts none."""
    processor = _json(folder / "tokenizer.json").get("post_processor")
    inner = processor.get("processors") if isinstance(processor, Mapping) else None
    for step in inner if isinstance(inner, list) else [processor]:
        if isinstance(step, Mapping) and isinstance(step.get("single"), list) and step["single"]:
            return _special(step["single"][0]), _special(step["single"][-1])
        if isinstance(step, Mapping) and "cls" in step and "sep" in step:
            return str(step["cls"][0]), str(step["sep"][0])
    return "", ""


def _special(item: object) -> str:
    token = item.get("SpecialToken") if isinstance(item, Mapping) else None
    return str(token.get("id", "")) if isinstance(token, Mapping) else ""


def _json(path: Path) -> Mapping[str, object]:
    with suppress(UserError):  # whoever opens the file tells what is wrong; a card says less then
        return read_json(path)
    return {}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
