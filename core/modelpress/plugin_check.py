"""Check a plugin whole: its import is timed, every reference imported, every signature held to its contract.

`check(what)` does it in a process of its own with a time limit, since a plugin may do anything. what is the
name of an installed plugin, a project's folder (a pyproject.toml with the entry point), or one Python file.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import click

from modelpress import contracts, specs
from modelpress.engine.process import child_environment, import_path
from modelpress.errors import MissingDependencyError, ModelpressError, UserError
from modelpress.hookspecs import ENTRY_POINT_GROUP
from modelpress.loading import installed_points
from modelpress.nearest import did_you_mean
from modelpress.options import Options
from modelpress.provider import installed_versions
from modelpress.registry import Registered, Registry
from modelpress.requirements import lacks, required_names
from modelpress.specs import Reference, Spec
from modelpress.testing.heavy import HEAVY

TIME_LIMIT = 60.0
"""Seconds for the whole check."""
SLOW_IMPORT = 1.0
"""Seconds that every command would wait for the plugin."""
_LIGHT = ("config", "plan", "check", "identity", "describe")
"""References that a plan imports; `open` too, where it is a model's or a system's."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. what: `pass Blur: plan`; text: what is wrong, or was not seen."""

    what: str
    verdict: Literal["ok", "note", "fault"]
    text: str = ""


def check(what: str) -> list[Finding]:
    """Raises UserError when there is no such plugin."""
    _points(what)  # a wrong name is told before anything is started
    with tempfile.TemporaryDirectory(prefix="modelpress-check-") as folder:
        answer = Path(folder) / "findings.json"
        environment = child_environment({**os.environ, "PYTHONPATH": import_path()})
        try:
            done = subprocess.run(
                [sys.executable, "-m", "modelpress.plugin_check", what, str(answer)],
                env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=TIME_LIMIT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return [Finding("the check", "fault", f"it did not end within {TIME_LIMIT:.0f} seconds")]
        if not answer.exists():
            last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
            return [Finding("the check", "fault", f"it ended with exit code {done.returncode}: {last}")]
        return [Finding(**record) for record in json.loads(answer.read_text(encoding="utf-8"))]


def _points(what: str) -> list[EntryPoint]:
    """The entry points that are meant; for a path, its modules are made importable."""
    path = Path(what)
    if path.suffix == ".py" and path.is_file():
        sys.path.insert(0, str(path.absolute().parent))
        return [EntryPoint(path.stem, path.stem, ENTRY_POINT_GROUP)]
    if path.is_dir() and (os.sep in what or "/" in what or what == "." or (path / "pyproject.toml").exists()):
        return _project_points(path)
    installed, broken = installed_points()
    found = [point for point in installed if what in _names(point)]
    for each in () if found else broken:
        if each.distribution.startswith(f"{what.replace('-', '_')}-"):
            raise UserError(f"{each.distribution}: {each.error}.", "Install the distribution again.")
    if not found:
        known = sorted({name for point in installed for name in _names(point)})
        raise UserError(
            f"There is no plugin {what!r}.",
            f"{did_you_mean(what, known)} A path to a project's folder or to a .py file will do too.".strip(),
        )
    return found


def _names(point: EntryPoint) -> list[str]:
    return [point.name, *([point.dist.name] if point.dist else [])]


def _project_points(folder: Path) -> list[EntryPoint]:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        points: dict[str, str] = project["project"]["entry-points"][ENTRY_POINT_GROUP]
    except FileNotFoundError:
        raise UserError(
            f"{folder} has no pyproject.toml.", "Name a plugin, or its project's folder."
        ) from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / 'pyproject.toml'} names no plugin: {error}.",
            f"It needs a table [project.entry-points.{ENTRY_POINT_GROUP}].",
        ) from None
    for place in (folder / "src", folder):
        if place.is_dir():
            sys.path.append(str(place.absolute()))
    return [EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in points.items()]


# What follows runs in the process of its own.


def findings(points: Iterable[EntryPoint]) -> Iterator[Finding]:
    """All that can be said of the plugins, in order."""
    for point in points:
        yield from _of_import(point)
        registry = Registry.load([point])
        for broken in registry.broken:
            yield Finding(f"plugin {point.name}", "fault", broken.error)
        entries = [Registered(spec, p.name, p.provider) for p in registry.plugins for spec in p.specs]
        if registry.plugins and not entries:
            yield Finding(f"plugin {point.name}", "note", "it brings nothing")
        for entry in entries:
            yield from _of_references(entry, light=True)
        if loaded := _heavy_now():
            yield Finding(f"plugin {point.name}", "fault", f"what a plan imports loads {', '.join(loaded)}")
        for entry in entries:
            yield from _of_references(entry, light=False)
            yield from _of_libraries(entry)


