"""The built-in plugins require what the extras bring, of the same versions."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from modelpress.registry import Registry
from modelpress.requirements import parse_requirement
from modelpress.specs import Spec

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    found.name: str(found.specifier)
    for wanted in PROJECT["optional-dependencies"].values()
    for found in map(Requirement, wanted)
    if found.name != "modelpress"
}
NOT_BY_AN_EXTRA = {"numpy", "mlflow"}
"""numpy comes with the others, and no version of it is too old; the whole of mlflow holds mlflow-skinny."""


def built_in_specs() -> list[Spec]:
    plugins = Registry.load().plugins
    return [
        spec for plugin in plugins if plugin.module.startswith("modelpress_plugins.") for spec in plugin.specs
    ]


def test_built_in_specs_name_the_versions_of_the_extras() -> None:
    checked = set()
    for spec in built_in_specs():
        for text in getattr(spec, "requires", ()):
            for choice in parse_requirement(text):
                if choice.name in NOT_BY_AN_EXTRA:
                    continue
                assert (choice.name, str(choice.specifier)) == (choice.name, EXTRAS[choice.name]), spec.name
                checked.add(choice.name)
    assert {"torch", "transformers", "peft", "onnxruntime-genai", "onnxruntime-genai-cuda"} <= checked


def test_what_a_spec_requires_is_brought_by_the_extra_that_it_names() -> None:
    def brought(extra: str) -> set[str]:
        names = set()
        for wanted in map(Requirement, PROJECT["optional-dependencies"][extra]):
            names |= (
                {n for e in wanted.extras for n in brought(e)}
                if wanted.name == "modelpress"
                else {wanted.name}
            )
        return names

    for spec in built_in_specs():
        requires = getattr(spec, "requires", ())
        if not requires or not spec.extra:  # type: ignore[union-attr]
            continue
        # An extra for one library (qlora) goes on top of those that bring the rest.
        there = brought(spec.extra) | brought("cpu") | NOT_BY_AN_EXTRA  # type: ignore[union-attr]
        for text in requires:
            assert {choice.name for choice in parse_requirement(text)} & there, (spec.name, text)
