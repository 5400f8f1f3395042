"""Real-looking workflow files made wrong; see ABOUT."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from random import Random
from typing import Any

import yaml
from mutations import Change, as_json, change_document, places, put, value_of
from trials import Broken, Outcome, Trial
from workbench import EXAMPLE, require_plain

from cases.malformed import command, require_told

NAME = "workflows"
TITLE = "Workflow files as people have them, made wrong"
ABOUT = """
Each trial takes a workflow file: of the folder that `--workflows` (or `WORKFLOWS`) names, else one of this
repository's examples. One to four places in it are changed: a key misspelt, a value of another kind, another nesting,
a part left out or put elsewhere, a file that is not there. `validate` is asked, sometimes `plan`; what it finds valid
is migrated and asked again. What must hold: no traceback and no "This is a bug"; at most 5 s of processor time; a
misspelt key, a value of another kind and a missing file are told, also where the exit code is 0; a valid file is valid
after `migrate`, too. Models of a hub are stood in for by the example's.
"""
COUNT, FEW, LIMIT = 600, 40, 60.0
SECONDS = 5.0
_ROOT = EXAMPLE.parents[1]
_HUB_ID = re.compile(r'"(?:model_path|model_name|hf_model_name|_name_or_path)": "([\w.-]+/[\w.-]+)"')
_NAMED_BY_USERS = ("passes", "evaluators", "systems", "data_configs", "pass_flows", "environment_variables")
"""Sections whose keys are the user's own names."""
_FREE = ("metadata", "tags", "hyperparameters", "generation_kwargs", "search", "workflow_id")


def begin(folder: Path) -> Trial:
    given = os.environ.get("WORKFLOWS")
    files = _files(Path(given)) if given else _examples()
    documents = {file.name: _absolute(_read(file), file.parent) for file in files}
    _stand_in(folder / "hub", json.dumps(list(documents.values())))
    os.environ["HF_HUB_CACHE"] = str(folder / "hub")

    def trial(chance: Random, place: Path) -> Outcome:
        name = chance.choice(sorted(documents))
        changes = _changed(documents[name], chance)
        path = _write(place / chance.choice(["workflow.json", "workflow.yaml"]), changes[-1].document, chance)
        verb = chance.choices(["validate", "plan"], [5, 1])[0]
        code, said = _ask(verb, path)
        if code == 0 and len(changes) == 1:
            _require_mentioned(changes[0], said)
        if code == 0:
            _require_migrates(path)
        how = changes[0].how if len(changes) == 1 else "several"
        return Outcome(how, {0: "valid", 2: "refused"}.get(code, f"exit code {code}"))

    return trial


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.suffix in (".json", ".yaml", ".yml") and _read(path)
    )


def _examples() -> list[Path]:
    found = [*(_ROOT / "examples").glob("*/*"), *(_ROOT / "plugins_contrib").glob("*/*.yaml")]
    return sorted(path for path in found if path.suffix in (".json", ".yaml") and "passes" in _read(path))


def _read(file: Path) -> dict[str, Any]:
    """Empty for what is no workflow."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _absolute(value: Any, folder: Path) -> Any:
    """The document with the files that it names where they are."""
    if isinstance(value, dict):
        return {key: _absolute(child, folder) for key, child in value.items()}
    if isinstance(value, list):
        return [_absolute(child, folder) for child in value]
    named = isinstance(value, str) and 0 < len(value) < 200 and "\n" not in value
    return str(folder / value) if named and (folder / value).exists() else value


def _stand_in(hub: Path, text: str) -> None:
    """A hub's cache that has every model of the files."""
    commit = "0" * 40
    for name in sorted(set(_HUB_ID.findall(text))):
        snapshot = hub / f"models--{name.replace('/', '--')}" / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for path in (EXAMPLE / "model").iterdir():
            (snapshot / path.name).symlink_to(path)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text(commit)
    hub.mkdir(exist_ok=True)


def _write(path: Path, document: Any, chance: Random) -> Path:
    as_text = path.suffix == ".yaml" and chance.random() < 0.9
    try:
        content = yaml.safe_dump(document, sort_keys=False).encode() if as_text else as_json(document)
    except (RecursionError, UnicodeEncodeError, yaml.YAMLError):
        content = as_json(document)
    path.write_bytes(content)
    return path


def _changed(document: Any, chance: Random) -> list[Change]:
    """The document changed in one place most often; each change is of what the one before left."""
    changes: list[Change] = []
    for _ in range(chance.choices([1, 2, 4], [6, 2, 2])[0]):
        before = changes[-1].document if changes else document
        if not isinstance(before, (dict, list)) or not before or (changes and changes[-1].how == "deep"):
            break
        changes.append(
            _without_file(before, chance) if chance.random() < 0.1 else change_document(before, chance)
        )
    return changes


def _without_file(document: Any, chance: Random) -> Change:
    """One of its files is not there; as any other change where it names none."""
    named = [where for where in places(document) if _is_a_file(value_of(document, where))]
    if not named:
        return change_document(document, chance)
    where = chance.choice(named)
    before = value_of(document, where)
    after = f"{before}{chance.choice(['x', '.bak', '/none'])}"
    return Change(put(document, where, after), "file", where, before, after)


def _is_a_file(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/") and Path(value).exists()


def _ask(verb: str, path: Path) -> tuple[int, str]:
    """(exit code, what it said). Raises Broken for a bug, a traceback, too long a time."""
    begun = time.process_time()
    code, said = (
        command(verb, str(path), "--offline", "--cache-dir", str(path.parent / "cache"))
        if verb == "plan"
        else command(verb, str(path), "--offline")
    )
    seconds = time.process_time() - begun
    require_plain(said)
    require_told(code, said)
    if seconds > SECONDS:
        raise Broken(f"{verb} took {seconds:.1f} s: {said[-300:]}")
    return code, said


def _require_mentioned(change: Change, said: str) -> None:
    """A valid file says what became of a change that can have no meaning."""
    words = " ".join(said.split())
    if change.how == "file":
        raise Broken(f"valid without {change.after}: {words[-300:]}")
    told = [str(part) for part in change.where if isinstance(part, str)]
    if any(part in _FREE for part in told):
        return
    if change.how == "rename" and not _is_a_name(change.where) and str(change.after).strip() not in words:
        raise Broken(f"valid, and nothing is said of {'.'.join(map(str, change.where))} -> {change.after!r}")
    plain, deep = (str, int, float), (list, dict)
    if change.how in ("junk", "swap") and isinstance(change.before, deep) and change.before:
        is_other = isinstance(change.after, plain) and change.after not in ("", None)
        if is_other and not any(part in words for part in told[-2:]):
            raise Broken(
                f"valid, and nothing is said of {'.'.join(map(str, change.where))} = {change.after!r:.80}"
            )


def _is_a_name(where: tuple[str | int, ...]) -> bool:
    return len(where) > 1 and where[-2] in _NAMED_BY_USERS


def _require_migrates(path: Path) -> None:
    new = path.with_name("new.json")
    code, said = command("migrate", str(path), str(new))
    require_plain(said)
    if code != 0:
        raise Broken(f"valid, but migrate ends with {code}: {said[-400:]}")
    code, said = _ask("validate", new)
    if code != 0:
        raise Broken(f"valid, but not once it is migrated: {said[-400:]}")
