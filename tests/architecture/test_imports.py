"""Who may import what: the rules that keep the core small, plugins honest and lists quick."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

NOUNS = (
    "passes",
    "models",
    "formats",
    "data",
    "systems",
    "metrics",
    "resources",
    "samplers",
    "observers",
    "libraries",
    "commands",
)
ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core" / "modelpress"
PLUGINS = ROOT / "plugins" / "modelpress_plugins"
HEAVY = {
    "accelerate", "bitsandbytes", "datasets", "numpy", "onnx", "onnx_ir", "onnxruntime", "onnxruntime_genai",
    "pandas", "peft", "safetensors", "tokenizers", "torch", "transformers",
}  # fmt: skip
SERVICES = {"azure", "msal", "docker", "ray"}
"""What systems reach their places by."""
PROMISED = {"modelpress.api", "modelpress.testing"}


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_level_names(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize("path", python_files(CORE), ids=lambda p: p.relative_to(CORE).as_posix())
def test_the_core_imports_no_heavy_library(path: Path) -> None:
    if path.is_relative_to(CORE / "testing"):
        pytest.skip("the contract kit runs in tests, beside the libraries")
    assert not top_level_names(path) & HEAVY
    assert "modelpress_plugins" not in top_level_names(path)


@pytest.mark.parametrize("path", python_files(PLUGINS), ids=lambda p: p.relative_to(PLUGINS).as_posix())
def test_plugins_import_only_what_is_promised(path: Path) -> None:
    core = {name for name in imported(path) if name.partition(".")[0] == "modelpress"}
    allowed = {name for name in core if any(name == p or name.startswith(p + ".") for p in PROMISED)}
    assert core == allowed


BELOW = {
    "cli": ("api.py", "__main__.py", "testing/commands.py"),
    "engine": (
        "api.py",
        "__init__.py",
        "from_python.py",
        "in_process.py",
        "worker",
        "doctor.py",
        "plugin_check.py",
        "testing/",
    ),
    "testing": ("plugin_check.py",),
    "worker": ("api.py", "in_process.py"),
    "in_process": ("from_python.py",),
}
"""Rooms of the core that stand above others -> who outside may import them, beside the command line."""


@pytest.mark.parametrize("room", BELOW)
def test_a_room_below_imports_none_above(room: str) -> None:
    above = ("cli/", f"{room}/", *BELOW[room])
    others = [p for p in python_files(CORE) if not p.relative_to(CORE).as_posix().startswith(above)]
    arrows = {
        (path.relative_to(CORE).as_posix(), name)
        for path in others
        for name in imported(path)
        if f"{name}.".startswith(f"modelpress.{room}.")
    }
    assert arrows == set()


def plugin_folders() -> set[str]:
    """Packages of modelpress_plugins that an entry point names; the others are rooms that all may use."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {value.rpartition(".")[2] for value in project["entry-points"]["modelpress"].values()}


@pytest.mark.parametrize("path", python_files(PLUGINS), ids=lambda p: p.relative_to(PLUGINS).as_posix())
def test_no_plugin_uses_the_inside_of_another(path: Path) -> None:
    own = path.relative_to(PLUGINS).parts[0]
    used = {name.split(".")[1] for name in imported(path) if name.startswith("modelpress_plugins.")}
    assert not (used & plugin_folders()) - {own}, "what two plugins share is a room without entry point"


VENDORS = re.compile(r"hugging ?face|transformers|\bhf_|\bpeft\b", re.IGNORECASE)
BORDER = ("config/olive", "testing/")
"""Where the core speaks of vendors: Olive's dialect, the kit's tiny model."""


@pytest.mark.parametrize("path", python_files(CORE), ids=lambda p: p.relative_to(CORE).as_posix())
def test_the_core_names_no_vendor(path: Path) -> None:
    if path.relative_to(CORE).as_posix().startswith(BORDER):
        pytest.skip("the border post")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line.strip() for line in lines if VENDORS.search(line)] == []


@pytest.mark.parametrize(
    "path", sorted(p for p in PLUGINS.glob("*/__init__.py")), ids=lambda p: p.parent.name
)
def test_a_plugins_entry_module_is_light(path: Path) -> None:
    allowed = set(sys.stdlib_module_names) | {"modelpress", "modelpress_plugins"}
    assert top_level_names(path) <= allowed


def loaded_after(*arguments: str) -> set[str]:
    """Top-level modules that are loaded when a command has ended well."""
    code = (
        "import json, sys\nfrom modelpress.cli import main\n"
        "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as end:\n    code = end.code\n"
        "print('\\n' + json.dumps([code or 0, sorted({m.partition('.')[0] for m in sys.modules})]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stdout + done.stderr
    return set(modules)


@pytest.mark.parametrize(
    "arguments",
    [*((noun, "list") for noun in NOUNS), ("plugins", "list"), ("--help",)],
)
def test_listing_is_light(arguments: tuple[str, ...]) -> None:
    assert not loaded_after(*arguments) & (HEAVY | SERVICES | {"pydantic", "rich"})


_LISTED = """
import json, sys
import importlib.metadata, pluggy, click
before = set(sys.modules)
from modelpress.cli import main
try:
    main(["passes", "list"])
except SystemExit as end:
    assert not end.code
after = set(sys.modules) - before
ours = [m for name, m in sys.modules.items() if name.partition(".")[0] == "modelpress"]
classes = {c for m in ours for c in vars(m).values() if isinstance(c, type)}
made = {c for c in classes if hasattr(c, "__dataclass_params__")}
written = sorted(c.__name__ for c in made if c.__dataclass_params__.init)
files = [m.__file__ for m in ours]
print("\\n" + json.dumps({"after": sorted(after), "written": written, "files": files}))
"""


@pytest.fixture(scope="module")
def listing() -> dict[str, list[str]]:
    """What `passes list` loads beyond click and pluggy, which classes of the core it has dataclasses write,
    and the files of the core that it reads."""
    done = subprocess.run(
        [sys.executable, "-c", _LISTED], capture_output=True, text=True, cwd=ROOT, check=True
    )
    loaded: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return loaded


def test_a_list_loads_next_to_nothing_beyond_click_and_pluggy(listing: dict[str, list[str]]) -> None:
    others = {name for name in listing["after"] if not name.startswith(("modelpress", "_"))}
    assert others <= {"signal", "copy", "org", "dataclasses"}, "import it where it is used: every list waits"


def test_a_list_waits_for_no_class_that_dataclasses_writes(listing: dict[str, list[str]]) -> None:
    assert listing["written"] == [], "a NamedTuple takes a tenth of the time; for specs see specs.py"


def test_a_list_reads_little_of_the_core(listing: dict[str, list[str]]) -> None:
    lines = sum(len(Path(file).read_text(encoding="utf-8").splitlines()) for file in listing["files"])
    assert lines < 2800, "each line is read, and compiled where no bytecode is kept, before a list is shown"


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "examples/emotions/workflow.yaml"),
        ("plan", "examples/emotions/workflow.yaml"),
        ("schema",),
        ("passes", "schema", "LoRA"),
    ],
)
def test_planning_imports_no_heavy_library(arguments: tuple[str, ...]) -> None:
    assert not loaded_after(*arguments) & HEAVY
