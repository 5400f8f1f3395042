"""The core's own verbs of the command line: no plugin's command can take their names."""

from __future__ import annotations

from collections.abc import Mapping

_LISTED = ("list", "show")
_WITH_OPTIONS = (*_LISTED, "schema")
OWN: Mapping[str, tuple[str, ...]] = {
    "": (
        *("run", "plan", "validate", "passes", "models", "formats", "data", "systems", "metrics"),
        *(
            "resources",
            "samplers",
            "observers",
            "libraries",
            "commands",
            "plugins",
            "doctor",
            "runs",
            "jobs",
            "cache",
            "schema",
            "migrate",
        ),
    ),
    **dict.fromkeys(
        ("passes", "models", "data", "systems", "metrics", "resources", "samplers", "observers"),
        _WITH_OPTIONS,
    ),
    **dict.fromkeys(("formats", "libraries", "commands", "runs"), _LISTED),
    "plugins": ("list", "check", "new", "docs"),
    "jobs": ("list", "attach", "fetch", "cancel"),
    "cache": ("ls", "verify", "gc", "clear"),
}
"""A noun (empty: none) -> its verbs. Plugins add verbs to each of these nouns."""


def is_free(command: str) -> bool:
    """Whether a plugin's command may have that name: `ask`, or `data preview`."""
    noun, _, verb = command.rpartition(" ")
    return noun in OWN and verb not in OWN[noun]
