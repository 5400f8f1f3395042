"""`modelpress cache`: what is kept, whether it is sound, and making room."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import NoReturn

import click

from modelpress.cli.lazy import OpenGroup
from modelpress.cli.text import examples, json_option, print_json, print_table
from modelpress.engine import cache_cleaning as cleaning
from modelpress.engine.cache import Cache, default_cache_folder
from modelpress.engine.cache_cleaning import CacheEntry
from modelpress.engine.past_runs import forget_runs
from modelpress.errors import PassError, UserError
from modelpress.figures import plural, size
from modelpress.sizes import parse_size

_DAYS = {"h": 1 / 24, "d": 1, "w": 7}

folder_option = click.option(
    "--cache-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The cache's folder (default: MODELPRESS_CACHE, or this user's cache folder).",
)


@click.group("cache", cls=OpenGroup, short_help="See, check and clean the cache.")
def command() -> None:
    """Finished steps, kept so that they are never done twice."""


@command.command("ls", epilog=examples("modelpress cache ls --json"))
@folder_option
@json_option
def ls(cache_dir: Path | None, as_json: bool) -> None:
    """Everything that is kept, the last used first."""
    cache = _open(cache_dir)
    entries = cleaning.entries(cache)
    if as_json:
        print_json([_as_json(entry) for entry in entries])
        return
    if entries:
        print_table(
            ("KEY", "PASS", "FORMAT", "SIZE", "MADE"),
            [(e.key[:12], _made_by(e), e.format, size(e.size), _ago(e.created)) for e in entries],
            right=("SIZE",),
        )
    total = size(sum(entry.size for entry in entries))
    click.echo(f"{plural(len(entries), 'entry')}, {total} in {cache.folder}")


@command.command(epilog=examples("modelpress cache verify"))
@folder_option
def verify(cache_dir: Path | None) -> None:
    """Compare every byte with what was written. Ends with 4 when something is damaged."""
    cache = _open(cache_dir)
    entries = cleaning.entries(cache)
    damaged = 0
    for entry in entries:
        found = cleaning.verify(entry)
        damaged += bool(found)
        for line in found:
            click.echo(f"{entry.key[:12]} {_made_by(entry)}: {line}")
    numbers = cache.damaged_numbers()
    for key in numbers:
        click.echo(f"{key[:12]}: the kept numbers are damaged")
    if damaged or numbers:
        raise PassError(
            f"{plural(damaged + len(numbers), 'entry')} damaged; {plural(len(entries), 'result')} looked at.",
            "The next run that needs one makes it again; `modelpress cache clear` removes everything.",
        )
    click.echo(f"{plural(len(entries), 'entry')}, all sound.")


@command.command(epilog=examples("modelpress cache gc --older-than 30d --keep 20GB"))
@folder_option
@click.option("--older-than", metavar="AGE", help="Remove what was not used for so long: 12h, 30d, 8w.")
@click.option("--keep", metavar="SIZE", help="Remove the least used until so much is left: 500MB, 20GB.")
def gc(cache_dir: Path | None, older_than: str | None, keep: str | None) -> None:
    """Make room. What a run makes or reads right now stays; left-overs of failed steps always go.

    What a step told goes with its result. Numbers and records of runs take no room: they go by their age
    alone, where --older-than names one.
    """
    cache = _open(cache_dir)
    age = parse_age(older_than) if older_than else None
    freed = cleaning.collect(cache, older_than_days=age, keep_bytes=parse_size(keep) if keep else None)
    if age is not None:
        freed += forget_runs(cache.runs_folder, older_than_days=age)
    click.echo(f"{size(freed)} freed.")


@command.command(epilog=examples("modelpress cache clear --yes"))
@folder_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def clear(cache_dir: Path | None, yes: bool) -> None:
    """Remove everything. Models in output folders are copies and stay."""
    cache = _open(cache_dir)
    total = sum(entry.size for entry in cleaning.entries(cache))
    if total and not yes:
        if not sys.stdin.isatty():
            raise UserError(f"This would remove {size(total)} from {cache.folder}.", "Add --yes to do it.")
        if not click.confirm(f"Remove {size(total)} from {cache.folder}?"):
            return
    click.echo(f"{size(cleaning.clear(cache))} freed.")


def parse_age(text: str) -> float:
    """`12h`, `30d`, `8w` -> days."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([hdw])\s*", text.lower())
    if match is None:
        _refuse(text, "12h, 30d or 8w")
    return float(match[1]) * _DAYS[match[2]]


def _refuse(text: str, expected: str) -> NoReturn:
    raise UserError(f"{text!r} is not understood; expected something like {expected}.")


def _open(folder: Path | None) -> Cache:
    return Cache(folder.expanduser().resolve() if folder else default_cache_folder())


def _made_by(entry: CacheEntry) -> str:
    return str(entry.made_by.get("type") or entry.made_by.get("pass") or "?")


def _ago(when: float) -> str:
    seconds = max(time.time() - when, 0)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{plural(int(seconds // length), unit)} ago"
    return "just now"


def _as_json(entry: CacheEntry) -> dict[str, object]:
    return {
        "key": entry.key,
        "path": str(entry.path),
        "size": entry.size,
        "format": entry.format,
        "made_by": dict(entry.made_by),
        "created": entry.created,
        "used": entry.used,
    }
