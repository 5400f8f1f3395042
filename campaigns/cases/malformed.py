"""Malformed workflow, model, adapter and data files; see ABOUT."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml
from mutations import Change, as_json, change_document, change_text
from trials import Broken, Outcome, Trial
from workbench import EXAMPLE, INT4, MEASURED, MERGE, Bench, data, lora, model_files, require_plain

from modelpress.cli import main

NAME = "malformed"
TITLE = "Malformed files"
ABOUT = """
A workflow, a file of a model, of an adapter or of a data set is changed in one place: a value of another kind, a
misspelt key, a cut, junk, another encoding, a nest of 100,000 brackets, a header that lies. `validate` is asked, and
where it finds nothing the file is run. What must hold: no traceback and no "This is a bug"; at most 5 s of
processor time until it is refused; nothing that readers of such files (json, csv, safetensors, tokenizers,
transformers) refuse, or compute NaN with, ends with exit code 0.
"""
COUNT, FEW, LIMIT = 600, 40, 120.0
SECONDS = 5.0
"""Processor time that `validate` may take."""
_SAID = re.compile(r"(error|hint|note|warning): ")
_RAW = re.compile(r"error: (\w+\.)*[A-Z]\w*(Error|Exception|Warning)?: |it raised \w+")
"""An exception of a library as it came, which nobody wrote for a user."""
BY_COMMAND = 0.05
"""Of this share the command line itself is asked, in a process of its own."""


@dataclass(frozen=True, slots=True)
class Made:
    """A malformed file. what: its kind; wrong: why it must not end well, empty where nobody can tell."""

    what: str
    wrong: str


def begin(folder: Path) -> Trial:
    adapter = _adapter(folder / "trained")
    merged = _merged(folder / "merged", adapter)

    def trial(chance: Random, place: Path) -> Outcome:
        kind = chance.choices(list(_KINDS), [6, 2, 6, 3, 4, 4, 6])[0]
        bench = Bench(place)
        made = _KINDS[kind](bench, chance, adapter)
        how = _validated(bench, chance)
        if how == "valid" and kind not in ("workflow", "workflow in YAML"):
            how = _run(bench)
            if how == "pressed" and kind == "adapter" and _merged_files(bench) == merged:
                return Outcome(kind, "no part of the result")
        if made.wrong and how in ("valid", "pressed"):
            raise Broken(f"{made.what} is {how}, and {made.wrong}")
        return Outcome(kind, how)

    return trial


def _adapter(folder: Path) -> Path:
    bench = Bench(folder)
    bench.write({"lora": lora()})
    bench.run()
    return bench.output / "model"


def _merged(folder: Path, adapter: Path) -> Mapping[str, str]:
    bench = Bench(folder)
    _write_merge(bench, adapter)
    bench.run()
    return _merged_files(bench)


def _merged_files(bench: Bench) -> Mapping[str, str]:
    return {
        name: digest
        for name, digest in model_files(bench.output / "model").items()
        if name.endswith("tensors")
    }


def _write_merge(bench: Bench, adapter: Path) -> Path:
    """A workflow that merges a copy of the adapter, as it came from somewhere."""
    bench.folder.mkdir(exist_ok=True)
    copied = shutil.copytree(
        adapter, bench.folder / "adapter", ignore=shutil.ignore_patterns("modelpress.json")
    )
    model = {"type": "HfModel", "model_path": str(EXAMPLE / "model"), "adapter_path": "adapter"}
    bench.write({"merge": MERGE}, input_model=model, data_configs=None)
    return Path(copied)


def _validated(bench: Bench, chance: Random) -> str:
    """`valid` or `refused`. Raises Broken for a bug, a traceback, too long a time."""
    if chance.random() < BY_COMMAND:
        done = bench.finish(LIMIT, "validate", str(bench.workflow), "--offline")
        code, said = done.returncode, done.stdout + done.stderr
    else:
        begun = time.process_time()
        code, said = command("validate", str(bench.workflow), "--offline")
        seconds = time.process_time() - begun
        if seconds > SECONDS:
            raise Broken(f"validate took {seconds:.1f} s: {said[-300:]}")
    return _judged(code, said, "valid")


def _run(bench: Bench) -> str:
    code, said = command("run", str(bench.workflow), "--offline", "--in-process")
    # A worker in this process prints its traceback to what would be a log.
    return _judged(code, "\n".join(line for line in said.splitlines() if _SAID.match(line)), "pressed")


def _judged(code: int, said: str, well: str) -> str:
    require_plain(said)
    require_told(code, said)
    if code == 0:
        return well
    return "refused" if well == "valid" else f"refused in the work, {code}"


def require_told(code: int, said: str) -> None:
    """Raises Broken when it did not end well and nobody was told why in words."""
    if code == 0:
        return
    if _RAW.search(said):
        raise Broken(f"a raw error: {said[-500:]}")
    if code not in (2, 3, 4) or "error" not in said:
        raise Broken(f"exit code {code}: {said[-500:]}")


def command(*arguments: str) -> tuple[int, str]:
    """(exit code, what it said) of a command in this process: where libraries are imported already."""
    said = io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    return int(code or 0), said.getvalue()


def _workflow(bench: Bench, chance: Random, adapter: Path) -> Made:
    path = bench.write({"lora": lora(), "merge": MERGE, "int4": INT4}, **MEASURED)
    if chance.random() < 0.4:
        how, content = change_text(path.read_bytes(), chance)
        path.write_bytes(content)
        return Made(f"the workflow ({how})", _unreadable_json(content))
    change = change_document(json.loads(path.read_bytes()), chance)
    path.write_bytes(as_json(change.document))
    return Made(f"the workflow ({change.how} at {_told(change)})", _wrong_value(change))


def _yaml(bench: Bench, chance: Random, adapter: Path) -> Made:
    document = json.loads(bench.write({"lora": lora(), "merge": MERGE}).read_bytes())
    path = bench.workflow
    if chance.random() < 0.3:
        hostile = chance.choice(list(_YAML))
        path.write_bytes(_YAML[hostile] + yaml.safe_dump(document).encode())
        return Made(f"the workflow ({hostile})", hostile)
    how, content = change_text(yaml.safe_dump(document).encode(), chance)
    path.write_bytes(content)
    return Made(f"the workflow in YAML ({how})", "")


_LAUGHS = b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 12)
)
_YAML: Mapping[str, bytes] = {
    "a thousand million anchors": _LAUGHS,
    "an anchor within itself": b"zzz: &z [*z]\n",
    "a Python object": b"zzz: !!python/object/apply:os.system ['true']\n",
    "a tab": b"zzz:\n\t- 1\n",
    "two documents": b"a: 1\n---\n",
    "a key that is a list": b"? [1, 2]\n: 3\n",
    "a merge of nothing": b"<<: 3\n",
    "a date and a set": b"zzz: {a: 2026-01-31, b: !!set {x, y}}\n",
}


def _config(bench: Bench, chance: Random, adapter: Path) -> Made:
    return _json_of_model(bench, chance, "config.json", {"rtn": {"type": "Rtn"}})


def _tokenizer(bench: Bench, chance: Random, adapter: Path) -> Made:
    name = chance.choice(["tokenizer.json", "tokenizer_config.json", "generation_config.json"])
    return _json_of_model(bench, chance, name, {"lora": lora()})


def _json_of_model(bench: Bench, chance: Random, name: str, passes: Mapping[str, Any]) -> Made:
    path = _model(bench, passes) / name
    return Made(
        name + _changed_json(path, chance), _unreadable_json(path.read_bytes()) or _unusable(path.parent)
    )


def _weights(bench: Bench, chance: Random, adapter: Path) -> Made:
    path = _model(bench, {"rtn": {"type": "Rtn"}}) / "model.safetensors"
    return Made(f"weights{_changed_weights(path, chance)}", _unusable(path.parent))


def _adapter_files(bench: Bench, chance: Random, adapter: Path) -> Made:
    copied = _write_merge(bench, adapter)
    if chance.random() < 0.5:
        path = copied / "adapter_config.json"
        how = _changed_json(path, chance)
    else:
        path = copied / "adapter_model.safetensors"
        how = _changed_weights(path, chance)
    wrong = _unreadable_json(path.read_bytes()) if path.suffix == ".json" else ""
    return Made(f"{path.name}{how}", wrong or _unusable_adapter(copied))


def _data_file(bench: Bench, chance: Random, adapter: Path) -> Made:
    rows = json.loads((EXAMPLE / "data" / "emotions.json").read_bytes())[:40]
    kind = chance.choice(list(_WRITERS))
    path = bench.folder / f"rows.{kind}"
    bench.write({"lora": lora()}, data_configs=[data(load_dataset_config={"data_files": path.name})])
    if chance.random() < 0.4 and kind != "csv":
        change = change_document(rows, chance)
        path.write_bytes(_WRITERS[kind](change.document))
        return Made(f"{path.name} ({change.how} at {_told(change)})", "")
    how, content = change_text(_WRITERS[kind](rows), chance)
    path.write_bytes(content)
    return Made(f"{path.name} ({how})", _READERS[kind](content))


def _csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


_WRITERS: Mapping[str, Callable[[Any], bytes]] = {
    "json": as_json,
    "jsonl": lambda rows: b"".join(json.dumps(row).encode() + b"\n" for row in rows),
    "csv": _csv,
}


def _unreadable_lines(content: bytes) -> str:
    try:
        lines = [json.loads(line) for line in content.decode("utf-8-sig").split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        return "" if not _unreadable_json(content) else f"no JSON lines: {error}"
    return "" if all(isinstance(line, (dict, list)) for line in lines) else "a row is no record"


def _unreadable_table(content: bytes) -> str:
    try:
        content.decode("utf-8-sig")
    except ValueError as error:
        return f"no UTF-8: {error}"
    return ""


def _unreadable_json(content: bytes) -> str:
    """Why it is no JSON object or list of UTF-8; empty when it is."""
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return f"no JSON: {error}"
    return "" if isinstance(document, (dict, list)) else f"a {type(document).__name__}"


_READERS: Mapping[str, Callable[[bytes], str]] = {
    "json": _unreadable_json,
    "jsonl": _unreadable_lines,
    "csv": _unreadable_table,
}


def _model(bench: Bench, passes: Mapping[str, Any]) -> Path:
    """A workflow over a copy of the example's model."""
    bench.write(passes, input_model={"type": "HfModel", "model_path": "model"})
    return Path(shutil.copytree(EXAMPLE / "model", bench.folder / "model"))


