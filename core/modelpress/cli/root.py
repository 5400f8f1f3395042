"""The command `modelpress` itself: which commands there are. Their code is in one file per noun."""

from __future__ import annotations

import os

import click

from modelpress.cli.lazy import Lazy, LazyGroup
from modelpress.version import VERSION

_SECTIONS = {
    "Work": {
        "run": Lazy("run", "Run a workflow."),
        "plan": Lazy("plan", "Show what a run would do; do nothing."),
        "validate": Lazy("validate", "Tell every problem of a workflow."),
    },
    "What there is": {
        "passes": Lazy("nouns", "List passes; show one and its options.", made=True),
        "models": Lazy("nouns", "List ways to name an input model.", made=True),
        "formats": Lazy("nouns", "List formats of models.", made=True),
        "data": Lazy("nouns", "List data containers; preview samples.", made=True),
        "systems": Lazy("nouns", "List the kinds of places where work runs.", made=True),
        "metrics": Lazy("nouns", "List what can be measured.", made=True),
        "resources": Lazy("nouns", "List kinds of paths that are fetched.", made=True),
        "samplers": Lazy("nouns", "List ways to search.", made=True),
        "observers": Lazy("nouns", "List who can watch a run.", made=True),
        "libraries": Lazy("nouns", "List what is known of libraries that passes use.", made=True),
        "commands": Lazy("nouns", "List commands that plugins bring.", made=True),
        "plugins": Lazy("plugins", "List plugins, broken ones with the reason."),
        "doctor": Lazy("doctor", "Check this installation and this machine."),
    },
    "House-keeping": {
        "jobs": Lazy("jobs", "List jobs on systems; attach, fetch, cancel."),
        "runs": Lazy("runs", "List runs; show what one did."),
        "cache": Lazy("cache", "See, check and clean the cache."),
        "schema": Lazy("schema", "JSON Schema of workflow files, for editors."),
        "migrate": Lazy("migrate", "Rewrite an older workflow in today's form."),
    },
}


@click.group(
    "modelpress",
    cls=LazyGroup,
    sections=_SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExit codes: 2 your input is wrong, 3 something is not installed,\n"
    "4 a pass failed, 5 a system failed, 130 interrupted.",
)
@click.version_option(VERSION, prog_name="modelpress", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def root(debug: bool) -> None:
    """Press AI models for the hardware they will run on."""
    if debug:
        os.environ["MODELPRESS_DEBUG"] = "1"
