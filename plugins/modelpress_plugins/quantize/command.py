"""`modelpress quantize MODEL --algorithm hqq --bits 4 -o OUT`: one pass, without a workflow file.

The options after --algorithm are those of the pass, made from its schema; the run is a normal one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from modelpress.api import (
    DataRole,
    JSONValue,
    OptionFacts,
    Options,
    PassSpec,
    Registered,
    Registry,
    UserError,
    Verbosity,
    did_you_mean,
    examples,
    execute_workflow,
    fold,
    json_option,
    offline_option,
    option_facts,
    takes,
    verbosity_options,
)
from modelpress_plugins.hf.command_line import (
    cache_option,
    data_option,
    hf_input_model,
    text_template_option,
    trust_option,
)
from modelpress_plugins.hf.data_file import data_of_file
from modelpress_plugins.quantize.marks import FORMAT as MARKED

_ALGORITHM = "modelpress.algorithm"
_PREFIX = "pass_option_"
_DATA = "calibration"
_OWN = (
    "algorithm",
    "output",
    "output_dir",
    "data",
    "text_template",
    "quantizer",
    "trust_remote_code",
    "cache_dir",
    "offline",
)
"""Options of the command; one of a pass that is called the same is `--pass-NAME` here."""


class AlgorithmCommand(click.Command):
    """A command whose options grow by those of the pass that --algorithm names."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        name = _algorithm_in(args)
        if name is not None:
            entry = find_algorithm(Registry.load(), name)
            ctx.meta[_ALGORITHM] = (entry, options_of(entry.options_class))
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        _, options = ctx.meta.get(_ALGORITHM, (None, ()))
        return [*super().get_params(ctx), *options]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        entry, options = ctx.meta.get(_ALGORITHM, (None, ()))
        with formatter.section("Options"):
            formatter.write_dl(_help_records(super().get_params(ctx), ctx))
        if entry is not None:
            with formatter.section(f"Options of {entry.spec.name}"):
                formatter.write_dl(_help_records(options, ctx))
            return
        known = [(e.spec.name.lower(), e.spec.summary) for e in algorithms(Registry.load())]
        if known:
            with formatter.section("Algorithms (--algorithm NAME --help shows the options of one)"):
                formatter.write_dl(known)


@click.command(
    "quantize",
    cls=AlgorithmCommand,
    epilog=examples(
        "modelpress quantize phi3 --algorithm hqq --bits 4 -o phi3-int4",
        "modelpress quantize --algorithm gptq --help",
    ),
)
@click.argument("model")
@click.option(
    "-a",
    "--algorithm",
    required=True,
    metavar="NAME",
    shell_complete=lambda ctx, param, incomplete: complete_algorithm(incomplete),
    help="A pass, e.g. hqq; case does not matter.",
)
@click.option(
    "-o",
    "--output-dir",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the model goes.",
)
@data_option
@text_template_option
@click.option(
    "--quantizer",
    default="Gptq",
    show_default=True,
    metavar="NAME",
    help="What follows an algorithm that marks.",
)
@trust_option
@cache_option
@offline_option
@verbosity_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str,
    algorithm: str,
    output_dir: Path,
    data: Path | None,
    text_template: str | None,
    quantizer: str,
    trust_remote_code: bool,
    cache_dir: Path | None,
    offline: bool,
    verbosity: Verbosity,
    as_json: bool,
    **pass_options: JSONValue,
) -> None:
    """Quantize MODEL (a folder, or the id of a model on the hub) with one pass."""
    entry: Registered[PassSpec] = ctx.meta[_ALGORITHM][0]
    values = {name.removeprefix(_PREFIX): value for name, value in pass_options.items() if value is not None}
    workflow = one_pass_workflow(model, entry.spec.name, values, trust_remote_code=trust_remote_code)
    if entry.spec.produces == MARKED:
        _add_quantizer(workflow, entry, values, quantizer)
    if data is not None:
        _add_data(workflow, entry, data, text_template)
    elif _needs_data(entry):
        raise UserError(f"{entry.spec.name} calibrates on data.", "Name a file of text: --data train.json")
    execute_workflow(
        workflow.document,
        output_dir=output_dir,
        cache_dir=cache_dir,
        offline=offline,
        verbosity=verbosity,
        as_json=as_json,
    )


def algorithms(registry: Registry) -> list[Registered[PassSpec]]:
    """The passes that take a Hugging Face model and have an option `bits`."""
    found = [entry for entry in registry.all(PassSpec) if "hf-model" in entry.spec.accepts]
    with_bits = [entry for entry in found if "bits" in entry.options_class.model_fields]
    return sorted(with_bits, key=lambda entry: entry.spec.name.lower())


def complete_algorithm(incomplete: str) -> list[str]:
    """Names of algorithms that begin so, in lower case."""
    names = (entry.spec.name.lower() for entry in algorithms(Registry.load()))
    return [name for name in names if name.startswith(incomplete.lower())]


