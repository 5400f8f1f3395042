"""`modelpress ask MODEL "phrase"`: put questions to a finished model and see the answers come."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from modelpress.api import Registry, Sampling, TextModel, UserError, examples, find_artifact, load_model
from modelpress_plugins.hf.command_line import trust_option
from modelpress_plugins.hf.decode import stream_text
from modelpress_plugins.hf.ids import encode_prompt
from modelpress_plugins.huggingface.conversation import Chat, Conversation, Single, has_chat_template
from modelpress_plugins.huggingface.templates import parse_template


@click.command(
    "ask",
    epilog=examples(
        "modelpress ask out 'I lost my keys'",
        "modelpress ask out",
        "modelpress ask out < questions.txt",
        "modelpress ask phi3 'Who are you?' --system 'Be short.' --temperature 0.7 --seed 1",
    ),
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("phrase", required=False)
@click.option(
    "--max-new-tokens", type=click.IntRange(min=1), default=256, show_default=True, help="Longest answer."
)
@click.option("--prompt-template", metavar="TEXT", help="The prompt, with {} where the phrase goes.")
@click.option(
    "--workflow", type=click.Path(path_type=Path), help="Take the prompt from this workflow's data."
)
@click.option("--raw", is_flag=True, help="The phrase is the whole prompt: no template.")
@click.option("--chat", is_flag=True, help="The chat template, though it was trained with another.")
@click.option("--system", "system_message", metavar="TEXT", help="System message; implies --chat.")
@click.option("--temperature", type=click.FloatRange(min=0), help="Draw tokens; 0 takes the likeliest.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="Draw from so much probability.")
@click.option("--top-k", type=click.IntRange(min=1), help="Draw from so many of the likeliest tokens.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of what is drawn.  [default: 0]")
@trust_option
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
    temperature: float | None,
    top_p: float | None,
    top_k: int | None,
    seed: int | None,
    trust_remote_code: bool,
    device: str,
) -> None:
    """Put PHRASE to the model in a folder; the answer is written as it comes.

    A model that was trained with a prompt template gets the phrase in that template, another one in its
    chat template, if it has one. Without a PHRASE, each line is a turn: typed on a terminal until Ctrl-D,
    or from a pipe. A chat remembers the turns before; with --raw, standard input is one prompt.
    """
    chat = chat or system_message is not None
    if sum((raw, chat, prompt_template is not None, workflow is not None)) > 1:
        raise click.UsageError(
            "--raw, --chat (or --system), --prompt-template and --workflow exclude each other."
        )
    if phrase is not None and not phrase.strip():
        raise click.UsageError("The phrase is empty.")
    registry = Registry.load()
    if workflow is not None:
        prompt_template = trained_prompt(workflow, registry)
    trained = "" if raw or chat else prompt_template or find_artifact(model, registry).meta.prompt_template
    _quieten_libraries()
    opened: Any = load_model(model, registry, device, trust_remote_code=trust_remote_code)
    try:
        if not hasattr(opened, "generate"):
            raise UserError(f"{model} is not a model that writes text.")
        talk: Conversation = Single(trained)
        if chat or not (raw or trained or not has_chat_template(opened.tokenizer)):
            talk = Chat(opened.tokenizer, system_message)
        phrases = [phrase] if phrase is not None else _whole_input() if raw else _lines()
        _talk(opened, talk, phrases, max_new_tokens, _sampling(temperature, top_p, top_k, seed))
    finally:
        opened.close()


def _sampling(
    temperature: float | None, top_p: float | None, top_k: int | None, seed: int | None
) -> Sampling | None:
    """None, for greedy, unless something of drawing is asked for."""
    if temperature == 0 or (temperature, top_p, top_k, seed) == (None, None, None, None):
        return None
    return Sampling(temperature or 1.0, top_p or 1.0, top_k or 0, seed or 0)


def _talk(
    model: TextModel,
    talk: Conversation,
    phrases: Iterable[str],
    max_new_tokens: int,
    sampling: Sampling | None,
) -> None:
    asked = False
    for phrase in phrases:
        asked = True
        ids = encode_prompt(model.tokenizer, talk.prompt(phrase))
        while len(ids) >= model.context_length and talk.forget():
            ids = encode_prompt(model.tokenizer, talk.prompt(phrase))
        talk.answered(phrase, _answer(model, ids, max_new_tokens, sampling))
    if not asked:
        raise click.UsageError("The phrase is empty.")


def _lines() -> Iterator[str]:
    """The lines of standard input that are not blank, each as soon as it is there."""
    typed = sys.stdin.isatty()
    while True:
        if typed:
            click.echo("> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.removesuffix("\n").removesuffix("\r")


def _whole_input() -> Iterator[str]:
    text = sys.stdin.read().removesuffix("\n")
    if text.strip():
        yield text


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


def _quieten_libraries() -> None:
    """The answer is what was asked for, not transformers' advice and bars; and a folder needs no network."""
    for name, value in (("TRANSFORMERS_VERBOSITY", "error"), ("TQDM_DISABLE", "1"), ("HF_HUB_OFFLINE", "1")):
        os.environ.setdefault(name, value)


def _answer(model: TextModel, ids: list[int], max_new_tokens: int, sampling: Sampling | None) -> str:
    if not ids:
        raise UserError("The prompt is empty.")
    room = model.context_length - len(ids)
    if room < 1:
        raise UserError(f"The prompt has {len(ids)} tokens, and the model takes {model.context_length}.")
    pieces = []
    for piece in stream_text(model, ids, min(max_new_tokens, room), sampling):
        click.echo(piece, nl=False)
        sys.stdout.flush()
        pieces.append(piece)
    click.echo()
    return "".join(pieces)
