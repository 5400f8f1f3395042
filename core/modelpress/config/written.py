"""Values as they were written, before they become options: `${NAME}` is replaced, secrets are refused."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping

from pydantic import BaseModel

from modelpress.markers import Path, Resource, Secret, Verbatim, dotted, is_remote, marks
from modelpress.nearest import nearest
from modelpress.secrets import holds_secret, looks_secret

_REFERENCE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
Tell = Callable[[str, str, str], None]
"""(message, hint, dotted path)"""

FREE = "environment_variables"
"""The option of systems in which secrets may stand: it goes into a worker's environment, no record."""


def expand(
    model: type[BaseModel], values: Mapping[str, object], tell: Tell, *, may_be_secret: bool = False
) -> dict[str, object]:
    """The values with each `${NAME}` replaced by the environment variable; `$${NAME}` stands for `${NAME}`.

    One that is not set is told. Fields marked Verbatim stay as they are; in one marked Secret, `${NAME}` is
    another spelling of NAME, but in a vault's reference. may_be_secret: whether the options are kept in no
    record.
    """
    verbatim = {mark.path for mark in marks(model, values, Verbatim)}
    secret = {mark.path for mark in marks(model, values, Secret)}

    def walk(value: object, path: Path, *, referred: bool = False) -> object:
        if isinstance(value, dict):
            referred = referred or is_remote(value)
            return {key: walk(child, (*path, key), referred=referred) for key, child in value.items()}
        if isinstance(value, list):
            return [walk(child, (*path, index), referred=referred) for index, child in enumerate(value)]
        if not isinstance(value, str) or _under(path, verbatim):
            return value
        if _under(path, secret) and not referred:
            whole = _REFERENCE.fullmatch(value)
            return whole[2] if whole and not whole[1] else value
        return expand_text(value, dotted(path), tell, may_be_secret=may_be_secret)

    return {key: walk(value, (key,)) for key, value in values.items()}


def expand_text(text: str, path: str, tell: Tell, *, may_be_secret: bool = False) -> str:
    """One text expanded; see expand."""

    def replaced(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        if escaped:
            return match[0][1:]
        if name not in os.environ:
            near = nearest(name, os.environ)
            hint = f"Did you mean ${{{near}}}?" if near else "Set it, or write $${…} for the text itself."
            tell(f"{path!r} names the environment variable {name!r}, which is not set.", hint, path)
            return match[0]
        if holds_secret(name) and not may_be_secret:
            kept = "options are kept in records"
            tell(f"{path!r} takes its value from {name}, which holds a secret; {kept}.", _REMEDY, path)
            return match[0]
        return os.environ[name]

    return _REFERENCE.sub(replaced, text)


def refuse_secrets(owner: str, model: type[BaseModel], values: Mapping[str, object], tell: Tell) -> bool:
    """Tell each secret that is written out. Returns whether there was none. What stands in a resource or in a
    vault's reference is for the options of that to judge."""
    named = {mark.path for mark in marks(model, values, Secret)}
    named |= {mark.path for mark in marks(model, values, Resource) if is_remote(mark.value)}
    found = [path for path in _secret_texts(values, ()) if not _under(path, named)]
    for path in found:
        kept = "it would be kept in the cache and in the records of runs"
        tell(f"{dotted(path)!r} of {owner} holds a secret; {kept}.", _REMEDY, dotted(path))
    return not found


_REMEDY = (
    "Take it out of the file. A plugin that needs it declares the option as a Secret, which holds the name "
    "of an environment variable or a vault's reference; `environment_variables` of a system gives one to the "
    "worker."
)


def _secret_texts(value: object, path: Path, *, secret: bool = False) -> Iterator[Path]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            if key != FREE:
                yield from _secret_texts(child, (*path, key), secret=looks_secret(str(key)))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _secret_texts(child, (*path, index), secret=secret)
    elif secret and isinstance(value, str) and value:
        yield path


def _under(path: Path, marked: Collection[Path]) -> bool:
    return any(path[: len(each)] == each for each in marked)
