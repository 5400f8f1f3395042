"""Quantizing with data, one decoder layer at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from modelpress.api import Artifact, Checkpoint, ModelFacts, PassError, Sample, UserError
from modelpress.testing import RecordingPlan, input_artifact, make_tiny_model, pass_context
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.nearest import round_to_nearest
from modelpress_plugins.grids.stream import quantize_checkpoint
from modelpress_plugins.grids.targets import Part, Target
from modelpress_plugins.hf.quantized import QuantizedCheckpoint
from modelpress_plugins.quantize import layerwise
from modelpress_plugins.quantize.activations import Activations, batches_of
from modelpress_plugins.quantize.algorithms.awq import Awq
from modelpress_plugins.quantize.algorithms.clip import AutoClip
from modelpress_plugins.quantize.algorithms.descent import descend
from modelpress_plugins.quantize.algorithms.folds import norm_offset
from modelpress_plugins.quantize.algorithms.gptq import Gptq, group_aware_order, inverse_factor
from modelpress_plugins.quantize.config import (
    AutoClipConfig,
    AwqConfig,
    GptqConfig,
)
from modelpress_plugins.quantize.decoder import LayeredDecoder
from modelpress_plugins.quantize.inputs import InputStatistics
from modelpress_plugins.quantize.layer import EVERY_KIND, LayerView
from modelpress_plugins.quantize.plan import plan
from modelpress_plugins.quantize.run_calibrated import quantize, quantize_with

PASSES = {"gptq": GptqConfig, "awq": AwqConfig, "autoclip": AutoClipConfig}


class Samples:
    """A data source of random ids of two lengths."""

    name = "calibration"

    def samples(self, tokenizer: Any, limit: int | None = None, seed: int | None = None) -> Iterator[Sample]:
        generator = torch.Generator().manual_seed(0)
        for at in range(24):
            ids = torch.randint(3, 90, (24 if at % 2 else 17,), generator=generator).tolist()
            yield Sample(ids, ids)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grouped attention, and inputs of very different sizes, as trained models have them."""
    folder = make_tiny_model(tmp_path_factory.mktemp("model"), num_hidden_layers=2)
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(1)
    for name, tensor in tensors.items():
        if "norm" in name:
            tensor.copy_(torch.rand(tensor.shape, generator=generator).exp() ** 2)
        elif "layers" in name or "lm_head" in name:
            tensor *= 4  # make_tiny_model's weights are so small that nothing would matter
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def run(function: Any, config: Any, model: Path, folder: Path) -> Artifact:
    context = pass_context(folder, produces="hf-model")
    context.data = lambda role: Samples()  # type: ignore[method-assign]
    result: Artifact = function(input_artifact(model, "hf-model"), config, context)
    return result


def options(config: Any, **more: Any) -> Any:
    return config.parse({"data_config": "d", "group_size": 16, "sym": True, "lm_head": True, **more})


def output_error(model: Path, quantized: Path) -> float:
    """Mean square of the change of the logits, relative to theirs."""
    from transformers import AutoModelForCausalLM

    ids = torch.randint(3, 90, (4, 24), generator=torch.Generator().manual_seed(5))
    net = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.no_grad(), QuantizedCheckpoint(quantized) as stored:
        before = net(ids).logits
        net.load_state_dict({name: stored.read(name).float() for name in stored.names()})
        after = net(ids).logits
    return float((after - before).square().mean() / before.square().mean())


def test_the_layered_decoder_computes_what_the_model_does(model: Path) -> None:
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    batches = [torch.randint(3, 90, (3, 11)), torch.randint(3, 90, (2, 30))]
    with torch.no_grad(), Checkpoint(model) as checkpoint:
        decoder = LayeredDecoder(checkpoint)
        for ids, hidden in zip(batches, decoder.embed(batches), strict=True):
            for index in range(len(decoder)):
                hidden = decoder.run(decoder.layer(index), index, hidden)
            expected = net.model(ids).last_hidden_state
            assert torch.allclose(decoder.norm()(hidden), expected, atol=1e-5)


