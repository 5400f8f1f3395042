"""No two modules need each other: neither at the top of a file nor inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    ROOT / "core" / "modelpress",
    ROOT / "plugins" / "modelpress_plugins",
    *sorted((ROOT / "plugins_contrib").glob("*/src/*")),
]


def circle(package: Path) -> list[str]:
    """Modules of a package each of which imports the next, and the last the first; empty when there is no
    such circle."""
    modules = {name_of(path, package.parent): path for path in package.rglob("*.py")}
    needs = {name: set(imported(path, name, modules)) - {name} for name, path in modules.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def name_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, name: str, modules: Mapping[str, Path]) -> Iterator[str]:
    """The modules of the package that a file imports, but for type checkers' sake."""
    home = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(home.split(".")[: len(home.split(".")) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, [start, node.module]))
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield from [inner] if inner in modules else [module] if module in modules else []


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from nodes(child)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_module_needs_itself_by_way_of_others(package: Path) -> None:
    assert package.is_dir()
    assert circle(package) == []


@pytest.mark.parametrize(
    "second", ["from acme.first import a", "def f():\n    import acme.first", "from .first import a"]
)
def test_a_circle_is_found(tmp_path: Path, second: str) -> None:
    package = tmp_path / "acme"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "first.py").write_text("from . import second\n")
    (package / "second.py").write_text(second)
    assert set(circle(package)) == {"acme.first", "acme.second"}
    (package / "second.py").write_text("if TYPE_CHECKING:\n    import acme.first")
    assert circle(package) == []