def _changed_json(path: Path, chance: Random) -> str:
    if chance.random() < 0.35:
        how, content = change_text(path.read_bytes(), chance)
        path.write_bytes(content)
        return f" ({how})"
    change = change_document(json.loads(path.read_bytes()), chance)
    path.write_bytes(as_json(change.document))
    return f" ({change.how} at {_told(change)})"


def _changed_weights(path: Path, chance: Random) -> str:
    """Change the header of a safetensors file, or its length."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, body = content[8 : 8 + length], content[8 + length :]
    how = chance.choice(["entry", "entry", "entry", "length", "bytes", "cut", "longer", "numbers"])
    if how == "entry":
        change = change_document(json.loads(header), chance)
        text = json.dumps(change.document).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + body)
        return f" ({change.how} at {_told(change)} of the header)"
    if how == "length":
        lie = chance.choice([0, 1, length - 1, length + 1, len(content), 2**40, 2**63, 2**64 - 1])
        path.write_bytes(struct.pack("<Q", lie) + header + body)
    elif how == "bytes":
        told, text = change_text(header, chance)
        path.write_bytes(struct.pack("<Q", len(text)) + text + body)
        return f" (header: {told})"
    elif how == "numbers":
        start = chance.randrange(len(body) // 2 - 2000) * 2
        path.write_bytes(content[: 8 + length + start] + b"\xff" * 1000 + body[start + 1000 :])
    else:
        path.write_bytes(content[: chance.randrange(len(content))] if how == "cut" else content + b"\0" * 100)
    return f" ({how})"


def _unusable(folder: Path) -> str:
    """Why transformers cannot compute with the model as its files say; empty when it can."""
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with safe_open(folder / "model.safetensors", "pt") as file:
            list(file.keys())
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, output_loading_info=True, dtype=torch.float32
        )
        ids = tokenizer("A growling dog", return_tensors="pt").input_ids
        logits = model(ids).logits
    except Exception as error:  # noqa: BLE001 - the readers' word for it is what counts
        return f"transformers says: {type(error).__name__}: {str(error)[:200]}"
    if info["missing_keys"]:
        return f"transformers makes random numbers of {sorted(info['missing_keys'])[:2]}"
    return "" if torch.isfinite(logits).all() else "it computes NaN"


def _unusable_adapter(folder: Path) -> str:
    """Why PEFT cannot compute with the adapter."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    try:
        base = AutoModelForCausalLM.from_pretrained(EXAMPLE / "model", dtype=torch.float32)
        logits = PeftModel.from_pretrained(base, str(folder)).merge_and_unload()(torch.arange(8)[None]).logits
    except Exception as error:  # noqa: BLE001 - as above
        return f"PEFT says: {type(error).__name__}: {str(error)[:200]}"
    return "" if torch.isfinite(logits).all() else "it computes NaN"