def _of_import(point: EntryPoint) -> Iterator[Finding]:
    """A plugin of one file is imported by the workflow that names it alone, and has its options in it."""
    module = point.value.partition(":")[0]
    what = f"import {module}"
    try:
        if find_spec(module) is None:
            yield Finding(what, "fault", "there is no such module")
            return
    except (ImportError, ValueError) as error:
        yield Finding(what, "fault", str(error))
        return
    one_file = point.value == point.name and point.dist is None
    code = (
        f"import sys, time, modelpress.api, modelpress.registry{', modelpress.options' if one_file else ''}\n"
        f"start = time.perf_counter()\nimport {module}\nprint(time.perf_counter() - start, *sys.modules)"
    )
    environment = child_environment({**os.environ, "PYTHONPATH": import_path()})
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    if done.returncode or not done.stdout.strip():
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield Finding(what, "fault", last)
        return
    seconds, *modules = done.stdout.splitlines()[-1].split()
    options = set[str]() if one_file else {"pydantic"}
    heavy = sorted(set(modules) & {*HEAVY, *options})
    took = float(seconds)
    if heavy:
        yield Finding(what, "fault", f"it imports {', '.join(heavy)}: every command would wait for that")
    elif took > SLOW_IMPORT:
        yield Finding(what, "fault", f"it takes {took:.1f} s: every command waits for it")
    else:
        yield Finding(what, "ok", f"{took * 1000:.0f} ms")


def _heavy_now() -> list[str]:
    return sorted(set(HEAVY) & set(sys.modules))


def _of_references(entry: Registered[Spec], *, light: bool) -> Iterator[Finding]:
    spec = entry.spec
    for field in spec.references:
        reference: Reference[object] = getattr(spec, field)
        is_light = field in _LIGHT or (field == "open" and spec.kind in ("model", "system"))
        if not reference or is_light != light:
            continue
        what = f"{spec.kind} {spec.name}: {field}"
        try:
            found = entry.resolve(reference)
        except MissingDependencyError as error:
            yield Finding(what, "note", f"not seen: {error.message}")
        except ModelpressError as error:
            yield Finding(what, "fault", error.message)
        else:
            wrong = _what_is_wrong(spec, field, found)
            yield Finding(what, "fault" if wrong else "ok", wrong or str(reference))


def _what_is_wrong(spec: Spec, field: str, found: object) -> str:
    """Empty when what a reference names is what its field is for."""
    if field == "config":
        if not (isinstance(found, type) and issubclass(found, Options)):
            return "it is no subclass of modelpress.api.Options"
        silent = undescribed(found)
        return f"without a description: {', '.join(silent)}" if silent else ""
    if field == "command":
        return "" if isinstance(found, click.Command) else "it is no command of click"
    if not callable(found):
        return f"it is {type(found).__name__}, and has to be a function"
    if inspect.iscoroutinefunction(found):
        return "it is async, and has to be a plain function"
    wanted = _arguments(spec.kind, field)
    try:
        inspect.signature(found).bind(*wanted)
    except TypeError as error:
        given = f"({', '.join(wanted)})"
        return f"it is called with {given}, and {inspect.signature(found)} cannot take that: {error}"
    except ValueError:
        return ""  # written in C, without a signature
    return ""


def undescribed(options: type[Options]) -> list[str]:
    """Options that nothing is said about. A group of options is described by the docstring of its class."""
    return [
        name
        for name, field in options.model_fields.items()
        if not field.description
        and not (isinstance(field.annotation, type) and issubclass(field.annotation, Options))
    ]


@cache
def _arguments(kind: str, field: str) -> Sequence[str]:
    """The names of the arguments that the field's Protocol is called with."""
    names = {**vars(specs), "contracts": contracts, "Options": Options, "click": click}
    kinds = {each.kind: each for each in Spec.__subclasses__()}
    (protocol,) = get_args(get_type_hints(kinds[kind], names)[field])
    call = (get_origin(protocol) or protocol).__call__
    return [name for name in inspect.signature(call).parameters if name != "self"]


def _of_libraries(entry: Registered[Spec]) -> Iterator[Finding]:
    spec = entry.spec
    try:
        for lack in lacks(spec.requires, installed_versions(required_names(spec.requires))):
            yield Finding(f"{spec.kind} {spec.name}: requires", "note", str(lack))
    except ValueError as error:
        yield Finding(f"{spec.kind} {spec.name}: requires", "fault", str(error))


def main(what: str, answer: str) -> None:
    found = [asdict(finding) for finding in findings(_points(what))]
    Path(answer).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
