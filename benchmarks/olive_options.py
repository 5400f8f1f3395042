"""Compare options and defaults of our passes with those of Olive's, as they stand in its wheel.

    pip download --no-deps -d wheels olive-ai==0.13.0
    python benchmarks/olive_options.py wheels/olive_ai-0.13.0-py3-none-any.whl

Nothing of the wheel is imported: its sources are read. Prints docs/olive-options.md; exit code 1 when something
differs that no reason is known for. Options that are read under another name, and told then, are no difference.
"""

from __future__ import annotations

import ast
import sys
import zipfile
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

from pydantic_core import PydanticUndefined

from modelpress.registry import Registry
from modelpress.specs import PassSpec

OTHER_NAMES = {"Awq": "AutoAWQQuantizer"}
"""Ours -> Olive's, where a pass has another name."""
SAME: Mapping[str, object] = {
    "OrtDtype.none": None, "AccuracyLevel.unset": 0, "PrecisionBits.BITS4": 4, "PrecisionBits.BITS8": 8, "'float32'": "fp32"
}  # fmt: skip
NO_OPTIONS = {"type", "disable_search", "host", "evaluator", "output_name", "user_script", "script_dir"}
_BUILDERS_OWN = "written as the builder has it: `extra_options: {%s: …}`"
_NOT_PEFTS = "PEFT's LoHa and LoKr take none; `rank_dropout` and `module_dropout` are theirs"
REASONS: Mapping[tuple[str, str], str] = {
    ("*", "target_modules"): "PEFT knows the modules of some architectures only; this is right for all",
    ("*", "torch_dtype"): "bfloat16 on a GPU that has it; float32 on a CPU, where it is faster and the same on all",
    ("*", "compute_dtype"): "as `torch_dtype`, as there",
    ("LoHa", "lora_dropout"): _NOT_PEFTS,
    ("LoKr", "lora_dropout"): _NOT_PEFTS,
    ("LoHa", "ephemeral_gpu_offload"): "of DoRA alone",
    ("LoKr", "ephemeral_gpu_offload"): "of DoRA alone",
    ("QLoRA", "save_quant_config"): "the adapter names its float base; the 4 bits are of the training alone",
    ("SelectiveMixedPrecision", "algorithm"): "there one has to be named; here the one that measures the model is taken",
    **{("ModelBuilder", name): _BUILDERS_OWN % name for name in (
        "include_hidden_states", "use_8bits_moe", "use_cuda_bf16", "use_qdq", "use_webgpu_fp32"
    )},
}  # fmt: skip
"""(pass, option) -> why ours is another. `*` stands for every pass."""
_NOTHING = ("None", "{}", "[]", "False")


class Sources:
    """The classes of a wheel: by name, with the file that they stand in."""

    def __init__(self, wheel: Path) -> None:
        self.classes: dict[str, ast.ClassDef] = {}
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(".py") and name.startswith("olive/"):
                    for node in ast.walk(ast.parse(archive.read(name))):
                        if isinstance(node, ast.ClassDef):
                            self.classes[node.name] = node

    def options(self, name: str) -> dict[str, str]:
        """Option -> its default as it is written; `required` for one without."""
        found: dict[str, str] = {}
        node = self.classes.get(name)
        if node is None:
            return found
        for base in node.bases:
            found |= self.options(ast.unparse(base).rpartition(".")[2])
        for function in node.body:
            if isinstance(function, ast.FunctionDef) and "config" in function.name:
                found |= dict(_params(function))
        return found


def _params(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and _is_param(value):
                    yield str(key.value), _default(value)
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            if isinstance(target, ast.Subscript) and _is_param(node.value):
                yield ast.literal_eval(target.slice), _default(node.value)


def _is_param(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func).endswith("PassConfigParam")


def _default(value: ast.expr) -> str:
    keywords = {k.arg: k.value for k in value.keywords} if isinstance(value, ast.Call) else {}
    if "required" in keywords and ast.unparse(keywords["required"]) == "True":
        return "required"
    return ast.unparse(keywords["default_value"]) if "default_value" in keywords else "None"


_HEAD = """# Options that are not Olive's

Made by `python benchmarks/olive_options.py WHEEL` from olive-ai 0.13.0; do not edit. Every option of a pass that both
have is compared, with its default. These differ; all others are the same, or an older name that is told when it is read.

| pass | option | Olive | here | why |
|---|---|---|---|---|"""


def main() -> int:
    sources = Sources(Path(sys.argv[1]))
    unexplained = 0
    print(_HEAD)
    for entry in sorted(Registry.load().all(PassSpec), key=lambda each: each.spec.name):
        name = entry.spec.name
        theirs = sources.options(OTHER_NAMES.get(name, name))
        fields = entry.options_class.model_fields
        if not theirs:
            continue
        renamed = {rename.old for rename in entry.spec.renames} | set(entry.spec.aliases)
        for option, default in sorted(theirs.items()):
            if option in NO_OPTIONS:
                continue
            if option not in fields:
                if option in renamed:
                    continue  # told where it is read
                ours = "not here"
            else:
                ours = _plain(fields[option].get_default(call_default_factory=True))
                if _same(default, ours):
                    continue
            why = REASONS.get((name, option)) or REASONS.get(("*", option)) or ""
            unexplained += not why
            print(f"| {name} | `{option}` | {default} | {ours} | {why} |")
    return 1 if unexplained else 0


def _plain(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    return repr(value.value if isinstance(value, Enum) else value)


def _same(theirs: str, ours: str) -> bool:
    if theirs in _NOTHING and (ours in _NOTHING or ours.startswith("TrainingArgs(")):
        return True
    if theirs in SAME:
        return repr(SAME[theirs]) == ours
    try:
        return ast.literal_eval(theirs) == ast.literal_eval(ours)
    except (ValueError, SyntaxError):
        return theirs.rpartition(".")[2].casefold() == ours.strip("'").casefold()


if __name__ == "__main__":
    sys.exit(main())
