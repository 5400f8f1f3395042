"""Folders that came from somewhere; see ABOUT."""

from __future__ import annotations

import json
import pkgutil
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from demo import Demo, steps
from trials import Broken, Outcome, Trial
from workbench import EXAMPLE, Bench, data, lora, require_plain

NAME = "hostile"
TITLE = "Hostile folders"
ABOUT = """
Commands are run in folders, and on models, that nobody should trust: with Python files and packages called as
modules of the standard library or as installed ones, each of which leaves a mark when it is run; with links out of
the model's folder; with a shared library that `genai_config.json` names; with chat templates that eat time or
memory. What must hold: no mark; nothing from outside the folder is in a result; each is refused in words, or
harmless; within the time limit.
"""
COUNT, FEW, LIMIT = 60, 5, 60.0


def begin(folder: Path) -> Trial:
    def trial(chance: Random, place: Path) -> Outcome:
        name = chance.choices(list(_KINDS), [4, 2, 1, 2])[0]
        return Outcome(name, _KINDS[name](chance, place))

    return trial


def _modules(chance: Random, place: Path) -> str:
    """Modules in the current folder, beside the workflow, in the model."""
    bench = Demo(place / "work")
    bench.write(steps("a", "b"))
    mark = place / "mark"
    known = sorted(
        {*sys.stdlib_module_names, *(each.name for each in pkgutil.iter_modules())} - {"modelpress_plugins"}
    )
    for where in (bench.folder, bench.folder / "model", bench.folder / "modelpress_plugins"):
        for module in chance.sample(known, 25):
            code = f"open({str(mark)!r}, 'a').write({module!r} + chr(10))\n"
            if chance.random() < 0.3:
                (where / module).mkdir(exist_ok=True)
                (where / module / "__init__.py").write_text(code)
            else:
                (where / f"{module}.py").write_text(code)
    commands = [
        ("run", str(bench.workflow), "--offline"),
        ("validate", str(bench.workflow)),
        ("passes", "list"),
        ("doctor",),
    ]
    command = chance.choice(commands)
    done = bench.finish(LIMIT, *command)
    require_plain(done.stdout + done.stderr)
    if mark.exists():
        raise Broken(f"{command[0]} ran {mark.read_text().split()}")
    if done.returncode and command[0] != "doctor":
        raise Broken(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return "none was run"


def _links(chance: Random, place: Path) -> str:
    bench = Demo(place / "work")
    bench.write(steps("a"))
    secret = place / "secret"
    secret.mkdir()
    (secret / "key").write_text("my key")
    link = (
        bench.folder / "model" / chance.choice(["notes.txt", "deep/notes.txt", "text.txt", ".hidden", "all"])
    )
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    targets = [
        secret / "key",
        secret,
        Path("/etc/passwd"),
        Path("../../secret/key"),
        Path("/proc/self/environ"),
    ]
    link.symlink_to(chance.choice(targets))
    done = bench.finish(LIMIT)
    require_plain(done.stdout + done.stderr)
    shipped = [
        path
        for path in bench.output.rglob("*")
        if path.is_symlink() or (path.is_file() and b"my key" in path.read_bytes())
    ]
    if shipped:
        raise Broken(f"{shipped[0]} came from outside")
    if done.returncode == 0:
        raise Broken(f"{link} -> {link.readlink()} was taken")
    return "refused"


def _library(chance: Random, place: Path) -> str:
    """A model that asks onnxruntime-genai to open a library of its own."""
    folder = place / "model"
    # Without config.json: with it, the folder is a transformers model, and nothing reads genai_config.json.
    shutil.copytree(EXAMPLE / "model", folder, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
    entry = chance.choice(["libevil.so", "./libevil.so", "../evil.so", "/tmp/evil.so"])
    options = {"custom_ops_library": entry}
    decoder = {"session_options": options, "filename": "model.onnx"}
    (folder / "genai_config.json").write_text(json.dumps({"model": {"type": "phi3", "decoder": decoder}}))
    (folder / "model.onnx").write_bytes(b"")
    done = Bench(place).finish(LIMIT, "ask", str(folder), "hello")
    require_plain(done.stdout + done.stderr)
    if done.returncode == 0:
        raise Broken(f"{entry} was not refused")
    return "refused"


_TEMPLATES = (
    "{% for i in range(10**9) %}x{% endfor %}",
    "{{ 'x' * 10**11 }}",
    "{% set x = namespace(t='x') %}{% for i in range(60) %}{% set x.t = x.t ~ x.t %}{% endfor %}{{ x.t }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ messages[0].content.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ [[0] * 10**6] * 10**6 }}",
    "{{ '%999999999999d' % 1 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ 'a'.center(10**12) }}",
)


def _template(chance: Random, place: Path) -> str:
    bench = Bench(place / "work")
    bench.folder.mkdir()
    shutil.copytree(EXAMPLE / "model", bench.folder / "model")
    path = bench.folder / "model" / "tokenizer_config.json"
    template = chance.choice(_TEMPLATES)
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    rows = [{"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]}] * 4
    (bench.folder / "rows.json").write_text(json.dumps(rows))
    chats = data(
        load_dataset_config={"data_files": "rows.json"},
        pre_process_data_config={"max_seq_len": 48, "chat_template": True},
    )
    model = {"type": "HfModel", "model_path": "model"}
    bench.write({"lora": lora()}, input_model=model, data_configs=[chats])
    done = bench.finish(LIMIT, "data", "preview", str(bench.workflow), "train")
    require_plain(done.stdout + done.stderr)
    if done.returncode not in (0, 2, 4):
        raise Broken(f"{template!r} ended with {done.returncode}: {done.stderr[-500:]}")
    return "refused" if done.returncode else "harmless"


_KINDS: dict[str, Callable[[Random, Path], str]] = {
    "modules": _modules,
    "links": _links,
    "a library": _library,
    "templates": _template,
}
