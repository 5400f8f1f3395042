"""The committed tables equal what the installed builder says."""

from __future__ import annotations

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path

from modelpress_plugins.hf.families import BUILDABLE
from modelpress_plugins.model_builder.architectures import (
    QUANT_METHODS,
    SEARCH_DEFAULTS,
)
from modelpress_plugins.model_builder.targets import LISTED


@cache
def source(name: str) -> str:
    spec = importlib.util.find_spec("onnxruntime_genai")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "models" / name).read_text(encoding="utf-8")


def compared_with(text: str, expression: str) -> set[str]:
    """The strings that an expression is compared with by `==` or `in` anywhere in the source."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare) and ast.unparse(node.left) == expression:
            for value in ast.walk(node.comparators[0]):
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found.add(value.value)
    return found


def test_architectures_are_those_that_create_model_dispatches_on() -> None:
    assert compared_with(source("builder.py"), "config.architectures[0]") == BUILDABLE.keys()


def test_quant_methods_are_those_of_the_loader() -> None:
    assert compared_with(source("loaders/quant_model.py"), "quant_type") == QUANT_METHODS


def test_precisions_are_those_that_the_builder_calls_valid() -> None:
    sentence = re.search(
        r"Valid precision \+ execution provider combinations are: ([^\"]*)", source("builder.py")
    )
    assert sentence is not None
    names = {"TRT-RTX": "NvTensorRtRtx"}
    said: dict[str, set[str]] = {}
    for pair in sentence[1].split(", "):
        precision, provider = pair.strip().split(" ")
        said.setdefault(names.get(provider, provider.lower()), set()).add(precision.lower())
    assert said == LISTED


def test_search_defaults_are_those_that_the_builder_checks() -> None:
    tree = ast.parse(source("builder_config.py"))
    for node in ast.walk(tree):
        is_check = isinstance(node, ast.Call) and ast.unparse(node.func) == "check_fields"
        if is_check and "'runtime_config.search'" in ast.unparse(node):
            assert isinstance(node.args[1], ast.Set)
            assert {ast.literal_eval(e) for e in node.args[1].elts} == SEARCH_DEFAULTS
            return
    raise AssertionError("the builder no longer checks runtime_config.search")
