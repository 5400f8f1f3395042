"""Train the tiny Phi-3-shaped language model in `model/`, tokenizer included.

The text is what every Python carries: the docstrings of the standard library and
`pydoc_data.topics`. Nothing is downloaded. Two CPU cores take about a quarter of an hour:

    python train_base.py --out model
"""

import argparse
import ast
import json
import math
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pydoc_data import topics

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

PAD, BOS, EOS, END = "<pad>", "<s>", "<|endoftext|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "pad_token": PAD,
    "bos_token": BOS,
    "eos_token": EOS,
    "additional_special_tokens": [*ROLES, END],
    "clean_up_tokenization_spaces": False,
    "model_max_length": 2048,
    "chat_template": (
        "{% for message in messages %}"
        "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
    ),
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


@dataclass(frozen=True)
class Recipe:
    steps: int = 1200
    rows: int = 16
    """Sequences in a batch."""
    length: int = 256
    """Tokens in a sequence."""
    learning_rate: float = 2e-3
    """The peak; reached after `warmup` steps, then a cosine down to a tenth of it."""
    warmup: int = 60
    weight_decay: float = 0.1
    seed: int = 0
    held_out_every: int = 20
    """One document in so many is kept for the perplexity."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the base model of the emotions example.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "model")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    options = parser.parse_args()
    recipe = Recipe(steps=options.steps)
    torch.manual_seed(recipe.seed)

    train, held_out = split(documents(), recipe)
    tokenizer = train_tokenizer(train)
    train_ids, held_out_ids = token_stream(tokenizer, train), token_stream(tokenizer, held_out)
    model = Phi3ForCausalLM(model_config(tokenizer))
    started = time.monotonic()
    fit(model, train_ids, recipe)
    print(f"{model.num_parameters():,} parameters, {time.monotonic() - started:.0f} s")
    print(f"{len(train_ids):,} tokens to train on, {len(held_out_ids):,} held out")
    print(f"held-out perplexity {perplexity(model, held_out_ids, recipe.length):.1f}")
    save(model, tokenizer, options.out)


def documents() -> list[str]:
    """All docstrings and help topics, each once, in an order that only Python's version changes."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(root.rglob("*.py")) if not SKIPPED & set(path.relative_to(root).parts)]
    found = [text for file in files for text in docstrings(file)]
    found += [topics.topics[name] for name in sorted(topics.topics)]
    return list(dict.fromkeys(text for text in found if len(text) >= 40))


def docstrings(file: Path) -> Iterator[str]:
    """Read, never imported, so that no module runs. Files that are not valid Python give none."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield text


def split(texts: list[str], recipe: Recipe) -> tuple[list[str], list[str]]:
    """Shuffle, then cut: (train, held out)."""
    generator = torch.Generator().manual_seed(recipe.seed)
    shuffled = [texts[i] for i in torch.randperm(len(texts), generator=generator).tolist()]
    cut = len(shuffled) // recipe.held_out_every
    return shuffled[cut:], shuffled[:cut]


def train_tokenizer(texts: list[str], vocabulary: int = 2048) -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text can be encoded, so there is no unknown token."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BOS, EOS, *ROLES, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, **TOKENIZER_CONFIG)


def token_stream(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> torch.Tensor:
    """Every document between <s> and <|endoftext|>, end to end. Returns (tokens,)."""
    rows = tokenizer([f"{BOS}{text}{EOS}" for text in texts], verbose=False)["input_ids"]
    return torch.tensor([token for row in rows for token in row])


def model_config(tokenizer: PreTrainedTokenizerFast) -> Phi3Config:
    """The two position limits are equal: that is what tells ONNX builders there is no LongRoPE."""
    return Phi3Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        original_max_position_embeddings=2048,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def fit(model: Phi3ForCausalLM, ids: torch.Tensor, recipe: Recipe) -> None:
    """AdamW on random windows of the stream."""
    matrices = {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay}
    norms = {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0}
    optimizer = torch.optim.AdamW([matrices, norms], lr=recipe.learning_rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, recipe))
    generator = torch.Generator().manual_seed(recipe.seed)
    model.train()
    for step in range(recipe.steps):
        starts = torch.randint(len(ids) - recipe.length, (recipe.rows,), generator=generator)
        batch = torch.stack([ids[i : i + recipe.length] for i in starts])  # (rows, length)
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == recipe.steps - 1:
            print(f"step {step:5d}  loss {loss.item():.3f}", flush=True)


def rate(step: int, recipe: Recipe) -> float:
    """The share of the peak learning rate at this step."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * done))


@torch.no_grad()
def perplexity(model: Phi3ForCausalLM, ids: torch.Tensor, length: int) -> float:
    """exp of the mean loss over windows that do not overlap."""
    model.eval()
    windows = ids[: len(ids) // length * length].view(-1, length)  # (windows, length)
    losses = [model(input_ids=chunk, labels=chunk).loss * len(chunk) for chunk in windows.split(16)]
    return math.exp(torch.stack(losses).sum().item() / len(windows))


def save(model: Phi3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """float16 weights; generation is greedy and stops at the end of a text or of a chat turn."""
    model.generation_config = GenerationConfig(
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(END)],
    )
    model.half().save_pretrained(folder)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    # Not save_pretrained: transformers 5 writes a class name that transformers 4 does not know.
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG, indent=2) + "\n")


if __name__ == "__main__":
    main()