def test_calibrated_quantizers_beat_rounding_to_nearest(model: Path, tmp_path: Path) -> None:
    quantize_checkpoint(model, tmp_path / "rtn", block_size=16)
    worst = output_error(model, tmp_path / "rtn")
    error = {}
    for name, config in PASSES.items():
        result = run(quantize, options(config), model, tmp_path / name)
        error[name] = output_error(model, result.path)
    assert error["gptq"] < 0.8 * worst, (worst, error)
    assert error["awq"] < 0.9 * worst, (worst, error)
    assert error["autoclip"] < worst, (worst, error)


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(quantize, options(AwqConfig), model, tmp_path / "whole")
    original, done = layerwise._quantize_layer, []

    def interrupted(*arguments: Any) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(1)
        original(*arguments)

    monkeypatch.setattr(layerwise, "_quantize_layer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(quantize, options(AwqConfig), model, tmp_path / "cut")
    counted: list[int] = []

    def counting(*arguments: Any) -> None:
        counted.append(1)
        original(*arguments)

    monkeypatch.setattr(layerwise, "_quantize_layer", counting)
    again = run(quantize, options(AwqConfig), model, tmp_path / "cut")
    assert len(counted) == 1
    assert (again.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()


def test_activations_on_disk_give_the_same_bytes(model: Path, tmp_path: Path) -> None:
    held = run(quantize, options(GptqConfig), model, tmp_path / "held")
    spilled = run(quantize, options(GptqConfig, activation_memory=1000), model, tmp_path / "spilled")
    assert (held.path / "model.safetensors").read_bytes() == (spilled.path / "model.safetensors").read_bytes()


def test_gptq_does_no_worse_than_rounding_on_its_own_inputs() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(64, 64, generator=generator)
    inputs = torch.randn(500, 64, generator=generator) @ mixing
    inputs[:, 7] = 0  # a dead input
    statistics = InputStatistics(64, 500)
    statistics.add(inputs)
    statistics.finish()
    weight = torch.randn(32, 64, generator=generator)
    for grid in (Grid(4, 32, True), Grid(4, 16, False), Grid(2, 64, False)):
        plain = statistics.output_error(round_to_nearest(weight, grid).dequantize() - weight)
        ours = statistics.output_error(Gptq().quantize(weight, grid, statistics).dequantize() - weight)
        assert ours < 0.7 * plain


def test_awq_and_descent_lessen_what_clipping_leaves_on_correlated_inputs() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(500, 192, generator=generator) @ torch.randn(192, 192, generator=generator)
    inputs[:, 7] = 0  # a dead input
    statistics = InputStatistics(192, 500)
    statistics.add(inputs)
    statistics.finish()
    weight = torch.randn(32, 192, generator=generator)
    weight[3, :64] = 0  # whole blocks of zeros
    for grid in (Grid(4, 32, True), Grid(4, 16, False), Grid(8, 64, False)):
        clipped = AutoClip().quantize(weight, grid, statistics)
        steps = (clipped, descend(weight, clipped, statistics.gram), Awq().quantize(weight, grid, statistics))
        errors = [statistics.output_error(codes.dequantize() - weight) for codes in steps]
        assert errors[1] < 0.8 * errors[0]
        assert errors[2] < 0.8 * errors[0]
        for codes in steps:
            assert not codes.dequantize()[3, :64].any()
            assert int(codes.values.max()) <= grid.top


def test_group_aware_order_keeps_groups_whole() -> None:
    order = group_aware_order(torch.tensor([1.0, 2, 3, 4, 8, 7, 6, 5]), 4)
    assert order.tolist() == [4, 5, 6, 7, 3, 2, 1, 0]


def test_damping_grows_until_a_singular_matrix_can_be_factored() -> None:
    factor = inverse_factor(torch.ones(8, 8), torch.arange(8), 1e-6)
    assert bool(torch.isfinite(factor).all())


def test_samples_of_equal_length_share_a_batch_and_the_limit_holds() -> None:
    batches = batches_of(Samples().samples(None), 200, 20)
    assert sum(b.numel() for b in batches) <= 200
    assert all(b.shape[1] <= 20 for b in batches)
    with pytest.raises(UserError, match="no sample"):
        batches_of([], 100, 20)


def test_activations_past_the_limit_lie_in_a_file(tmp_path: Path) -> None:
    held = Activations([(2, 3)], 8, 2 * 3 * 8 * 4, tmp_path)
    assert not held.spilled
    spilled = Activations([(2, 3), (1, 2)], 8, 100, tmp_path)
    spilled[1].fill_(3)
    assert spilled.spilled
    assert (tmp_path / "activations.bin").stat().st_size == 8 * 8 * 4


def test_the_plan_tells_all_that_cannot_work() -> None:
    context = RecordingPlan()
    config: Mapping[str, Any] = {"hidden_size": 90, "quantization_config": {"quant_method": "gptq"}}
    facts = plan(ModelFacts("hf-model", config=config), options(GptqConfig), context)
    assert len(context.problems) == 2
    assert facts.config["quantization_config"]["quant_method"] == "olive"


def view_of(layer: torch.nn.Module, names: Mapping[str, Grid]) -> LayerView:
    targets = []
    for name, grid in names.items():
        rows, columns = layer.get_submodule(name).weight.shape  # type: ignore[misc, union-attr]
        role = name.rpartition(".")[2].removesuffix("_proj")
        part = Part(f"l.{name}", role, 0, rows, grid)
        targets.append(Target(f"l.{name}.weight", f"l.{name}", columns, (part,), 0))
    return LayerView(layer, "l.", targets)


class Mlp(torch.nn.Module):
    """A norm that adds `offset` to its weight, and an activation of the product of two, or of one alone."""

    def __init__(self, offset: float, *, gated: bool) -> None:
        super().__init__()
        self.post_norm = OffsetNorm(32, offset)
        self.mlp = torch.nn.ModuleDict(
            {
                **({"gate_proj": torch.nn.Linear(32, 48, bias=False)} if gated else {}),
                "up_proj": torch.nn.Linear(32, 48, bias=False),
                "down_proj": torch.nn.Linear(48, 32, bias=False),
            }
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.post_norm(x)
        up = self.mlp["up_proj"](y)
        gated = (
            torch.sigmoid(self.mlp["gate_proj"](y)) * up if "gate_proj" in self.mlp else up.relu().square()
        )
        return x + self.mlp["down_proj"](gated)


class OffsetNorm(torch.nn.Module):
    def __init__(self, width: int, offset: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(width))
        self.bias = torch.nn.Parameter(torch.rand(width))
        self.offset = offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.layer_norm(x, x.shape[-1:], self.weight + self.offset, self.bias)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_awq_scales_only_where_the_layer_computes_the_same(offset: float, gated: bool) -> None:
    torch.manual_seed(0)
    layer = Mlp(offset, gated=gated).requires_grad_(False)
    assert norm_offset(layer.post_norm) == offset
    names = [f"mlp.{name}" for name in layer.mlp]
    view = view_of(layer, {name: Grid(4, 16, True) for name in names})
    x = torch.randn(4, 16, 32) * torch.linspace(0.1, 4, 32)
    before, weight = layer(x).clone(), layer.mlp["up_proj"].weight.clone()
    view.gather(layer, [x], 64, EVERY_KIND)
    view.remember_function(layer, x)
    changed = Awq().prepare(view)
    assert set(changed) == {"l.post_norm.weight", "l.post_norm.bias"}
    assert torch.allclose(layer(x), before, atol=1e-4)
    assert not torch.equal(layer.mlp["up_proj"].weight, weight)
    assert view.refused == ([] if gated else ["mlp.up_proj -> mlp.down_proj"])


def test_a_preparation_that_changes_the_layer_is_refused(model: Path, tmp_path: Path) -> None:
    class Breaks(Awq):
        def prepare(self, layer: LayerView) -> dict[str, torch.Tensor]:
            layer.parts()[0].weight.mul_(1.1)
            return {}

    config = options(AwqConfig)
    context = pass_context(tmp_path, produces="hf-model")
    context.data = lambda role: Samples()  # type: ignore[method-assign]
    with pytest.raises(PassError, match=r"layers\.0\..*changes what it computes"):
        quantize_with(Breaks(), input_artifact(model, "hf-model"), config, context)
