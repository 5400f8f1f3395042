"""Random models and adapters of a chosen size, written as they are made: no model is ever held.

Weights are what an untrained model has (normal, 0.02); norms are one. The tokenizer is the example's, whose
ids all lie below any vocabulary used here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from modelpress.api import CheckpointWriter

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "emotions"
_BLOCK = 4_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """A model of Phi-3's architecture."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    vocabulary: int = 32064

    @property
    def parameters(self) -> int:
        return sum(_count(shape) for _, shape in self.tensors())

    def linear(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name without `.weight`, and (out, in), of every linear layer but the output layer."""
        for number in range(self.layers):
            layer = f"model.layers.{number}"
            yield f"{layer}.self_attn.qkv_proj", (3 * self.hidden, self.hidden)
            yield f"{layer}.self_attn.o_proj", (self.hidden, self.hidden)
            yield f"{layer}.mlp.gate_up_proj", (2 * self.intermediate, self.hidden)
            yield f"{layer}.mlp.down_proj", (self.hidden, self.intermediate)

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield "model.embed_tokens.weight", (self.vocabulary, self.hidden)
        for name, shape in self.linear():
            yield f"{name}.weight", shape
        for number in range(self.layers):
            yield f"model.layers.{number}.input_layernorm.weight", (self.hidden,)
            yield f"model.layers.{number}.post_attention_layernorm.weight", (self.hidden,)
        yield "model.norm.weight", (self.hidden,)
        yield "lm_head.weight", (self.vocabulary, self.hidden)


TINY = Shape(hidden=128, intermediate=256, layers=2, heads=4, vocabulary=2048)
SMALL = Shape(hidden=1024, intermediate=2816, layers=6, heads=16)
"""0.14 billion parameters."""
MEDIUM = Shape(hidden=2048, intermediate=5632, layers=13, heads=16)
"""0.8 billion parameters."""
PHI3_MINI = Shape(hidden=3072, intermediate=8192, layers=32, heads=32)
"""3.8 billion parameters: Phi-3-mini's own shape."""


def make_model(folder: Path, shape: Shape) -> Path:
    """A bf16 checkpoint in shards of 2 GB. Made anew, or left if it is the same already."""
    stamp = folder / "made.json"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == repr(shape):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"making a model of {shape.parameters / 1e9:.2f} billion parameters", flush=True)
    generator = torch.Generator().manual_seed(0)
    declared = [(name, "BF16", size) for name, size in shape.tensors()]
    with CheckpointWriter(folder, declared, max_shard_size="2GB") as writer:
        for name, size in shape.tensors():
            if len(size) == 1:
                writer.write(name, _bytes(torch.ones(size, dtype=torch.bfloat16)))
                continue
            for block in _random_blocks(_count(size), 0.02, generator):
                writer.write(name, _bytes(block.to(torch.bfloat16)))
    _write_config(folder, shape)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(EXAMPLE / "model" / file, folder / file)
    stamp.write_text(repr(shape), encoding="utf-8")
    return folder


def make_adapter(folder: Path, base: Path, shape: Shape, rank: int = 16) -> Path:
    """A LoRA adapter on every linear layer, as PEFT writes it, of a size that changes most weights."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(1)
    sizes: dict[str, tuple[int, int]] = {}
    for name, (outputs, inputs) in shape.linear():
        sizes[f"base_model.model.{name}.lora_A.weight"] = (rank, inputs)
        sizes[f"base_model.model.{name}.lora_B.weight"] = (outputs, rank)
    declared = [(name, "F32", size) for name, size in sizes.items()]
    with CheckpointWriter(folder, declared, stem="adapter_model") as writer:
        for name, size in sizes.items():
            for block in _random_blocks(_count(size), 0.05, generator):
                writer.write(name, _bytes(block))
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    return folder


def _write_config(folder: Path, shape: Shape) -> None:
    config = json.loads((EXAMPLE / "model" / "config.json").read_text(encoding="utf-8"))
    config.update(
        dtype="bfloat16",
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        vocab_size=shape.vocabulary,
        max_position_embeddings=4096,
        original_max_position_embeddings=4096,
    )
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _random_blocks(count: int, deviation: float, generator: torch.Generator) -> Iterator[torch.Tensor]:
    while count:
        block = torch.empty(min(count, _BLOCK)).normal_(0, deviation, generator=generator)
        yield block
        count -= len(block)


def _bytes(tensor: torch.Tensor) -> memoryview:
    return memoryview(tensor.view(torch.uint8).numpy())  # type: ignore[arg-type]


def _count(size: tuple[int, ...]) -> int:
    count = 1
    for length in size:
        count *= length
    return count