def _wrong_value(change: Change) -> str:
    """Why a changed workflow cannot be right; empty where it may be."""
    before, after = change.before, change.after
    scalar = after is not None and not isinstance(after, (dict, list))
    if change.how == "junk" and isinstance(before, (dict, list)) and before and scalar:
        return f"{after!r} stands where {type(before).__name__} was"
    number = isinstance(before, (int, float))
    if change.how in ("junk", "swap") and number and isinstance(after, (list, dict)):
        return f"{after!r} stands where {before!r} was"
    if change.how == "junk" and number and isinstance(after, str) and after in ("zzz", "..", "-", ""):
        return f"{after!r} stands where {before!r} was"
    if change.how == "rename" and not _is_a_name(change.where):
        return f"{change.where[-1]!r} was renamed to {after!r}"
    return ""


def _is_a_name(where: tuple[str | int, ...]) -> bool:
    """Whether the key is the user's own name for something: of a pass, an evaluator."""
    return len(where) == 2 and where[0] in ("passes", "evaluators")


def _told(change: Change) -> str:
    after = repr(change.after)
    return f"{'.'.join(map(str, change.where))} -> {after if len(after) < 60 else after[:57] + '...'}"


_KINDS: Mapping[str, Callable[[Bench, Random, Path], Made]] = {
    "workflow": _workflow,
    "workflow in YAML": _yaml,
    "config.json of a model": _config,
    "tokenizer of a model": _tokenizer,
    "weights of a model": _weights,
    "adapter": _adapter_files,
    "data": _data_file,
}
