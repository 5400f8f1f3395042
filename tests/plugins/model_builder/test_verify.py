"""A model that computes wrongly is caught, and not shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from modelpress.api import Artifact, PassError, UserError
from modelpress_plugins.model_builder import verify as verify_module
from modelpress_plugins.model_builder.graph import accuracy_levels, set_accuracy_level
from modelpress_plugins.model_builder.verify import Trial, relative_error, require_rounding, try_out, verify

Build = Callable[..., Artifact]


def test_relative_error_ignores_what_changes_no_probability() -> None:
    logits = np.random.default_rng(0).standard_normal((4, 9)).astype(np.float32)
    assert relative_error(logits + 3, logits) < 1e-6
    assert relative_error(-logits, logits) > 1
    assert np.isnan(relative_error(np.full_like(logits, np.nan), logits))


def test_the_accuracy_level_is_changed_without_touching_the_weights(tiny_phi3: Path, built: Build) -> None:
    artifact = built(tiny_phi3, precision="int4")
    graph, data = artifact.path / "model.onnx", artifact.path / "model.onnx.data"
    assert accuracy_levels(graph) == {4}
    before = (graph.read_bytes(), data.read_bytes())
    set_accuracy_level(graph, 1)
    assert accuracy_levels(graph) == {1}
    set_accuracy_level(graph, 4)
    assert data.read_bytes() == before[1]


def test_a_damaged_weight_is_noticed(tiny_phi3: Path, built: Build, context: Any) -> None:
    artifact = built(tiny_phi3, precision="int4")
    graph = artifact.path / "model.onnx"
    healthy = try_out(artifact, context, device="cpu")
    halve_the_scales(graph)
    broken = try_out(artifact, context, healthy.ids, device="cpu")
    with pytest.raises(PassError, match="does not compute what its source says"):
        verify(artifact, graph, broken, "int4", lambda ids: healthy.logits, context)


def test_a_faulty_kernel_is_left_for_a_level_that_computes_rightly(
    tiny_phi3: Path, built: Build, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = built(tiny_phi3, precision="int4", is_symmetric=False)
    graph = artifact.path / "model.onnx"

    def on_a_faulty_machine(artifact: Artifact, ctx: Any, ids: Any = None, *, device: str = "cpu") -> Trial:
        trial = try_out(artifact, ctx, ids, device=device)
        if 4 in accuracy_levels(graph):  # as onnxruntime#29853: generation is wrong, the prompt is right
            trial.logits[trial.prompt :] *= 0.5
        return trial

    expected = try_out(artifact, context, device="cpu")
    monkeypatch.setattr(verify_module, "try_out", on_a_faulty_machine)
    faulty = on_a_faulty_machine(artifact, context)
    error = verify(artifact, graph, faulty, "int4", lambda ids: expected.logits, context)
    assert accuracy_levels(graph) == {1}
    assert "accuracy_level 4 computes wrongly on this machine" in context.notes[-1]
    assert error < 0.2


def test_decoding_is_part_of_what_is_compared(tiny_phi3: Path, built: Build, context: Any) -> None:
    trial = try_out(built(tiny_phi3, precision="int4"), context, device="cpu")
    assert len(trial.ids) - trial.prompt == verify_module.NEW_TOKENS


def halve_the_scales(graph: Path) -> None:
    """Change the values of a layer's scales inside the external data."""
    model = onnx.load(graph)
    for tensor in model.graph.initializer:
        if "layers.0" in tensor.name and tensor.name.endswith("scales"):
            values = onnx.numpy_helper.to_array(tensor) * np.float32(-1)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    data = graph.with_name(f"{graph.name}.data")
    data.unlink()
    onnx.save(model, graph, save_as_external_data=True, location=data.name, size_threshold=0)


def test_what_the_builder_rounds_itself_is_compared_with_its_float_source(
    tiny_phi3: Path, built: Build, context: Any
) -> None:
    built(tiny_phi3, precision="int4", streaming=False)
    assert 0.01 < context.reports["rounding_error"] < 0.6  # weights of 4 bits cost this random model as much


@pytest.mark.parametrize("to_nearest", [True, False])
def test_a_model_that_is_not_its_source_is_refused_at_the_bits_that_it_has(
    to_nearest: bool, context: Any
) -> None:
    random = np.random.default_rng(0)
    exact, noise, other = (random.standard_normal((20, 99)).astype(np.float32) for _ in range(3))
    nearest = exact + 0.03 * noise
    require_rounding(Trial([], 10, nearest, "cpu"), exact, nearest, "int8", context, to_nearest=to_nearest)
    wrong = Trial([], 10, exact + 0.5 * other, "cpu")
    with pytest.raises(PassError, match="does not compute what its"):
        require_rounding(wrong, exact, nearest, "int8", context, to_nearest=to_nearest)


def test_a_source_with_nan_is_the_users_to_mend(tiny_phi3: Path, built: Build, context: Any) -> None:
    trial = try_out(built(tiny_phi3, precision="fp32"), context, device="cpu")
    with pytest.raises(UserError, match="not finite"):
        verify(context.artifact("x"), Path(), trial, "fp32", lambda _: trial.logits * np.nan, context)
