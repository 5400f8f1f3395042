"""`modelpress ask MODEL "phrase"`: put a question to a finished model and see the answer come."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from modelpress.cli.text import examples
from modelpress.context import TextModel
from modelpress.engine.load import find_artifact, load_model
from modelpress.errors import UserError
from modelpress.registry import Registry
from modelpress.text import stream_text

_PLACE = re.compile(r"\{[^{}\n]*\}")


@click.command(
    "ask",
    epilog=examples(
        "modelpress ask out 'I lost my keys'",
        "echo 'I lost my keys' | modelpress ask out",
        "modelpress ask phi3 'Who are you?' --chat",
    ),
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("phrase", required=False)
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=256, show_default=True)
@click.option("--prompt-template", metavar="TEXT", help="The prompt, with {} where the phrase goes.")
@click.option("--raw", is_flag=True, help="The phrase is the whole prompt: no template.")
@click.option("--chat", is_flag=True, help="Use the chat template of the model's tokenizer.")
@click.option("--system", "system_message", metavar="TEXT", help="System message; implies --chat.")
@click.option("--device", default="cpu", show_default=True, help="cpu or gpu.")
def command(
    model: Path,
    phrase: str | None,
    max_new_tokens: int,
    prompt_template: str | None,
    raw: bool,
    chat: bool,
    system_message: str | None,
    device: str,
) -> None:
    """Put PHRASE (or standard input) to the model in a folder; the answer is written as it comes.

    A model that was trained with a prompt template gets the phrase in that template.
    """
    chat = chat or system_message is not None
    if sum((raw, chat, prompt_template is not None)) > 1:
        raise click.UsageError("--raw, --chat (or --system) and --prompt-template exclude each other.")
    text = phrase if phrase is not None else _read_stdin()
    registry = Registry.load()
    meta = find_artifact(model, registry).meta
    _quieten_libraries()
    opened: Any = load_model(model, registry, device)
    try:
        if not hasattr(opened, "generate"):
            raise UserError(f"{model} is not a model that writes text.")
        if chat:
            ids = _chat_ids(opened.tokenizer, text, system_message)
        else:
            template = None if raw else prompt_template or meta.get("prompt_template")
            ids = _ids(opened.tokenizer, fill(template, text) if template else text)
        _answer(opened, ids, max_new_tokens)
    finally:
        opened.close()


def fill(template: str, phrase: str) -> str:
    """The template with its one placeholder (`{}` or `{name}`, as often as it stands there) replaced.

    Other braces are left alone. Raises UserError when there is none, or more than one.
    """
    names = set(_PLACE.findall(template))
    if len(names) != 1:
        found = ", ".join(sorted(names)) or "none"
        raise UserError(
            f"The prompt template needs one placeholder and has {found}: {template!r}.",
            "Give another with --prompt-template, or the whole prompt with --raw.",
        )
    return template.replace(names.pop(), phrase)


def _read_stdin() -> str:
    if sys.stdin.isatty():
        raise click.UsageError("There is no phrase to put to the model.")
    return sys.stdin.read().removesuffix("\n")


def _quieten_libraries() -> None:
    """The answer is what was asked for, not transformers' advice; and a folder needs no network."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _ids(tokenizer: Any, prompt: str, *, special: bool = True) -> list[int]:
    return list(tokenizer(prompt, add_special_tokens=special)["input_ids"])


def _chat_ids(tokenizer: Any, phrase: str, system_message: str | None) -> list[int]:
    if not getattr(tokenizer, "chat_template", None):
        raise UserError("The model's tokenizer has no chat template.", "Ask without --chat.")
    messages: list[Mapping[str, str]] = [{"role": "user", "content": phrase}]
    if system_message is not None:
        messages.insert(0, {"role": "system", "content": system_message})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return _ids(tokenizer, text, special=False)  # the template has them already


def _answer(model: TextModel, ids: list[int], max_new_tokens: int) -> None:
    if not ids:
        raise UserError("The prompt is empty.")
    room = model.context_length - len(ids)
    if room < 1:
        raise UserError(f"The prompt has {len(ids)} tokens, and the model takes {model.context_length}.")
    for piece in stream_text(model, ids, min(max_new_tokens, room)):
        click.echo(piece, nl=False)
        sys.stdout.flush()
    click.echo()
