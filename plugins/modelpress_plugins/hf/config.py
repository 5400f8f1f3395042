"""config.json of a model folder: the one place that opens it and knows its keys. Light: no heavy library.

Keys have moved over the years (`torch_dtype`, `dtype`), a multimodal model keeps its language model's in
`text_config`, and what equals an architecture's default is often left out. ModelConfig answers all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from modelpress.api import UserError, refusal, write_whole
from modelpress_plugins.hf.families import Family, family_of

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
METHOD = "olive"
"""`quant_method` of the quantized checkpoints that are made here; see hf/quantized.py."""

LOADER = {
    "transformers_weights": "Quantized by modelpress - import modelpress_plugins.hf.transformers to read it"
}
"""Keys of config.json that keep transformers from making random weights of this layout, which it does not
know: it looks for a file of that name, finds none, and says so. The loader takes the key away."""

_ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1}

_OLDER_NAMES = {
    "hidden_size": ("n_embd", "d_model"),
    "intermediate_size": ("n_inner", "ffn_dim"),
    "num_hidden_layers": ("n_layer", "num_layers"),
    "num_attention_heads": ("n_head", "num_heads"),
    "max_position_embeddings": ("n_positions", "seq_length"),
}
"""Of GPT-2, BLOOM, OPT and their relatives."""

_OTHER_HEADS = (
    *("ForMaskedLM", "ForPreTraining", "ForSequenceClassification", "ForTokenClassification", "ForCTC"),
    *("ForQuestionAnswering", "ForMultipleChoice", "ForNextSentencePrediction", "ForImageClassification"),
)
"""How the names of classes end that put something else than a language model's head on a model."""


@dataclass(frozen=True)
class ModelConfig:
    """What config.json says of a model. document: the whole of it; `{}` where it is not known yet."""

    document: Mapping[str, object]

    @cached_property
    def text(self) -> Mapping[str, object]:
        """The keys that describe the language model: of a multimodal one its part's, over the common ones."""
        nested = self.document.get("text_config")
        return {**self.document, **nested} if isinstance(nested, Mapping) else self.document

    @property
    def model_type(self) -> str:
        """Of the language model (`gemma3_text`); empty when it is not said."""
        return str(self.text.get("model_type") or "")

    @property
    def architecture(self) -> str:
        """The first of `architectures`; empty when none is named."""
        names = self.document.get("architectures")
        return str(names[0]) if isinstance(names, list | tuple) and names else ""

    @property
    def family(self) -> Family:
        """What is known of models of this type."""
        return family_of(self.model_type)

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states; this and the other sizes are 0 where config.json does not say."""
        return self.number("hidden_size")

    @property
    def intermediate_size(self) -> int:
        return self.number("intermediate_size")

    @property
    def layers(self) -> int:
        return self.number("num_hidden_layers")

    @property
    def heads(self) -> int:
        return self.number("num_attention_heads")

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.number("num_key_value_heads") or self.heads

    @property
    def head_size(self) -> int:
        return self.number("head_dim") or (self.hidden_size // self.heads if self.heads else 0)

    @property
    def vocabulary(self) -> int:
        return self.number("vocab_size")

    @property
    def context_length(self) -> int:
        """Positions that the model was made for."""
        return self.number("max_position_embeddings")

    @property
    def rotary_share(self) -> float:
        """Share of a head's dimensions that rotary embedding turns."""
        share = self.text.get("partial_rotary_factor") or self.rope.get("partial_rotary_factor")
        return float(share) if isinstance(share, int | float) else 1.0

    @property
    def rope(self) -> Mapping[str, object]:
        """The section on rotary embedding: `rope_parameters`, `rope_scaling` before transformers 5."""
        for key in ("rope_parameters", "rope_scaling"):
            if isinstance(section := self.text.get(key), Mapping) and section:
                return section
        return {}

    @property
    def tied(self) -> bool | None:
        """Whether head and embedding are one tensor; None when it says nothing, as it may for a default."""
        for section in (self.document, self.text):
            if isinstance(said := section.get("tie_word_embeddings"), bool):
                return said
        return None

    @property
    def dtype(self) -> str:
        """Of the stored weights, by its torch name (`bfloat16`); empty when it is not said."""
        return str(self.text.get("dtype") or self.text.get("torch_dtype") or "").removeprefix("torch.")

    @property
    def item_bytes(self) -> int:
        """Bytes of a stored weight; 2 when the dtype is not known."""
        return _ITEM_BYTES.get(self.dtype, 2)

    @property
    def quantization(self) -> Mapping[str, object]:
        """The section on quantization; empty for a float model."""
        for section in (self.document, self.text):
            if isinstance(found := section.get("quantization_config"), Mapping):
                return found
        return {}

    @property
    def quant_method(self) -> str:
        """How the weights are quantized (`olive`, `gptq`); empty for a float model."""
        return str(self.quantization.get("quant_method") or "unknown") if self.quantization else ""

    @property
    def code_files(self) -> tuple[str, ...]:
        """The Python files that `auto_map` names."""
        auto_map = self.document.get("auto_map")
        targets = auto_map.values() if isinstance(auto_map, Mapping) else ()
        names = [
            name for target in targets for name in (target if isinstance(target, list) else [target]) if name
        ]
        # `org/other--module.Class` is code of another repository
        return tuple(dict.fromkeys(f"{str(name).rpartition('.')[0]}.py" for name in names))

    @property
    def needed_code(self) -> tuple[str, ...]:
        """The Python files that transformers cannot do without.

        Many models name code from the time before transformers took them up. It no longer fits current
        transformers, and it is not needed: they are opened natively.
        """
        return () if self.native else self.code_files

    @property
    def native(self) -> bool:
        """Whether transformers has models of this type without code from elsewhere."""
        return _is_native(str(self.document.get("model_type") or ""))

    @property
    def other_kind(self) -> str:
        """What the model is if it is no causal language model, one that continues a text; else empty."""
        name = self.architecture
        if self.text.get("is_encoder_decoder") is True:
            return f"an encoder with a decoder ({name or self.model_type})"
        bare_encoder = name.endswith("Model") and not name.endswith("LMHeadModel") and not self.family.known
        if (name.endswith(_OTHER_HEADS) or bare_encoder) and self.text.get("is_decoder") is not True:
            return f"no model that continues a text ({name})"
        return ""

    def number(self, key: str) -> int:
        """A whole number of the language model's, under this name or an older one; 0 when it is not there."""
        values = (self.text.get(name) for name in (key, *_OLDER_NAMES.get(key, ())))
        return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), 0)


