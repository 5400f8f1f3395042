"""Is this installation sound, and what does this machine have? Facts and findings; nothing is imported,
nothing is asked of the network.

Each check takes what it looks at as an argument, so that a test can show it any machine.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import psutil
from packaging.utils import canonicalize_name

from modelpress.engine.cache import default_cache_folder
from modelpress.errors import MissingDependencyError, ModelpressError
from modelpress.findings import Finding
from modelpress.processor import cpu_features
from modelpress.registry import BLOCK_VARIABLE, ONLY_VARIABLE, Registry
from modelpress.requirements import by_extra, families, lacks, required_names
from modelpress.specs import LibrarySpec
from modelpress.version import VERSION

_LITTLE_DISK = 5 * 10**9
_LITTLE_MEMORY = 4 * 10**9


def examine(registry: Registry) -> list[Finding]:
    """All checks on this machine."""
    installed = list(metadata.distributions())
    versions = _versions(installed)
    distributions = {plugin.provider.name for plugin in registry.plugins} | {"modelpress"}
    requires = [text for plugin in registry.plugins for spec in plugin.specs for text in spec.requires]
    return [
        Finding("modelpress", "ok", f"{VERSION}, Python {platform.python_version()} ({sys.prefix})"),
        check_libraries(versions, required_names(requires)),
        *(
            finding
            for name in sorted(distributions)
            for finding in check_extras(name, _requirements(name), versions, families(requires))
        ),
        *check_overlaps(installed),
        *check_plugins(registry),
        check_cpu(cpu_features(), os.cpu_count() or 1),
        check_memory(psutil.virtual_memory().total, psutil.virtual_memory().available),
        check_disk("disk of the cache", default_cache_folder()),
        check_disk("disk here", Path.cwd()),
        *check_known_libraries(registry),
    ]


def _versions(distributions: Iterable[metadata.Distribution]) -> dict[str, str]:
    """Every distribution -> version; names as PyPI normalizes them."""
    found: dict[str, str] = {}
    for distribution in distributions:
        with suppress(Exception):  # a damaged one harms no other; check_plugins tells it where it matters
            found.setdefault(canonicalize_name(distribution.metadata["Name"]), distribution.version)
    return found


def check_libraries(versions: Mapping[str, str], names: Iterable[str]) -> Finding:
    """Versions of what plugins require."""
    found = [f"{name} {versions[name]}" for name in map(canonicalize_name, names) if name in versions]
    if found:
        return Finding("libraries", "ok", ", ".join(found))
    return Finding(
        "libraries",
        "note",
        "none of the libraries that do the work is installed: list, validate and plan only",
        "pip install 'modelpress[cpu]' (or [gpu], [directml])",
    )


def check_extras(
    distribution: str,
    requirements: Sequence[str],
    versions: Mapping[str, str],
    families: Sequence[frozenset[str]] = (),
) -> list[Finding]:
    """Whether each extra of a distribution is complete: installed, and new enough. families: wheels that must
    not be installed over each other."""
    findings = []
    for extra, wanted in by_extra(distribution, requirements).items():
        lacking = lacks(wanted, versions)
        area = f"extra {extra}" if distribution == "modelpress" else f"extra {distribution}[{extra}]"
        if lacking:
            some = len(lacking) < len(wanted)
            told = ", ".join(str(lack) if lack.found else lack.requirement for lack in lacking)
            text = f"{'incomplete' if some else 'not installed'}: {told}"
            rivals = [rival for name in required_names(wanted) for rival in _rivals(name, versions, families)]
            hint = f"pip install '{distribution}[{extra}]'"
            if rivals:
                hint = f"only in an environment of its own: it cannot be beside {', '.join(rivals)}"
            findings.append(Finding(area, "note", text, hint))
        else:
            findings.append(Finding(area, "ok", "complete"))
    return findings


def _rivals(name: str, versions: Mapping[str, str], families: Iterable[frozenset[str]]) -> list[str]:
    """Installed wheels that a wheel must not be installed over."""
    family = next((family for family in families if name in family), frozenset())
    return [other for other in sorted(family) if other != name and other in versions]


def check_overlaps(distributions: Iterable[metadata.Distribution]) -> list[Finding]:
    """Wheels that were installed over each other: the same file in both of them, with another content."""
    findings = []
    for (_, package), owners in sorted(_owners(distributions).items()):
        overwritten = [a for a in sorted(owners) if any(_differ(owners[a], owners[b]) for b in owners)]
        if overwritten:
            findings.append(
                Finding(
                    f"wheels of {package}",
                    "broken",
                    " and ".join(overwritten) + " overwrite each other",
                    f"pip uninstall -y {' '.join(name.partition(' ')[0] for name in overwritten)}, "
                    "then install the one that you want",
                )
            )
    return findings


Files = Mapping[str, str]
"""Path of an installed file -> the digest that its wheel gives."""


def _owners(distributions: Iterable[metadata.Distribution]) -> Mapping[tuple[str, str], Mapping[str, Files]]:
    """(Folder, package there) -> (`name version` -> its files), of what several distributions bring."""
    found: dict[tuple[str, str], dict[str, Files]] = {}
    for distribution in distributions:
        with suppress(Exception):  # see _versions
            name = f"{canonicalize_name(distribution.metadata['Name'])} {distribution.version}"
            rows = [line.split(",") for line in (distribution.read_text("RECORD") or "").splitlines()]
            files = {row[0]: row[1] for row in rows if len(row) == 3 and row[1]}
            for package in {path.partition("/")[0] for path in files if path.endswith("/__init__.py")}:
                own = {path: digest for path, digest in files.items() if path.startswith(f"{package}/")}
                found.setdefault((str(distribution.locate_file("")), package), {})[name] = own
    return {place: owners for place, owners in found.items() if len(owners) > 1}


def _differ(left: Files, right: Files) -> bool:
    return any(right.get(path, digest) != digest for path, digest in left.items())


def check_plugins(registry: Registry) -> list[Finding]:
    """How many work, and each that does not."""
    names = ", ".join(plugin.name for plugin in registry.plugins)
    findings = [
        Finding("plugins", "ok" if names else "broken", names or "none found: install modelpress again")
    ]
    for broken in registry.broken:
        findings.append(
            Finding(
                f"plugin {broken.name}" if broken.name else "distribution",
                "broken",
                f"{'from ' if broken.name else ''}{broken.distribution}: {broken.error}",
                _remedy(broken.name, broken.distribution),
            )
        )
    for plugin in registry.slow:
        text = f"its import takes {plugin.seconds:.1f} s, and every command waits for it"
        findings.append(
            Finding(f"plugin {plugin.name}", "warning", text, _remedy(plugin.name, plugin.provider.name))
        )
    if registry.blocked:
        kept_out = f"{BLOCK_VARIABLE} or {ONLY_VARIABLE} keeps out {', '.join(registry.blocked)}"
        findings.append(Finding("plugins", "note", kept_out))
    return findings


def _remedy(plugin: str, distribution: str) -> str:
    if distribution == "modelpress":
        return "install modelpress again"
    without = f", or set {BLOCK_VARIABLE}={plugin}" if plugin else ""
    return f"update or remove {distribution}{without}"


def check_cpu(features: Sequence[str], cores: int) -> Finding:
    """Cores and instruction sets."""
    named = ", ".join(features) or "features not known here"
    return Finding("CPU", "ok", f"{cores} cores, {platform.machine()}, {named}")


def check_memory(total: int, available: int) -> Finding:
    """Bytes of memory."""
    text = f"{available / 1e9:.1f} of {total / 1e9:.1f} GB free"
    return Finding("memory", "warning" if available < _LITTLE_MEMORY else "ok", text)


def check_disk(area: str, folder: Path) -> Finding:
    """Free space on the volume that the folder is, or would be, on."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    usage = shutil.disk_usage(there)
    text = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free, {folder}"
    if usage.free < _LITTLE_DISK:
        return Finding(
            area, "warning", text, "`modelpress cache gc` makes room; --cache-dir puts it elsewhere"
        )
    if not os.access(there, os.W_OK):
        return Finding(area, "warning", f"{text} (not writable)", "set MODELPRESS_CACHE, or pass --cache-dir")
    return Finding(area, "ok", text)


def check_known_libraries(registry: Registry) -> Iterator[Finding]:
    """What plugins tell of libraries that they know."""
    for entry in registry.all(LibrarySpec):
        if not entry.spec.check:
            continue
        try:
            yield from entry.call(entry.spec.check)
        except MissingDependencyError as error:
            yield Finding(f"library {entry.spec.name}", "note", error.message, error.hint)
        except ModelpressError as error:
            yield Finding(f"library {entry.spec.name}", "broken", error.message, error.hint)


def _requirements(distribution: str) -> Sequence[str]:
    try:
        return metadata.requires(distribution) or ()
    except metadata.PackageNotFoundError:
        return ()
