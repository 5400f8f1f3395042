"""Models and adapters opened in transformers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from modelpress.api import Artifact, Sampling, UserError
from modelpress.artifact import Meta
from modelpress_plugins.hf.ids import encode_prompt
from modelpress_plugins.hf.open import load_hf_adapter, load_hf_model
from modelpress_plugins.hf.sampling import Draw
from modelpress_plugins.hf.tokenizer import load_tokenizer

PROMPTS = ["the tone of the text is", "what a joy", "a"]


@pytest.fixture
def artifact(model_folder: Path) -> Artifact:
    return Artifact(model_folder, "hf-model", "content:x")


@pytest.fixture
def adapter(artifact: Artifact, tmp_path: Path) -> Artifact:
    """A LoRA adapter that changes what the model says."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(artifact.path)
    changed = get_peft_model(base, LoraConfig(r=4, target_modules=["qkv_proj"], init_lora_weights=False))
    changed.save_pretrained(tmp_path / "adapter")
    return Artifact(tmp_path / "adapter", "hf-adapter", "key", base=artifact)


def test_weights_are_float32_on_a_cpu_unless_told_otherwise(artifact: Artifact, model_folder: Path) -> None:
    assert load_hf_model(artifact, "cpu").model.dtype == torch.float32
    for name, dtype in (("float16", torch.float16), ("auto", torch.bfloat16)):
        told = Artifact(model_folder, "hf-model", "x", meta=Meta(load_kwargs={"torch_dtype": name}))
        assert load_hf_model(told, "cpu").model.dtype == dtype


def test_logits_are_those_of_transformers(artifact: Artifact) -> None:
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(artifact.path, dtype=torch.float32)
    ids = [1, 40, 41, 42]
    found = load_hf_model(artifact, "cpu").logits(ids)
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0].numpy()
    assert found.dtype == "float32"
    assert found.shape == (4, reference.config.vocab_size)
    assert (found == expected).all()


def test_answers_are_greedy_and_the_same_alone_and_in_batches(artifact: Artifact) -> None:
    model = load_hf_model(artifact, "cpu")
    prompts = [encode_prompt(model.tokenizer, text) for text in PROMPTS]
    batch = model.generate_batch(prompts, 6)
    for prompt, answer in zip(prompts, batch, strict=True):
        alone = [t for t in model.generate(prompt, 6) if t not in model.eos_ids]
        assert answer == alone
        ids = list(prompt)
        for token in alone:
            assert int(model.logits(ids)[-1].argmax()) == token
            ids.append(token)


def test_an_answer_ends_with_the_end_token(artifact: Artifact) -> None:
    model = load_hf_model(artifact, "cpu")
    prompt = encode_prompt(model.tokenizer, PROMPTS[0])
    free = list(model.generate(prompt, 5))
    model.eos_ids = frozenset({free[2]})
    stop = free.index(free[2])
    assert list(model.generate(prompt, 5)) == free[: stop + 1]
    assert model.generate_batch([prompt], 5) == [free[:stop]]


def test_the_ids_that_end_an_answer_are_those_of_the_generation_config(
    artifact: Artifact, tmp_path: Path
) -> None:
    from transformers import GenerationConfig

    folder = shutil.copytree(artifact.path, tmp_path / "copy")
    GenerationConfig(eos_token_id=[5, 7], do_sample=True, temperature=0.5).save_pretrained(folder)
    model = load_hf_model(Artifact(folder, "hf-model", "x"), "cpu")
    assert model.eos_ids == {2, 5, 7}
    assert model.context_length == 256


def test_an_adapter_is_opened_on_its_base(adapter: Artifact, artifact: Artifact) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    ids = [1, 40, 41, 42]
    reference = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(artifact.path, dtype=torch.float32), str(adapter.path)
    )
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0].numpy()
    model = load_hf_adapter(adapter, "cpu")
    assert (model.logits(ids) == expected).all()
    assert (load_hf_model(artifact, "cpu").logits(ids) != expected).any()
    assert model.generate_batch([ids], 3) == [list(model.generate(ids, 3))]