def find_algorithm(registry: Registry, name: str) -> Registered[PassSpec]:
    """The pass of that name; case, `-` and `_` do not count. Raises UserError with the nearest."""
    for entry in registry.all(PassSpec):
        if fold(entry.spec.name) == fold(name):
            return entry
    names = [entry.spec.name.lower() for entry in algorithms(registry)]
    raise UserError(f"There is no algorithm {name!r}.", did_you_mean(name, names, what="There are"))


@dataclass
class OnePass:
    """The workflow that the command line stands for, while it is put together."""

    input_model: dict[str, JSONValue]
    passes: dict[str, dict[str, JSONValue]]
    data: list[dict[str, JSONValue]] = field(default_factory=list)

    @property
    def document(self) -> dict[str, JSONValue]:
        data: dict[str, JSONValue] = {"data_configs": self.data} if self.data else {}
        return {"input_model": self.input_model, "passes": self.passes, **data}


def one_pass_workflow(
    model: str, pass_type: str, options: Mapping[str, JSONValue], *, trust_remote_code: bool
) -> OnePass:
    """The workflow that the command line stands for; paths absolute."""
    input_model = hf_input_model(model, trust_remote_code=trust_remote_code)
    return OnePass(input_model, {pass_type.lower(): {"type": pass_type, **options}})


def _add_quantizer(
    workflow: OnePass, entry: Registered[PassSpec], values: Mapping[str, JSONValue], name: str
) -> None:
    """The quantizer that takes the marks, with those of the options that it has, too."""
    follower = find_algorithm(Registry.load(), name)
    if MARKED not in follower.spec.accepts:
        raise UserError(
            f"{follower.spec.name} cannot follow {entry.spec.name}.", "Name a quantizer, e.g. gptq."
        )
    known = set(follower.resolve(follower.spec.config).model_fields) - {"overrides", "algorithm"}
    shared = {option: value for option, value in values.items() if option in known}
    workflow.passes[follower.spec.name.lower()] = {"type": follower.spec.name, **shared}


def options_of(options: type[Options]) -> list[click.Option]:
    """Command-line options from a pass's Options. Those that name a data config are left to --data."""
    data = _data_options(options)
    facts = option_facts(options.json_schema())
    return [_option(fact) for fact in facts if fact.name not in data]


def _help_records(params: Sequence[click.Parameter], ctx: click.Context) -> list[tuple[str, str]]:
    options = [param for param in params if isinstance(param, click.Option)]
    return [record for option in options if (record := option.get_help_record(ctx))]


def _option(fact: OptionFacts) -> click.Option:
    name = ("pass-" if fact.name in _OWN else "") + fact.name.replace("_", "-")
    told = [fact.description, fact.limits, f"default: {fact.default}" if fact.default else ""]
    help_text = "  ".join(
        [told[0], f"[{'; '.join(t for t in told[1:] if t)}]" if any(told[1:]) else ""]
    ).strip()
    parameter = f"{_PREFIX}{fact.name}"
    if fact.type == "boolean" and not fact.choices:
        return click.Option([f"--{name}/--no-{name}", parameter], default=None, help=help_text)
    return click.Option(
        [f"--{name}", parameter],
        metavar=f"[{'|'.join(fact.choices)}]" if fact.choices else fact.type.upper().replace("ANY", "VALUE"),
        callback=lambda ctx, param, value: None if value is None else convert(value, fact, param, ctx),
        required=fact.required,
        help=help_text,
    )


def convert(
    text: str, fact: OptionFacts, param: click.Parameter | None = None, ctx: click.Context | None = None
) -> object:
    """A value as the schema wants it: a word for strings, JSON for all else. The pass checks the rest."""
    if fact.choices and text not in fact.choices:
        raise click.BadParameter(f"{text!r} is none of {', '.join(fact.choices)}.", ctx, param)
    if fact.type == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        if fact.type == "any":
            return text
        raise click.BadParameter(f"{text!r} is not {takes(fact)}.", ctx, param) from None


def _add_data(workflow: OnePass, entry: Registered[PassSpec], data: Path, text_template: str | None) -> None:
    names = _data_options(entry.options_class)
    if not names:
        raise UserError(f"{entry.spec.name} takes no data.", "Leave out --data.")
    workflow.data = [data_of_file(_DATA, data, text_template)]
    for step in workflow.passes.values():
        follower = find_algorithm(Registry.load(), str(step["type"]))
        step.update(dict.fromkeys(_data_options(follower.resolve(follower.spec.config))[:1], _DATA))


def _needs_data(entry: Registered[PassSpec]) -> bool:
    options = entry.options_class
    return any(options.model_fields[name].is_required() for name in _data_options(options))


def _data_options(options: type[Options]) -> list[str]:
    return [
        name
        for name, field in options.model_fields.items()
        if any(isinstance(mark, DataRole) for mark in field.metadata)
    ]


def _algorithm_in(args: Sequence[str]) -> str | None:
    """The value of --algorithm, before click has parsed anything."""
    for word, following in zip(args, [*args[1:], None], strict=True):
        if word in ("-a", "--algorithm"):
            return following
        if word.startswith("--algorithm="):
            return word.partition("=")[2]
        if word.startswith("-a"):  # -ahqq
            return word[2:]
    return None
