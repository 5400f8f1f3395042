"""Rewrite a workflow in today's form."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import yaml

from modelpress.config.given import Given
from modelpress.config.load import read_native
from modelpress.config.source import resolvers
from modelpress.errors import UserError
from modelpress.files import write_whole
from modelpress.machine import refusal
from modelpress.registry import Registry


def migrate(old: Path, new: Path, registry: Registry, *, overwrite: bool = False) -> list[str]:
    """Write the workflow in `old` to `new` in today's form, as YAML or JSON by its suffix.

    Returns what the user should read: every translation, and what to look after.

    Raises UserError when new is there already (unless told to overwrite it), its suffix is neither, or its
    folder does not exist; WorkflowError when old cannot be translated. Nothing is written then.
    """
    if new.suffix.lower() not in (".json", ".yaml", ".yml"):
        raise UserError(f"{new} has to end in .yaml, .yml or .json.")
    if new.exists() and not overwrite:
        raise UserError(f"{new} exists already.", "Choose another name, or say that it may be overwritten.")
    if new.exists() and old.exists() and os.path.samefile(old, new):
        raise UserError(f"{new} is the file that is read.", "Give the new one another name.")
    native = read_native(Given(old), registry)
    native.problems.raise_if_any()
    text = dump_json(native.root.plain()) if new.suffix.lower() == ".json" else dump_yaml(native.root.plain())
    notes = _notes(old, new)
    _write(new, text)
    return [*map(str, native.translations.all()), *notes]


def dump_json(workflow: object) -> str:
    return json.dumps(workflow, indent=2, ensure_ascii=False) + "\n"


def dump_yaml(workflow: object) -> str:
    """YAML that reads the same by the rules of YAML 1.1 and 1.2."""
    return yaml.dump(workflow, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes text that either version of YAML would take for something else; many lines as a block."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *resolvers().get(first, [])]
        for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *resolvers()}
    }

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    is_block = "\n" in text and not re.search(r"[ \t]\n|^[ \n]|[^\S\n]$", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if is_block else None)


_Dumper.add_representer(str, _represent_text)


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path.resolve(), text.encode())
    except OSError as error:
        raise UserError(*refusal(f"{path} cannot be written", error)) from None


def _notes(old: Path, new: Path) -> list[str]:
    notes = []
    if old.absolute().parent != new.absolute().parent:
        notes.append(f"Relative paths in {new} count from its own folder: look them through.")
    if old.suffix.lower() != ".json" and re.search(r"(^|\s)#", old.read_text(encoding="utf-8-sig")):
        notes.append("Comments are not carried over.")
    return notes
