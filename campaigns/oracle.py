"""What a pressed model should have computed, by transformers in float32, and how far it is from that.

Nothing of ModelBuilder's own proof is used: the runtime is called directly, and the weights that it has are
dequantized here (`unrounded`) or rounded here (`rounded`), then given to transformers' own classes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnxruntime_genai as og
import torch
import transformers as hf
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.torch import load_file

Logits = NDArray[np.float32]
LENGTH = 160
"""Tokens that are compared: past each switch that tiny.py gives its models."""
STEPS = 16
"""The last of them come one by one, as in generation."""

EXACT, SHIPPED, WORSE = 0.001, 0.2, 1.5
"""Limits. EXACT: relative error of the logits with products in float32, against the same weights in
transformers. SHIPPED: as it is shipped, with 8-bit activations. WORSE: how much farther from the float model a
quantizer may be than rounding to nearest with the same bits and blocks."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """exact, shipped: as the limits. cost: error against the float model; nearest: that of plain rounding.
    Both 0 for float models. limit: of exact; experts of 8 bits are computed with 8-bit activations alone."""

    exact: float
    shipped: float
    cost: float = 0.0
    nearest: float = 0.0
    limit: float = EXACT

    @property
    def wrong(self) -> str:
        """Why it is; empty for a right model."""
        if not self.exact <= self.limit:
            return f"logits off by {self.exact:.2%} from the same weights in transformers"
        if not self.shipped <= SHIPPED:
            return f"logits off by {self.shipped:.0%} as it is shipped"
        if not self.cost <= WORSE * self.nearest + 0.01:
            return f"{self.cost:.0%} from the float model; rounding to nearest: {self.nearest:.0%}"
        return ""


def compare(built: Path, source: Path, quantized: Path | None, bits: int, scratch: Path) -> Verdict:
    """Judge the ort-genai folder `built`.

    source: the float model; quantized: the checkpoint that the builder was given, None where it (or
    ModelBuilder's streaming path) rounded; bits: 0 for a float build.
    """
    ids = [int(i) for i in np.random.default_rng(1).integers(3, 2000, LENGTH)]
    shipped, fine = _genai(built, ids), _genai(_with_float_products(built, scratch), ids)
    exact = _transformers(source, ids)
    if not bits:
        return Verdict(off(fine, exact), off(shipped, exact))
    shared = _looks_up_codes(built)
    grid = _grid(quantized) if quantized else Grid(bits, 32, True)
    head = Grid(bits, grid.size, grid.symmetric)
    plain = _transformers(
        source,
        ids,
        lambda _, weight: round_to_nearest(weight, grid),
        shared=shared,
        experts=_experts(built),
    )
    if quantized is None:
        same = plain
    else:
        stored = dequantize(quantized)
        same = _transformers(
            source,
            ids,
            lambda name, weight: stored[name] if name in stored else round_to_nearest(weight, head),
            stored,
            shared=shared,
        )
    limit = SHIPPED if bits == 8 and _operators(built) & {"QMoE"} else EXACT
    return Verdict(off(fine, same), off(shipped, same), off(shipped, exact), off(plain, exact), limit)


def off(found: Logits, expected: Logits) -> float:
    """The larger relative error of prompt and generation; a constant on all logits of a row is none."""
    found, expected = (x - x.mean(-1, keepdims=True) for x in (found, expected))
    parts = (slice(LENGTH - STEPS), slice(LENGTH - STEPS, None))
    norm = np.linalg.norm
    errors = [float(norm(found[p] - expected[p]) / max(norm(expected[p]), 1e-12)) for p in parts]
    return max(errors) if np.isfinite(errors).all() else float("inf")


@dataclass(frozen=True, slots=True)
class Grid:
    """bits; size: of a block, along a row; symmetric: without zero points."""

    bits: int
    size: int
    symmetric: bool


def round_to_nearest(weight: torch.Tensor, grid: Grid) -> torch.Tensor:
    """(out, in), each block on the grid that its extremes span."""
    width = weight.shape[-1]
    size = min(grid.size, width)
    padded = torch.nn.functional.pad(weight.float(), (0, -width % size))
    blocks = padded.reshape(*weight.shape[:-1], -1, size)
    low, high = blocks.amin(-1, keepdim=True).clamp(max=0), blocks.amax(-1, keepdim=True).clamp(min=0)
    if grid.symmetric:
        zero = torch.full_like(low, 2 ** (grid.bits - 1))
        scale = torch.where(high > -low, high, low) / -(2 ** (grid.bits - 1))
    else:
        scale = (high - low) / (2**grid.bits - 1)
        zero = torch.floor(-low / scale + 0.5)
    # A value half way between two codes is common among bfloat16 numbers: the order of operations decides.
    codes = torch.floor(blocks * scale.reciprocal() + (zero + 0.5)).clamp(0, 2**grid.bits - 1)
    return torch.nan_to_num((codes - zero) * scale).reshape(padded.shape)[..., :width]


def dequantize(folder: Path) -> dict[str, torch.Tensor]:
    """module -> (out, in), of what a checkpoint of modelpress holds in codes, fused modules whole again; and
    the other tensors (norms and biases that a quantizer may have changed) by their whole names."""
    section = json.loads((folder / "config.json").read_text())["quantization_config"]
    tensors = {
        name: t for file in sorted(folder.glob("*.safetensors")) for name, t in load_file(file).items()
    }
    found: dict[str, torch.Tensor] = {}
    for name in tensors:
        module, _, kind = name.rpartition(".")
        if kind == "qweight":
            told = {**section, **(section.get("overrides") or {}).get(module, {})}
            bits = int(told["bits"])
            scales = tensors[f"{module}.scales"].float().unsqueeze(-1)
            zeros = torch.tensor(2.0 ** (bits - 1))
            if (packed := tensors.get(f"{module}.qzeros")) is not None:
                zeros = _unpack(packed, bits)[:, : scales.shape[1]].unsqueeze(-1)
            codes = _unpack(tensors[name], bits).reshape(scales.shape[0], scales.shape[1], -1)
            found[module] = ((codes - zeros) * scales).reshape(scales.shape[0], -1)
        elif kind not in ("scales", "qzeros"):
            found[name] = tensors[name].float()
    for whole, parts in (section.get("fused") or {}).items():
        found[whole] = torch.cat([found[part] for part in parts])
        if f"{parts[0]}.bias" in found:
            found[f"{whole}.bias"] = torch.cat([found[f"{part}.bias"] for part in parts])
    return found


def _unpack(packed: torch.Tensor, bits: int) -> torch.Tensor:
    return torch.stack([(packed >> at) & (2**bits - 1) for at in range(0, 8, bits)], -1).flatten(1).float()


def _grid(folder: Path) -> Grid:
    section = json.loads((folder / "config.json").read_text())["quantization_config"]
    return Grid(int(section["bits"]), int(section["group_size"]), bool(section["symmetric"]))


@torch.no_grad()
def _transformers(
    folder: Path,
    ids: list[int],
    weigh: Callable[[str, torch.Tensor], torch.Tensor] | None = None,
    others: Mapping[str, torch.Tensor] | None = None,
    *,
    shared: bool = False,
    experts: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> Logits:
    """Logits of the float model in a folder. weigh: gives the weight of each linear module; others:
    other tensors that a quantizer may have changed, by name; shared: the input embedding is the rounded head;
    experts: those that the graph holds, by name."""
    document = json.loads((folder / "config.json").read_text())
    kind = getattr(hf, document["architectures"][0])
    # What is quantized transformers dequantizes to bfloat16.
    dtype = torch.bfloat16 if "quantization_config" in document else torch.float32
    model: Any = kind.from_pretrained(folder, dtype=dtype, attn_implementation="eager").float().eval()
    for name, parameter in model.named_parameters():
        if name in experts:
            parameter.copy_(experts[name])
        elif others and name in others:
            parameter.copy_(others[name])
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        linear = isinstance(module, torch.nn.Linear) and module is not None
        if weigh and linear and (module is head or ("router" not in name and not name.endswith("mlp.gate"))):
            module.weight = torch.nn.Parameter(weigh(name, module.weight))
    if shared:
        model.get_input_embeddings().weight = head.weight
    logits: torch.Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits.float().numpy()


def _genai(folder: Path, ids: list[int]) -> Logits:
    model = og.Model(str(folder))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=LENGTH, do_sample=False)
    generator = og.Generator(model, parameters)
    rows = []
    prompt = LENGTH - STEPS
    for start, stop in [(0, prompt), *((i, i + 1) for i in range(prompt, LENGTH))]:
        generator.append_tokens(np.asarray(ids[start:stop], dtype=np.int32))
        rows.append(np.asarray(generator.get_output("logits"), dtype=np.float32)[0])
    return np.concatenate(rows)


def _looks_up_codes(built: Path) -> bool:
    return "GatherBlockQuantized" in _operators(built)


def _experts(built: Path) -> dict[str, torch.Tensor]:
    """What the QMoE nodes of a GPT-OSS hold in codes: (experts, in, out), by transformers' names. Numbers of mxfp4
    often lie half way between two codes, so which of the two a builder took is read, not guessed."""
    found = {}
    graph = onnx.load(built / _decoder(built)).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        told = {attribute.name: attribute.i for attribute in node.attribute}
        for name in node.input if node.op_type == "QMoE" else ():
            if not name.endswith(".qweight"):
                continue
            codes = torch.from_numpy(numpy_helper.to_array(tensors[name]).copy())
            scales = numpy_helper.to_array(tensors[name.replace("qweight", "scales")])
            bits = told["expert_weight_bits"]
            values = torch.stack([_unpack(expert, bits) for expert in codes]) - 2 ** (bits - 1)
            steps = torch.from_numpy(scales.copy()).repeat_interleave(told["block_size"], -1)
            stored = name.replace(".moe.", ".mlp.").removesuffix(".qweight")
            found[stored] = (values * steps[..., : values.shape[-1]]).transpose(1, 2)
    return found


def _operators(built: Path) -> set[str]:
    graph = onnx.load(built / _decoder(built), load_external_data=False).graph
    return {node.op_type for node in graph.node}


def _decoder(built: Path) -> str:
    return str(json.loads((built / "genai_config.json").read_text())["model"]["decoder"]["filename"])


def _with_float_products(built: Path, scratch: Path) -> Path:
    """The same model, with the products of quantized weights computed in float32."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(built, scratch)
    graph = scratch / _decoder(built)
    model = onnx.load(graph, load_external_data=False)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 0
    onnx.save(model, graph)
    return scratch