def test_an_adapter_on_a_quantized_base_is_measured_as_it_was_trained(
    adapter: Artifact, artifact: Artifact
) -> None:
    bits = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"}
    trained = Artifact(
        adapter.path, "hf-adapter", "k", base=artifact, meta=Meta(extra={"quantization": bits})
    )
    model = load_hf_adapter(trained, "cpu")
    kinds = {type(module).__name__ for module in model.model.modules()}
    assert "Linear4bit" in kinds
    assert model.logits([1, 40, 41]).shape[0] == 3


@pytest.mark.parametrize("lm_head", [True, False])
def test_a_quantized_checkpoint_is_opened_as_the_float_model_it_stands_for(
    artifact: Artifact, tmp_path: Path, lm_head: bool
) -> None:
    from modelpress_plugins.grids.stream import quantize_checkpoint

    quantize_checkpoint(artifact.path, tmp_path / "int8", bits=8, block_size=16, lm_head=lm_head)
    ids = [1, 40, 41, 42]
    exact = load_hf_model(artifact, "cpu").logits(ids)
    model = load_hf_model(Artifact(tmp_path / "int8", "hf-model", "x"), "cpu")
    found = model.logits(ids)
    # 8 bits keep logits of about 1 within a few hundredths; a weight in the wrong place would not.
    assert 0 < abs(found - exact).max() < 0.05
    assert model.generate_batch([ids], 2)


def test_an_adapter_of_another_base_is_refused(adapter: Artifact, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=400, **size)).save_pretrained(tmp_path / "llama")
    wrong = Artifact(adapter.path, "hf-adapter", "k", base=Artifact(tmp_path / "llama", "hf-model", "x"))
    with pytest.raises(UserError, match="does not fit"):
        load_hf_adapter(wrong, "cpu")


def test_a_tokenizer_lies_beside_the_model_apart_or_with_the_base(
    artifact: Artifact, adapter: Artifact, tmp_path: Path
) -> None:
    assert load_tokenizer(adapter).eos_token == "</s>"
    bare = tmp_path / "bare"
    bare.mkdir()
    apart = Artifact(bare, "hf-model", "x", meta=Meta(tokenizer_path=str(artifact.path)))
    assert load_tokenizer(apart).eos_token == "</s>"
    with pytest.raises(UserError, match="has no tokenizer"):
        load_tokenizer(Artifact(bare, "hf-model", "x"))


def test_a_begin_token_is_put_once(artifact: Artifact) -> None:
    tokenizer = load_tokenizer(artifact)
    assert encode_prompt(tokenizer, "<s>a") == encode_prompt(tokenizer, "a")
    assert encode_prompt(tokenizer, "a")[0] == tokenizer.bos_token_id


def test_a_device_that_is_not_there_is_refused(artifact: Artifact) -> None:
    with pytest.raises(UserError, match="'npu'"):
        load_hf_model(artifact, "npu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            load_hf_model(artifact, "gpu")


def test_nothing_is_asked_of_a_network(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load_hf_model(artifact, "cpu").close()


def test_drawn_answers_are_those_of_the_seed_and_of_the_likeliest(artifact: Artifact) -> None:
    model = load_hf_model(artifact, "cpu")
    prompt = encode_prompt(model.tokenizer, PROMPTS[0])

    def drawn(**told: Any) -> list[int]:
        return list(model.generate(prompt, 8, Sampling(**told)))

    greedy = list(model.generate(prompt, 8))
    assert drawn(seed=1) == drawn(seed=1)
    assert len({tuple(drawn(temperature=3.0, seed=seed)) for seed in range(4)}) == 4
    assert drawn(top_k=1, seed=3) == greedy
    assert drawn(top_p=1e-6, seed=3) == greedy
    assert drawn(temperature=1e-4, seed=3) == greedy


def test_tokens_are_drawn_as_often_as_the_model_gives_them() -> None:
    logits = torch.tensor([0.5, 0.2, 0.2, 0.1]).log().view(1, 1, 4)
    draw = Draw(Sampling(seed=5))
    counts = torch.bincount(torch.stack([draw(logits) for _ in range(4000)]).view(-1), minlength=4) / 4000
    assert (counts - torch.tensor([0.5, 0.2, 0.2, 0.1])).abs().max() < 0.03
    nucleus = Draw(Sampling(top_p=0.6, seed=5))
    assert {int(nucleus(logits)) for _ in range(200)} == {0, 1}
