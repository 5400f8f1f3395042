"""The distribution that brings a plugin: its name and version, whether it is editable, where its code lies.

All of it is looked up when asked for: a list of passes asks for none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_MODULES = (".py", ".so", ".pyd")


class Provider:
    """Who brings an entry point."""

    def __init__(self, point: EntryPoint) -> None:
        self._point = point
        self._distribution: Distribution | None = point.dist

    @cached_property
    def name(self) -> str:
        """The distribution's name, as on PyPI; the file's for a plugin of one file."""
        return self._headers.get("name", f"{self.package}.py")

    @cached_property
    def version(self) -> str:
        return self._headers.get("version", "0")

    @property
    def installed(self) -> bool:
        """Whether a distribution brings it. A plugin of one file has to be carried along wherever it runs."""
        return self._distribution is not None

    @cached_property
    def package(self) -> str:
        """The top-level package that the plugin lives in."""
        return self._point.value.partition(":")[0].partition(".")[0]

    @cached_property
    def editable(self) -> bool:
        """Whether its code may change without its version: installed with `-e`, or run from its sources."""
        if self._distribution is None:
            return True
        if self._direct_url().get("dir_info", {}).get("editable"):
            return True
        home = Path(str(self._distribution.locate_file("")))
        return not any((home / name).exists() for name in (self.package, f"{self.package}.py"))

    @property
    def requires(self) -> list[str]:
        """What its metadata say that it needs, with extras as markers."""
        return (self._distribution.requires if self._distribution else None) or []

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """The top-level packages of the distribution, as folders (a single module as its file): what has to
        be shipped so that the plugin can be imported elsewhere. Nothing is imported to find them."""
        return tuple(
            folder for name in sorted({self.package, *self._top_level_names()}) for folder in places(name)
        )

    @cached_property
    def source_digest(self) -> str:
        """XXH3-128 over every file that would be shipped with the plugin (a table in JSON counts as code):
        what an editable install's version cannot say. 32 hex digits."""
        from xxhash import xxh3_128  # noqa: PLC0415 - every command loads this module, few ask for digests

        state = xxh3_128()
        for root in self.folders:
            for file in [root] if root.is_file() else shipped_files(root):
                state.update(f"{file.relative_to(root.parent).as_posix()}\0".encode())
                state.update(file.read_bytes())
                state.update(b"\0")
        return state.hexdigest()

    @cached_property
    def _headers(self) -> dict[str, str]:
        """Name and version. Read by hand: the standard library parses the whole README as an e-mail,
        which takes longer than everything else that a list of passes needs."""
        text = self._text("METADATA") or self._text("PKG-INFO")
        headers: dict[str, str] = {}
        for line in text.splitlines():
            if not line.strip():
                break
            key, _, value = line.partition(":")
            headers.setdefault(key.strip().lower(), value.strip())
        return headers

    def _text(self, name: str) -> str:
        """A file of the metadata; empty when there is none, or it is no text."""
        try:
            return (self._distribution.read_text(name) if self._distribution else None) or ""
        except (OSError, UnicodeDecodeError):
            return ""

    def _direct_url(self) -> dict[str, dict[str, bool]]:
        """Where it was installed from; empty when that is not known, or cannot be read."""
        import json  # noqa: PLC0415 - every command loads this module, few ask for that

        try:
            read: dict[str, dict[str, bool]] = json.loads(self._text("direct_url.json") or "{}")
        except ValueError:
            return {}
        return read if isinstance(read, dict) and isinstance(read.get("dir_info", {}), dict) else {}

    def _top_level_names(self) -> set[str]:
        """Top-level packages that the distribution's own list of files tells; none for an editable one."""
        if self._distribution is None or self.editable:
            return set()
        names = set()
        for line in self._text("RECORD").splitlines():
            first, _, rest = line.partition(",")[0].partition("/")
            if rest.endswith(_MODULES) and first.isidentifier():
                names.add(first)
            elif not rest and first.endswith(_MODULES):
                names.add(first.partition(".")[0])  # `_fast.cpython-312-x86_64-linux-gnu.so`, too
        return names


def shipped_files(package: Path) -> list[Path]:
    """The files of a package, in a stable order, without what Python and editors leave beside them."""
    return sorted(
        path
        for path in package.rglob("*")
        if path.is_file()
        and path.suffix not in {".pyc", ".pyo"}
        and not any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(package).parts)
    )


def installed_versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of those distributions that this Python has."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def places(name: str) -> list[Path]:
    """Where a top-level package lies, all parts of a namespace; of a module its file."""
    spec = find_spec(name)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin else []