def read_config(folder: Path) -> ModelConfig:
    """config.json of a model. Raises UserError when it is missing or damaged."""
    hint = "It should be a folder as transformers' save_pretrained() writes it."
    if (folder / ADAPTER_CONFIG).is_file() and not (folder / CONFIG).is_file():
        hint = "It holds an adapter: give it as adapter_path, and its base as model_path."
    return ModelConfig(read_json(folder / CONFIG, hint))


def read_float_config(folder: Path) -> ModelConfig:
    """config.json of a model whose weights are floats. Raises UserError for one that is quantized."""
    config = read_config(folder)
    if config.quantization:
        raise UserError(
            f"The model in {folder} is already quantized (by {config.quant_method}).",
            "Give the float model that it was made from.",
        )
    return config


def read_adapter_config(folder: Path) -> dict[str, object]:
    """adapter_config.json of a PEFT adapter. Raises UserError."""
    config = read_json(folder / ADAPTER_CONFIG, "An adapter is a folder as PEFT writes it.")
    if "peft_type" not in config:
        raise UserError(f"{folder / ADAPTER_CONFIG} does not name its peft_type.")
    return config


def changed_document(config: ModelConfig, *, untied: bool = False, vocabulary: int = 0) -> dict[str, object]:
    """config.json of the same model with a head of its own (untied), or another number of tokens (vocabulary,
    if it is not 0), wherever it says otherwise."""
    document, nested = dict(config.document), config.document.get("text_config")
    text = dict(nested) if isinstance(nested, Mapping) else {}
    if untied:
        document["tie_word_embeddings"] = False
        text.update({"tie_word_embeddings": False} if "tie_word_embeddings" in text else {})
    if vocabulary:
        for section in (document, text):
            if "vocab_size" in section or (section is document and not text):
                section["vocab_size"] = vocabulary
    return {**document, "text_config": text} if isinstance(nested, Mapping) else document


def write_json(file: Path, document: Mapping[str, object]) -> None:
    """As transformers writes its files: indented, not escaped, a newline at the end. Whole or not at all."""
    write_whole(file, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(file: Path, hint: str = "") -> dict[str, object]:
    """A JSON object. Raises UserError, with the hint when the file is not there."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{file.parent} has no {file.name}.", hint) from None
    except OSError as error:
        raise UserError(*refusal(f"{file} cannot be read", error)) from None
    except ValueError as error:
        raise UserError(f"{file} is not valid JSON: {error}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} should hold a JSON object, not a {type(content).__name__}.")
    return content


def _is_native(model_type: str) -> bool:
    """Whether transformers has the model type; by its folders, since importing it takes seconds."""
    transformers = find_spec("transformers")
    if not model_type or transformers is None or transformers.origin is None:
        return family_of(model_type).known
    models = Path(transformers.origin).parent / "models"
    name = model_type.replace("-", "_")
    return (models / name).is_dir() or (models / name.removesuffix("_text")).is_dir()
