"""A tiny model with its tokenizer, made once, and a plan context that remembers what it was told."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import Accelerator, DataFacts
from modelpress_plugins.huggingface.data_config import HuggingfaceOptions

CHAT = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@dataclass
class RecordingPlanContext:
    """A PlanContext that remembers what it was told."""

    offline: bool = True
    folder: Path = field(default_factory=Path.cwd)
    accelerator: Accelerator = field(default_factory=Accelerator)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, message: str, hint: str = "", *, option: str = "", kind: str = "input") -> None:
        self.problems.append((message, hint, option))

    def note(self, message: str) -> None:
        self.notes.append(message)

    def needs(self, *, memory: int = 0) -> None: ...

    def data(self, role: str) -> DataFacts | None:
        return None

    @property
    def text(self) -> str:
        return "\n".join(f"{option}: {message} {hint}" for message, hint, option in self.problems)


@pytest.fixture
def told() -> RecordingPlanContext:
    return RecordingPlanContext()


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Byte-level BPE as Phi-3's and Llama 3's are: a begin token is put by the tokenizer, no end token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>"]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator(["the tone of the text is sad", "what a joy, the sun"] * 20, trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=CHAT
    )


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A random two-layer Phi-3 with the tokenizer. Read-only: copy it before changing anything."""
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    torch.manual_seed(0)
    config = Phi3Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, pad_token_id=0,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny") / "model"
    Phi3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Any:
    """Write a json file of records: rows("train.json", [{…}])."""

    def write(name: str, records: list[Any]) -> Path:
        (tmp_path / name).write_text(json.dumps(records), encoding="utf-8")
        return tmp_path / name

    return write


@pytest.fixture
def options() -> Any:
    """Options of a data config over a file: options(file, strategy="join", load={…}, top={…})."""

    def make(
        file: Path | None, load: dict[str, Any] | None = None, top: dict[str, Any] | None = None, **pre: Any
    ) -> HuggingfaceOptions:
        files = {"data_files": str(file)} if file else {}
        return HuggingfaceOptions.parse(
            {
                "load_dataset_config": {**files, **(load or {})},
                "pre_process_data_config": pre,
                **(top or {}),
            }
        )

    return make


@pytest.fixture
def tones(rows: Any) -> Path:
    """Ten rows of {phrase, tone}, the last one equal to the first."""
    records = [{"phrase": f"phrase number {i}", "tone": ("sad", "joy")[i % 2]} for i in range(9)]
    file: Path = rows("tones.json", [*records, records[0]])
    return file


PROCESSORS = ("plain", "avx512-bf16")


@pytest.fixture
def as_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`as_on("plain")` makes bitsandbytes take this CPU for one without AVX512-BF16, `as_on("avx512-bf16")`
    for one with it, where other code runs. A kernel that this machine lacks is stood in for."""
    modules = pytest.importorskip("bitsandbytes.nn.modules", reason="the extra qlora is not installed")
    functional = importlib.import_module("bitsandbytes.functional")
    native = functional.has_avx512bf16()

    def switch(processor: str) -> None:
        assert processor in PROCESSORS
        if processor == "avx512-bf16" and not native:
            monkeypatch.setattr(functional, "gemv_4bit", _packed_product)
        monkeypatch.setattr(modules, "has_avx512bf16", lambda: processor == "avx512-bf16")

    return switch


@pytest.fixture(params=PROCESSORS)
def processor(request: pytest.FixtureRequest, as_on: Callable[[str], None]) -> str:
    """The test runs on both kinds of processor."""
    as_on(request.param)
    return str(request.param)


def _packed_product(x: Any, packed: Any, *, out: Any, state: Any) -> Any:
    """x (…, in) by a weight (out, in) that `_convert_weight_packed_for_cpu` packed: 32 rows beside each
    other, low halves before high ones, one bfloat16 scale a block. All in bfloat16, as the native kernel."""
    import torch

    assert out is None
    rows, columns = state.shape
    halves = packed.reshape(-1, 32)
    codes = torch.cat([halves & 15, halves >> 4], dim=-1).reshape(rows // 32, columns // 2, 32, 2)
    codes = codes.transpose(1, 2).reshape(rows, columns)
    scales = state.absmax.T.repeat_interleave(state.blocksize, dim=1)
    weight = state.code[codes.long()].bfloat16() * scales
    return torch.nn.functional.linear(x.bfloat16(), weight).to(x.dtype)
