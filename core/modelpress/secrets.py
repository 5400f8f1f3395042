"""Secrets: read by the name of an environment variable, and taken out of whatever is written or said.

What a vault holds has a name like that of a variable, and is asked for when it is first read by it.

A worker gets those that its job names through its standard input, never in a file or its environment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from modelpress.errors import UserError
from modelpress.json_types import JSONValue

_LOOKS_SECRET = re.compile(
    r"(^|_)(password|passwd|passphrase|pwd|secrets?|credentials?|connection_string|sas|apikey"
    r"|(api|access|account|secret|private|shared|storage|subscription|signing|encryption)_keys?"
    r"|(access|auth|api|bearer|hf|hub|id|refresh|secret|sas|session|security|personal|github|service)_token"
    r"|(?<!\w)tokens?)$",
    re.IGNORECASE,
)
_HOLDS_SECRET = re.compile(
    r"(^|_)(TOKEN|KEY|PASSWORD|PASSWD|PASSPHRASE|SECRETS?|CREDENTIALS?|CONNECTION_STRING|SAS)$", re.IGNORECASE
)
_SHORTEST = 4  # a shorter one is not looked for: it would be found in every other word
_SHORTEST_FOUND = 8  # of what nobody called a secret, but for the name of its variable

_given: dict[str, str] = {}
_in_vaults: dict[str, Callable[[], str]] = {}
"""Name -> what asks the vault."""
_values: dict[str, str] = {}
"""Secret -> the name of its variable, of all that were read or named in this process."""


def looks_secret(name: str) -> bool:
    """Whether an option of that name holds a secret (`password`, `api_key`, but not `pad_token`)."""
    return bool(_LOOKS_SECRET.search(name))


def holds_secret(variable: str) -> bool:
    """Whether an environment variable of that name holds a secret (`ACME_TOKEN`, `AWS_SECRET_ACCESS_KEY`)."""
    return bool(_HOLDS_SECRET.search(variable))


def give_secrets(secrets: Mapping[str, str]) -> None:
    """Let this process read these, whatever is in its environment."""
    _given.update(secrets)
    for name, value in secrets.items():
        _remember(name, value)


def give_from_vault(name: str, ask: Callable[[], str]) -> None:
    """Let this process read by a name what a vault holds. ask: called when it is first read, not before."""
    _in_vaults[name] = ask


def is_known(name: str) -> bool:
    """Whether there is a secret of that name here; a vault is not asked."""
    return name in _in_vaults or bool(_find(name))


def read_secret(name: str) -> str:
    """The secret in an environment variable. Raises UserError when it is not set."""
    value = _find(name)
    if not value:
        raise UserError(f"The environment variable {name} is not set, and a secret is expected in it.")
    return value


def collect_secrets(names: Iterable[str]) -> dict[str, str]:
    """Those secrets that there are here, by name."""
    return {name: value for name in names if (value := _find(name))}


def look_for(environment: Mapping[str, str]) -> None:
    """Take out what these variables hold, too, where their names say that it is a secret: the environment of
    a worker, which code of any kind can read."""
    for name, value in environment.items():
        if len(value) >= _SHORTEST_FOUND and holds_secret(name):
            _remember(name, value)


def look_through(value: JSONValue) -> None:
    """Take out what variables hold that stand anywhere in options, as `look_for` does."""
    if isinstance(value, Mapping):
        look_for({name: child for name, child in value.items() if isinstance(child, str)})
        for child in value.values():
            look_through(child)
    elif isinstance(value, list | tuple):
        for child in value:
            look_through(child)


def redact(text: str) -> str:
    """The text with every known secret replaced by the name of its variable."""
    for value, name in _known():
        text = text.replace(value, f"<{name}>")
    return text


def _known() -> list[tuple[str, str]]:
    """Secret and name of its variable, the longest first; those of this process's environment, too."""
    look_for(os.environ)
    return sorted(_values.items(), key=lambda pair: -len(pair[0]))


def holds_known_secret(paths: Iterable[Path]) -> bool:
    """Whether a known secret stands in any of the files."""
    known = [value.encode() for value, _ in _known()]
    return bool(known) and any(
        value in content for path in paths if (content := path.read_bytes()) for value in known
    )


def scrub(paths: Iterable[Path]) -> None:
    """Take every known secret out of those files that are there."""
    known = _known()
    for path in paths if known else ():
        try:
            before = path.read_bytes()
            after = before
            for value, name in known:
                after = after.replace(value.encode(), f"<{name}>".encode())
            if after != before:
                path.write_bytes(after)
        except OSError:
            continue


def hide(path: Path, start: int) -> int:
    """Overwrite every known secret in a file that others append to meanwhile, from byte `start` on. Returns
    where to look from next time."""
    known = [value.encode() for value, _ in _known()]
    before = max(map(len, known), default=1) - 1  # one may have been written in two parts
    with path.open("r+b") as file:
        begin = max(start - before, 0)
        file.seek(begin)
        text = file.read()
        for value in known:
            at = text.find(value)
            while at >= 0:
                file.seek(begin + at)
                file.write(b"*" * len(value))
                at = text.find(value, at + len(value))
    return begin + len(text)


def _find(name: str) -> str:
    if name in _in_vaults and name not in _given:
        _given[name] = _in_vaults[name]()
    value = _given.get(name) or os.environ.get(name, "")
    _remember(name, value)
    return value


def _remember(name: str, value: str) -> None:
    """Look for it from now on, as it is and as it stands in JSON."""
    if len(value) >= _SHORTEST:
        _values[value] = _values[json.dumps(value)[1:-1]] = name
