"""Quantizers, what marks for them and what rotates keep the contract of every pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from modelpress.api import Artifact, Sample
from modelpress.registry import Registry
from modelpress.specs import PassSpec
from modelpress.testing import (
    CommandContract,
    FormatContract,
    PassContract,
    input_artifact,
    make_tiny_model,
    run_pass,
)


class Counting:
    """A data source: 8 rows of ascending ids."""

    name = "counting"
    prompt_template: str | None = None

    def samples(self, tokenizer: Any) -> Iterator[Sample]:
        for row in range(8):
            ids = list(range(3 + row, 35 + row))
            yield Sample(ids, ids)


# What only the tensors tell: which modules are fused or tied, and which of them keep bits of their own.
# (transformers_weights is a word to transformers alone.)
_BY_TENSORS = ("algorithm", "fused", "lm_head", "modules_to_not_convert", "overrides", "tied")


class QuantizerContract(PassContract):
    golden = Path(__file__).parent / "golden"
    config_beyond_plan = frozenset(
        {"transformers_weights", *(f"quantization_config.{key}" for key in _BY_TENSORS)}
    )

    def make_input(self, folder: Path) -> Artifact:
        return input_artifact(make_tiny_model(folder), "hf-model")


class TestRtn(QuantizerContract):
    pass_name = "Rtn"
    options: ClassVar[dict[str, Any]] = {"bits": 4, "group_size": 32}
    bad_options: ClassVar[dict[str, Any]] = {"bits": 5}


class TestKQuant(QuantizerContract):
    pass_name = "KQuant"
    options: ClassVar[dict[str, Any]] = {"bits": 4, "group_size": 32}
    bad_options: ClassVar[dict[str, Any]] = {"group_size": 48}


class TestHqq(QuantizerContract):
    pass_name = "Hqq"
    options: ClassVar[dict[str, Any]] = {"bits": 4, "group_size": 32}


class Calibrated(QuantizerContract):
    data: ClassVar[dict[str, Any]] = {"calibration": Counting(), "train": Counting()}
    options: ClassVar[dict[str, Any]] = {"bits": 4, "group_size": 32, "data_config": "data"}


class TestGptq(Calibrated):
    pass_name = "Gptq"


class TestAutoClip(Calibrated):
    pass_name = "AutoClip"
    golden = None  # it takes the best of a grid by sums: another processor's may be another


class TestAwq(Calibrated):
    pass_name = "Awq"
    golden = None  # as AutoClip


class TestSelectiveMixedPrecision(PassContract):
    pass_name = "SelectiveMixedPrecision"
    size_within = 16.0  # a list of names: the plan leaves room for those of a large model
    options: ClassVar[dict[str, Any]] = {"algorithm": "k_quant_mixed"}
    bad_options: ClassVar[dict[str, Any]] = {"algorithm": "k_quant_most"}
    golden = Path(__file__).parent / "golden"

    def make_input(self, folder: Path) -> Artifact:
        return input_artifact(make_tiny_model(folder), "hf-model")


class TestMarkedFormat(FormatContract):
    format_name = "hf-marked"

    def make_model(self, folder: Path) -> Artifact:
        base = input_artifact(make_tiny_model(folder / "base"), "hf-model")
        registry = Registry.load()
        entry = registry.find(PassSpec, "SelectiveMixedPrecision")
        return run_pass(entry, base, {"algorithm": "k_quant_mixed"}, folder / "job", registry=registry)


class TestQuaRot(QuantizerContract):
    pass_name = "QuaRot"


class TestQuantize(CommandContract):
    command_name = "quantize"

    def make_arguments(self, folder: Path) -> list[str]:
        model = make_tiny_model(folder / "model")
        options = [
            "--algorithm",
            "Rtn",
            "--bits",
            "4",
            "--group-size",
            "32",
            "--cache-dir",
            str(folder / "cache"),
        ]
        return [str(model), *options, "-o", str(folder / "out")]
