"""`modelpress jobs`: what was given to a system and has not been taken back yet."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from filelock import FileLock, Timeout

from modelpress.cli.cache import folder_option
from modelpress.cli.execute import open_progress
from modelpress.cli.lazy import OpenGroup
from modelpress.cli.text import examples, json_option, print_json, print_table
from modelpress.cli.verbosity import verbosity_options
from modelpress.engine.cache import Cache, default_cache_folder
from modelpress.engine.heard import Heard
from modelpress.engine.job import read_answer
from modelpress.engine.job_runner import ANSWER
from modelpress.engine.submitted import Submitted, SubmittedJobs
from modelpress.errors import UserError
from modelpress.events import StepStarted
from modelpress.figures import duration, plural, shorten_path
from modelpress.progress.levels import Verbosity
from modelpress.records import to_json
from modelpress.registry import Registry
from modelpress.system import Handle


@click.group("jobs", cls=OpenGroup, short_help="List jobs on systems; attach, fetch, cancel.")
def command() -> None:
    """Jobs that were given to a system, and whose results no run has taken yet.

    `modelpress run` attaches by itself to what it began before: these are for looking after them without it.
    """


@command.command("list", epilog=examples("modelpress jobs list", "modelpress jobs list --json"))
@folder_option
@json_option
def list_(cache_dir: Path | None, as_json: bool) -> None:
    """All of them, the last first."""
    cache = _open(cache_dir)
    jobs = [(job, _state(cache, job)) for job in SubmittedJobs(cache.folder).all()]
    if as_json:
        print_json([{**to_json(job), "state": state} for job, state in jobs])
        return
    if jobs:
        now = time.time()
        print_table(
            ("JOB", "STEP", "SYSTEM", "SINCE", "STATE", "WORKFLOW"),
            [
                (
                    job.id,
                    job.name,
                    f"{job.place.name} ({job.place.type})",
                    duration(now - job.at),
                    state,
                    shorten_path(job.workflow),
                )
                for job, state in jobs
            ],
        )
    click.echo(f"{plural(len(jobs), 'job')} in {cache.folder}")


@command.command("attach", epilog=examples("modelpress jobs attach 3f2a"))
@click.argument("job")
@folder_option
@verbosity_options
def attach(job: str, cache_dir: Path | None, verbosity: Verbosity) -> None:
    """Watch a job until it ends. Ctrl-C leaves it as it is."""
    cache = _open(cache_dir)
    found = SubmittedJobs(cache.folder).get(job)
    handle, folder = _handle(found), cache.job_folder(found.key)
    system = found.place.open(Registry.load())
    progress = open_progress(sys.stdout, verbosity)
    try:
        progress(StepStarted(1, 1, found.name, found.type, found.place.name, True))
        heard = Heard(found.id, progress)
        system.watch(handle, heard)
        system.collect(handle, ANSWER, folder)
        heard.finish(folder / "events.jsonl")
    finally:
        progress.close()
        system.close()
    read_answer(folder)
    run = f"modelpress run {shorten_path(found.workflow)}" if found.workflow else "the run that began it"
    click.echo(f"{found.name} is done. Its result is taken by: {run}")


@command.command("fetch", epilog=examples("modelpress jobs fetch 3f2a --to what-it-made"))
@click.argument("job")
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), help="A folder; else the job's own.")
@folder_option
def fetch(job: str, to: Path | None, cache_dir: Path | None) -> None:
    """Bring what a job has made so far: its output, checkpoint, events and log."""
    cache = _open(cache_dir)
    found = SubmittedJobs(cache.folder).get(job)
    own = cache.job_folder(found.key)
    folder = to.absolute() if to else own
    if to and to.exists() and any(to.iterdir()):
        raise UserError(f"{to} is not empty.", "Give a folder that is new.")
    folder.mkdir(parents=True, exist_ok=True)
    system = found.place.open(Registry.load())
    try:
        parts = (*ANSWER, "out", "checkpoint")
        if system.traits.shares_files and to:
            _copy(own, folder, parts)
        else:
            system.collect(_handle(found), parts, folder)
    finally:
        system.close()
    click.echo(f"{', '.join(sorted(path.name for path in folder.iterdir())) or 'nothing'} in {folder}")


@command.command("cancel", epilog=examples("modelpress jobs cancel 3f2a", "modelpress jobs cancel --all"))
@click.argument("job", required=False)
@click.option("--all", "all_of_them", is_flag=True, help="Every one.")
@folder_option
def cancel(job: str | None, all_of_them: bool, cache_dir: Path | None) -> None:
    """End a job. Its checkpoint is kept: a run of the workflow goes on from there."""
    if (job is None) != all_of_them:
        raise click.UsageError("Name the job, or say --all.")
    cache = _open(cache_dir)
    submitted = SubmittedJobs(cache.folder)
    registry = Registry.load()
    for found in list(submitted.all()) if job is None else [submitted.get(job)]:
        system = found.place.open(registry)
        try:
            if found.handle is not None:
                system.cancel(found.handle)
                system.collect(found.handle, (*ANSWER, "checkpoint"), cache.job_folder(found.key))
        finally:
            system.close()
        submitted.forget(found.key, *found.joined)
        click.echo(f"{found.id} is ended.")


def _open(cache_dir: Path | None) -> Cache:
    return Cache(cache_dir.expanduser().resolve() if cache_dir else default_cache_folder())


def _handle(job: Submitted) -> Handle:
    if job.handle is None:
        raise UserError(
            f"The run was killed while it submitted {job.id}.", "Run the workflow again: it finds out."
        )
    return job.handle


def _state(cache: Cache, job: Submitted) -> str:
    """As far as it can be told without asking the system."""
    folder = cache.job_folder(job.key)
    if (folder / "result.json").exists():
        return "done"
    if (folder / "error.json").exists():
        return "failed"
    try:
        with FileLock(cache.folder / "locks" / f"{job.key}.lock").acquire(timeout=0):
            return "nobody watches" if job.attachable else "cut off"
    except (Timeout, OSError):
        return "a run watches"


def _copy(source: Path, target: Path, parts: tuple[str, ...]) -> None:
    import shutil  # noqa: PLC0415 - the other verbs do without

    for part in parts:
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part)
        elif (source / part).exists():
            shutil.copy2(source / part, target / part)
