"""The contract that every pass keeps, and what this one does beyond it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from modelpress_hello.config import CastDtypeOptions
from modelpress_hello.run import cast_dtype
from safetensors.torch import load_file, save_file

from modelpress.api import Artifact, PassError
from modelpress.testing import PassContract, input_artifact, make_tiny_model, pass_context


class TestCastDtype(PassContract):
    pass_name = "CastDtype"
    options = {"dtype": "float16"}  # noqa: RUF012 - pytest never changes it
    bad_options = {"dtype": "int4"}  # noqa: RUF012
    golden = Path(__file__).parent / "golden"

    def make_input(self, folder: Path) -> Artifact:
        return input_artifact(make_tiny_model(folder), "hf-model")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_are_those_that_torch_gives(dtype: str, tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    context = pass_context(tmp_path / "job")
    result = cast_dtype(input_artifact(model, "hf-model"), CastDtypeOptions(dtype=dtype), context)
    found = load_file(result.path / "model.safetensors")
    for name, tensor in load_file(model / "model.safetensors").items():
        assert torch.equal(found[name], tensor.to(getattr(torch, dtype)))


def test_a_value_past_the_dtype_is_an_error_that_names_the_tensor(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"][3] = 1e6
    save_file(weights, model / "model.safetensors")
    context = pass_context(tmp_path / "job")
    with pytest.raises(PassError, match=r"model\.norm\.weight holds 1e\+06"):
        cast_dtype(input_artifact(model, "hf-model"), CastDtypeOptions(dtype="float16"), context)
    assert list(context.out.iterdir()) == []
