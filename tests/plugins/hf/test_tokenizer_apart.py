"""A model as MLflow keeps it, its tokenizer in a folder of its own: what is made from it has both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import Artifact, Meta, Sample
from modelpress.testing import make_tiny_model, pass_context
from modelpress_plugins.hf.tokenizer import load_tokenizer
from modelpress_plugins.quantize import config as options
from modelpress_plugins.quantize import run, run_calibrated, run_rotation


class Letters:
    """A DataSource: a few texts, tokenized by the model's tokenizer."""

    name = "letters"

    def samples(self, tokenizer: Any) -> Iterator[Sample]:
        for text in ("a joy", "so sad", "what is it"):
            ids = tokenizer(text * 8)["input_ids"]
            yield Sample(ids, ids)


@pytest.fixture
def apart(tmp_path: Path) -> Artifact:
    model = make_tiny_model(tmp_path / "model")
    (tmp_path / "tokenizer").mkdir()
    for file in sorted(model.glob("tokenizer*")):
        file.rename(tmp_path / "tokenizer" / file.name)
    return Artifact(model, "hf-model", "key", meta=Meta(tokenizer_path=str(tmp_path / "tokenizer")))


@pytest.mark.parametrize("name", ["Rtn", "Gptq", "QuaRot"])
def test_a_quantizers_output_has_the_tokenizer(apart: Artifact, tmp_path: Path, name: str) -> None:
    given = {"data_config": "c"} if name == "Gptq" else {}
    config = getattr(options, f"{name}Config").parse(given)
    ctx = pass_context(tmp_path / "job", data={"calibration": Letters()})
    work = {"Rtn": run.quantize, "Gptq": run_calibrated.quantize, "QuaRot": run_rotation.quarot}[name]
    made = work(apart, config, ctx)
    assert (made.path / "tokenizer.json").is_file()
    assert not made.meta.tokenizer_path
    assert load_tokenizer(made)("a")["input_ids"] == load_tokenizer(apart)("a")["input_ids"]
