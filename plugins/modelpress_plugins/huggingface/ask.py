"""`modelpress ask MODEL "phrase"`: put a question to a finished model and see the answer come."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from modelpress.api import Registry, TextModel, UserError, examples, find_artifact, load_model
from modelpress_plugins.hf.decode import stream_text
from modelpress_plugins.hf.ids import HfTokenizer, encode_prompt
from modelpress_plugins.huggingface.templates import parse_template

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
@click.option(
    "--workflow", type=click.Path(path_type=Path), help="Take the prompt from this workflow's data."
)
@click.option("--raw", is_flag=True, help="The phrase is the whole prompt: no template.")
@click.option("--chat", is_flag=True, help="Use the chat template of the model's tokenizer.")
@click.option("--system", "system_message", metavar="TEXT", help="System message; implies --chat.")
@click.option("--trust-remote-code", is_flag=True, help="Run Python code that lies in the model's folder.")
@click.option("--device", default="cpu", show_default=True, help="cpu or gpu.")
def command(
    model: Path,
    phrase: str | None,
    max_new_tokens: int,
    prompt_template: str | None,
    workflow: Path | None,
    raw: bool,
    chat: bool,
    system_message: str | None,
    trust_remote_code: bool,
    device: str,
) -> None:
    """Put PHRASE (or standard input) to the model in a folder; the answer is written as it comes.

    A model that was trained with a prompt template gets the phrase in that template.
    """
    chat = chat or system_message is not None
    if sum((raw, chat, prompt_template is not None, workflow is not None)) > 1:
        raise click.UsageError(
            "--raw, --chat (or --system), --prompt-template and --workflow exclude each other."
        )
    text = phrase if phrase is not None else _read_stdin()
    if not text.strip():
        raise click.UsageError("The phrase is empty.")
    registry = Registry.load()
    if workflow is not None:
        prompt_template = trained_prompt(workflow, registry)
    meta = find_artifact(model, registry).meta
    _quieten_libraries()
    opened: Any = load_model(model, registry, device, trust_remote_code=trust_remote_code)
    try:
        if not hasattr(opened, "generate"):
            raise UserError(f"{model} is not a model that writes text.")
        if chat:
            prompt = _chat(opened.tokenizer, text, system_message)
        else:
            template = None if raw else prompt_template or meta.prompt_template
            prompt = fill(template, text) if template else text
        _answer(opened, encode_prompt(opened.tokenizer, prompt), max_new_tokens)
    finally:
        opened.close()


def fill(template: str, phrase: str) -> str:
    """The template with its placeholder replaced: `{}`, or the one `{name}` that is in it.

    Other braces are left alone. Raises UserError when there is no placeholder, or more than one.
    """
    names = {"{}"} if "{}" in template else set(_PLACE.findall(template))
    if len(names) != 1:
        found = ", ".join(sorted(names)) or "none"
        raise UserError(
            f"The prompt template needs one placeholder and has {found}: {template!r}.",
            "Give another with --prompt-template, or the whole prompt with --raw.",
        )
    return template.replace(names.pop(), phrase)


def trained_prompt(file: Path, registry: Registry) -> str:
    """The prompt that the workflow's first training pass saw: its data's template up to the answer.

    Raises UserError when no pass names training data with a template that has a question and an answer.
    """
    # Only here: reading a workflow takes pydantic, and most questions come without one.
    from modelpress.api import PassChoice, load_workflow  # noqa: PLC0415

    workflow = load_workflow(file, registry)
    for choice in workflow.passes:
        data = workflow.data.get(choice.data.get("train", "")) if isinstance(choice, PassChoice) else None
        given = data.options.canonical().get("pre_process_data_config") if data else None
        template = given.get("text_template") if isinstance(given, dict) else None
        if isinstance(template, str) and (prompt := _before_answer(template)):
            return prompt
    raise UserError(
        f"{file} trains with no text_template of a question and an answer.", "Use --prompt-template."
    )


def _before_answer(template: str) -> str:
    """The template up to its last placeholder; empty when only one is in it."""
    cut = parse_template(template).cut_at_answer()
    return cut[0].fill("{{{}}}".format) if cut and cut[0].columns else ""


def _read_stdin() -> str:
    if sys.stdin.isatty():
        raise click.UsageError("There is no phrase to put to the model.")
    return sys.stdin.read().removesuffix("\n")


def _quieten_libraries() -> None:
    """The answer is what was asked for, not transformers' advice and bars; and a folder needs no network."""
    for name, value in (("TRANSFORMERS_VERBOSITY", "error"), ("TQDM_DISABLE", "1"), ("HF_HUB_OFFLINE", "1")):
        os.environ.setdefault(name, value)


def _chat(tokenizer: HfTokenizer, phrase: str, system_message: str | None) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise UserError("The model's tokenizer has no chat template.", "Ask without --chat.")
    messages: list[Mapping[str, str]] = [{"role": "user", "content": phrase}]
    if system_message is not None:
        messages.insert(0, {"role": "system", "content": system_message})
    # Only here: it takes transformers, which comes with the model.
    from modelpress_plugins.hf.chat import render_chat  # noqa: PLC0415

    return render_chat(tokenizer, messages, ask=True)


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
