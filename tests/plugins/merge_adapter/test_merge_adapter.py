"""What a merge gives beside the weights, what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from modelpress.artifact import Meta
from modelpress.errors import PassError, UserError
from modelpress.testing import make_tiny_model

LINEAR = ["q_proj", "v_proj", "gate_proj", "down_proj"]


def lora(**options: Any) -> LoraConfig:
    return LoraConfig(
        **{"r": 8, "lora_alpha": 12, "target_modules": LINEAR, "task_type": "CAUSAL_LM", **options}
    )


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def say(model: Any) -> torch.Tensor:
    """Logits in float32 on a few tokens."""
    with torch.no_grad():
        return model.float()(torch.arange(1, 17)[None]).logits[0]


def test_merging_twice_gives_the_same_bytes(bench: Any) -> None:
    base = bench.base()
    adapter = bench.adapter(base, lora())
    first, second = bench.merge(base, adapter, job="a"), bench.merge(base, adapter, job="b")
    names = sorted(p.name for p in first.iterdir())
    assert names == sorted(p.name for p in second.iterdir())
    assert all((first / n).read_bytes() == (second / n).read_bytes() for n in names)


def test_companions_come_from_the_base_and_the_tokenizer_from_the_adapter(bench: Any) -> None:
    base = bench.base()
    adapter = bench.adapter(base, lora())
    for name in ("tokenizer_config.json", "tokenizer.json", "notes.txt", "chat_template.jinja"):
        (base / name).write_text(f"base {name}")
    for name in ("tokenizer_config.json", "tokenizer.json", "README.md"):
        (adapter / name).write_text(f"adapter {name}")
    (base / "pytorch_model.bin").write_bytes(b"pickle")
    merged = bench.merge(base, adapter)
    assert (merged / "tokenizer.json").read_text() == "adapter tokenizer.json"
    assert (merged / "notes.txt").read_text() == "base notes.txt"
    assert (merged / "chat_template.jinja").read_text() == "base chat_template.jinja"
    assert (merged / "config.json").read_bytes() == (base / "config.json").read_bytes()
    assert not {"pytorch_model.bin", "README.md", "adapter_config.json"} & {p.name for p in merged.iterdir()}


@pytest.mark.parametrize(
    "targets", [["q_proj", "embed_tokens"], ["q_proj", "lm_head"], ["lm_head", "embed_tokens"]], ids=str
)
def test_a_tied_head_is_untied_when_the_adapter_changes_one_of_the_two(
    targets: list[str], bench: Any, llama: Any
) -> None:
    """peft merges into the shared tensor, so that its merged model is another than base + adapter."""
    base = bench.base(llama(tie_word_embeddings=True), torch.float32)
    assert "lm_head.weight" not in load_file(base / "model.safetensors")
    adapter = bench.adapter(base, lora(target_modules=targets))
    wanted = say(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter))
    merged = AutoModelForCausalLM.from_pretrained(bench.merge(base, adapter))
    assert not merged.config.tie_word_embeddings
    torch.testing.assert_close(say(merged), wanted, atol=2e-5, rtol=0)  # sums in another order
    assert any("shared one weight" in note for note in bench.notes)


@pytest.mark.parametrize("saved", ["embed_tokens", "lm_head"])
def test_a_saved_copy_of_one_tied_module_unties_them(saved: str, bench: Any, llama: Any) -> None:
    base = bench.base(llama(tie_word_embeddings=True), torch.float32)
    adapter = bench.adapter(base, lora(modules_to_save=[saved]))
    wanted = say(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter))
    merged = AutoModelForCausalLM.from_pretrained(bench.merge(base, adapter))
    torch.testing.assert_close(say(merged), wanted, atol=2e-5, rtol=0)


def test_trained_tokens_reach_a_tied_head_and_keep_it_tied(bench: Any, llama: Any) -> None:
    base = bench.base(llama(tie_word_embeddings=True), torch.float32)
    adapter = bench.adapter(base, lora(trainable_token_indices=[5, 9]))
    wanted = say(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter))
    merged = AutoModelForCausalLM.from_pretrained(bench.merge(base, adapter))
    assert merged.config.tie_word_embeddings
    torch.testing.assert_close(say(merged), wanted, atol=2e-5, rtol=0)


def test_tied_adapters_keep_the_head_tied(bench: Any, llama: Any) -> None:
    base = bench.base(llama(tie_word_embeddings=True), torch.float32)
    adapter = bench.adapter(base, lora(target_modules=["q_proj", "embed_tokens"], ensure_weight_tying=True))
    wanted = say(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter))
    merged = AutoModelForCausalLM.from_pretrained(bench.merge(base, adapter))
    assert merged.config.tie_word_embeddings
    torch.testing.assert_close(say(merged), wanted, atol=2e-5, rtol=0)


def test_extra_tensors_of_the_base_are_carried_along(bench: Any, tensors: Any) -> None:
    base = bench.base()
    weights = load_file(base / "model.safetensors")
    extra = torch.arange(4)
    save_file({**weights, "rotary.inv_freq": extra}, base / "model.safetensors", metadata={"format": "pt"})
    adapter = bench.adapter(bench.base(), lora())
    save_file({**weights, "rotary.inv_freq": extra}, base / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(tensors(bench.merge(base, adapter))["rotary.inv_freq"], extra)


def test_an_adapter_of_another_model_is_refused(bench: Any, llama: Any) -> None:
    adapter = bench.adapter(bench.base(), lora())
    other = bench.base(llama(num_hidden_layers=1))
    with pytest.raises(
        UserError, match=r"4 of 8 tensors .* first model\.layers\.1\.mlp.* The base has model\.layers\.0"
    ):
        bench.merge(other, adapter)
    with pytest.raises(UserError, match=r"shape \[64, 136\] for .*down_proj.*, whose shape is \[64, 88\]"):
        bench.merge(bench.base(llama(intermediate_size=88)), adapter)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"init_lora_weights": "pissa_niter_4"}, "PiSSA changes the base weights"),
        ({"init_lora_weights": "olora"}, "OLoRA changes the base weights"),
        ({"peft_type": "IA3"}, "its type is IA3"),
        ({"alora_invocation_tokens": [1, 2]}, "on some tokens only"),
        ({"layer_replication": [[0, 2]]}, "repeats layers"),
        ({"r": 5}, "has rank 8 in the adapter's file, 5 in its config"),
    ],
    ids=str,
)
def test_what_cannot_be_exact_is_refused_with_the_reason(config: Any, reason: str, bench: Any) -> None:
    base = bench.base()
    adapter = bench.adapter(base, lora())
    edit_json(adapter / "adapter_config.json", **config)
    with pytest.raises(UserError, match=reason):
        bench.merge(base, adapter)


def test_a_quantized_base_is_refused(bench: Any) -> None:
    base = bench.base()
    adapter = bench.adapter(base, lora())
    edit_json(base / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(UserError, match=r"quantized \(gptq\)"):
        bench.merge(base, adapter)


def test_an_adapter_that_changes_nothing_is_an_error(bench: Any) -> None:
    base = bench.base()
    adapter = bench.adapter(base, lora())
    weights = load_file(adapter / "adapter_model.safetensors")
    zero = {k: v * 0 if "lora_B" in k else v for k, v in weights.items()}
    save_file(zero, adapter / "adapter_model.safetensors")
    with pytest.raises(PassError, match="the adapter changes nothing"):
        bench.merge(base, adapter)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["base", "adapter"])
def test_nan_or_inf_is_an_error_that_names_the_tensor(where: str, value: float, bench: Any) -> None:
    base = bench.base()
    adapter = bench.adapter(base, lora())
    file = base / "model.safetensors" if where == "base" else adapter / "adapter_model.safetensors"
    weights = load_file(file)
    name = next(n for n in sorted(weights) if "layers.1.mlp.down_proj" in n)
    weights[name][3, 3] = value
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(PassError, match=rf"{name} holds NaN or inf"):
        bench.merge(base, adapter)
    assert not list((bench.folder / "job" / "out").iterdir())


def test_a_sum_past_the_dtype_is_an_error(bench: Any) -> None:
    base = bench.base(dtype=torch.float16)
    adapter = bench.adapter(base, lora())
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({k: v * 1000 for k, v in weights.items()}, adapter / "adapter_model.safetensors")
    with pytest.raises(PassError, match=r"past the largest torch\.float16"):
        bench.merge(base, adapter)


def test_a_full_disk_leaves_nothing_half_written(bench: Any, monkeypatch: Any) -> None:
    base = bench.base()
    adapter = bench.adapter(base, lora())
    monkeypatch.setattr("modelpress.checkpoint_writer._free_bytes", lambda folder: 1000)
    with pytest.raises(PassError, match=r"The disk is full: the weights need [\d,]+ bytes"):
        bench.merge(base, adapter)
    assert not list((bench.folder / "job" / "out").iterdir())


def test_logits_are_compared_with_base_and_adapter(bench: Any, registry: Any, monkeypatch: Any) -> None:
    base = make_tiny_model(bench.folder / "base", dtype="float16")
    adapter = bench.adapter(base, lora())
    bench.merge(base, adapter, verify="required", registry=registry)
    assert 0 < bench.reports["logits_difference"] < 0.02
    monkeypatch.setattr(
        "modelpress_plugins.merge_adapter.merge.apply",
        lambda weight, product, low_rank, buffers: weight.float() + 0.01,
    )
    with pytest.raises(PassError, match="does not say what base \\+ adapter says"):
        bench.merge(base, adapter, verify="required", registry=registry)


def test_a_merge_that_cannot_be_compared_says_so(bench: Any) -> None:
    base = bench.base()
    bench.merge(base, bench.adapter(base, lora()), verify="auto")
    assert any("was not compared" in note for note in bench.notes)
    with pytest.raises(PassError):
        bench.merge(base, bench.folder / "adapter", verify="required")


BITS = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "float32",
}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("width", [96, 136])
def test_a_right_merge_of_a_four_bit_base_is_taken_on_every_processor(
    processor: str, dtype: str, width: int, bench: Any, registry: Any
) -> None:
    base = make_tiny_model(bench.folder / "base", dtype=dtype, intermediate_size=width)
    adapter = bench.adapter(base, lora(target_modules=["q_proj"]), dtype=torch.float32)
    meta = Meta(extra={"quantization": BITS, "dtype": "float32"})
    for choice in ("auto", "dequantized"):
        bench.merge(
            base, adapter, verify="required", merge_base=choice, registry=registry, meta=meta, job=choice
        )
        # The reference is computed in float32, so that only the merged weights' own rounding is left.
        assert bench.reports["logits_difference"] < {"float32": 1e-5, "float16": 2e-3}[dtype]


@pytest.mark.parametrize(
    ("trained", "compute", "explained"),
    [("float32", "bfloat16", 1e-5), ("float16", "float16", 5e-4), ("bfloat16", "bfloat16", 5e-3)],
)
def test_a_right_merge_of_a_float32_base_is_taken_whatever_training_computed_in(
    trained: str, compute: str, explained: float, bench: Any, registry: Any
) -> None:
    """explained: what casting the embeddings and the head to `trained`, as training did, moves logits by."""
    base = make_tiny_model(bench.folder / "base", dtype="float32")
    adapter = bench.adapter(base, lora(target_modules=["q_proj"]), dtype=torch.float32)
    bits = {**BITS, "bnb_4bit_compute_dtype": compute}
    meta = Meta(extra={"quantization": bits, "dtype": trained})
    bench.merge(base, adapter, verify="required", merge_base="dequantized", registry=registry, meta=meta)
    assert bench.reports["logits_difference"] < explained


def test_qlora_is_merged_into_what_training_saw(
    processor: str, bench: Any, registry: Any, tensors: Any
) -> None:
    """auto opens both merges and takes the nearer one, without a lasting trace of the other."""
    base = make_tiny_model(bench.folder / "base", dtype="float16")
    adapter = bench.adapter(base, lora(target_modules=["q_proj"]), dtype=torch.float32)
    meta = Meta(extra={"quantization": BITS, "dtype": "float32"})
    chosen = bench.merge(base, adapter, verify="auto", registry=registry, meta=meta, job="auto")
    assert bench.reports["merge_base"] == "dequantized"
    assert bench.reports["logits_difference"] < 0.01
    assert any("Merged into the dequantized base" in note for note in bench.notes)
    by_hand = bench.merge(base, adapter, merge_base="dequantized", meta=meta)
    assert all(torch.equal(a, tensors(by_hand)[n]) for n, a in tensors(chosen).items())
    original = bench.merge(base, adapter, merge_base="original", meta=meta, job="original")
    untouched = "model.layers.0.mlp.down_proj.weight"  # not in the adapter, but training saw it in 4 bits
    assert torch.equal(tensors(original)[untouched], tensors(base)[untouched])
    assert not torch.equal(tensors(chosen)[untouched], tensors(base)[untouched])
    assert torch.equal(tensors(chosen)["lm_head.weight"], tensors(base)["lm_head.weight"])
