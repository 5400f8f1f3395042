"""What is known of each architecture, one row each. Adding an architecture is adding a row to FAMILIES.

Every plugin asks here: the quantizers for the projections of a layer and for what a norm adds to its weight,
the merge and the adapters for what is a linear layer, the builder for what it can build. Each row is held
against transformers' own class, and against the builder's source, by tests/plugins/hf/test_hf_families.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

FUSED: Mapping[str, tuple[str, ...]] = {"qkv": ("q", "k", "v"), "gate_up": ("gate", "up")}
"""Roles of one module that holds several projections, their rows one after the other."""


_ATTENTION = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "o_proj"}
_GATED = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
_NEOX_MLP = {"up": "dense_h_to_4h", "down": "dense_4h_to_h"}


@dataclass(frozen=True, slots=True)
class Experts:
    """The feed-forward networks among which a router chooses. Paths are inside a layer.

    roles:  as in Parts, inside one expert (numbered) or of one tensor (experts, …) that holds them all
    shared: the experts that every token goes through; empty where there are none
    in_by_out: the tensor that holds them all is (experts, in, out), not (experts, out, in)
    """

    path: str = "mlp.experts"
    router: str = "mlp.gate"
    roles: Mapping[str, str] = field(default_factory=lambda: _GATED)
    numbered: bool = True
    shared: str = ""
    in_by_out: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """Names of the modules in a checkpoint.

    roles: q, k, v, o, gate, up, down (or those of FUSED) -> path inside a layer
    layers, embedding, head, positions, norm: the last part of their paths; positions are learned ones, if
    any; norm: the one after the last layer
    """

    roles: Mapping[str, str]
    layers: str = "layers"
    embedding: str = "embed_tokens"
    head: str = "lm_head"
    positions: str = ""
    norm: str = "norm"


@dataclass(frozen=True, slots=True)
class Family:
    """An architecture.

    model_type:  of config.json; also: further ones that mean the same language model
    norm_offset: what its norms add to their weight (Gemma: they multiply by 1 + weight)
    in_by_out:   its projections are stored (in, out): transformers' Conv1D
    rotatable:   only plain RMS norms and linear layers touch the residual stream (QuaRot)
    builds:      `architectures` that onnxruntime-genai 0.18 builds; for those of builds_on, if any are named
    builds_quantized: it reads them quantized by tensor name; each was built and compared with its checkpoint
    """

    model_type: str
    also: tuple[str, ...] = ()
    parts: Parts = Parts({})
    experts: Experts | None = None
    norm_offset: float = 0.0
    in_by_out: bool = False
    rotatable: bool = False
    builds: tuple[str, ...] = ()
    builds_quantized: bool = False
    builds_on: tuple[str, ...] = ()
    known: bool = True

    @property
    def quantizable(self) -> bool:
        """Whether its projections have names, and are stored (out, in)."""
        return bool(self.parts.roles) and not self.in_by_out

    @property
    def layered(self) -> bool:
        """Whether a model of it can be run layer by layer, as calibration needs it."""
        own = self.parts
        return (own.layers, own.norm, own.embedding) == (LLAMA.layers, LLAMA.norm, LLAMA.embedding)

    @property
    def gated(self) -> bool:
        """Whether `up` is multiplied by a gate, so that scaling its rows scales the inputs of `down`; without
        one an activation stands between them."""
        roles = {*self.parts.roles, *(self.experts.roles if self.experts else ())}
        return bool(roles & {"gate", "gate_up"})


def _roles(attention: str = "self_attn", mlp: str = "mlp", **names: str) -> Mapping[str, str]:
    """Role -> path, each with the part of the layer that it belongs to."""
    of_attention = ("q", "k", "v", "o", "qkv")
    return {
        role: ".".join(filter(None, (attention if role in of_attention else mlp, name)))
        for role, name in names.items()
    }


LLAMA = Parts(_roles(**_ATTENTION, **_GATED))
"""The names that most architectures share."""

_LLAMA_FUSED = Parts(_roles(qkv="qkv_proj", o="o_proj", gate_up="gate_up_proj", down="down_proj"))
_GLM = Parts(_roles(**_ATTENTION, gate_up="gate_up_proj", down="down_proj"))
_UNGATED = Parts(_roles(**_ATTENTION, up="up_proj", down="down_proj"))
_ATTENTION_ONLY = Parts(_roles(**_ATTENTION))
_PHI = Parts(
    _roles(q="q_proj", k="k_proj", v="v_proj", o="dense", up="fc1", down="fc2"), norm="final_layernorm"
)
_STARCODER = Parts(_roles(**_ATTENTION, up="c_fc", down="c_proj"))
_BLOOM = Parts(
    _roles("self_attention", qkv="query_key_value", o="dense", **_NEOX_MLP),
    "h",
    "word_embeddings",
    norm="ln_f",
)
_NEOX = Parts(
    _roles("attention", qkv="query_key_value", o="dense", **_NEOX_MLP),
    "layers",
    "embed_in",
    "embed_out",
    norm="final_layer_norm",
)
_GPT2 = Parts(
    _roles("attn", qkv="c_attn", o="c_proj", up="c_fc", down="c_proj"),
    "h",
    "wte",
    positions="wpe",
    norm="ln_f",
)
_GPT_NEO = Parts(
    _roles("attn.attention", q="q_proj", k="k_proj", v="v_proj", o="out_proj", up="c_fc", down="c_proj"),
    *("h", "wte"),
    positions="wpe",
    norm="ln_f",
)
_GPT_J = Parts(
    _roles("attn", q="q_proj", k="k_proj", v="v_proj", o="out_proj", up="fc_in", down="fc_out"),
    "h",
    "wte",
    norm="ln_f",
)
_OPT = Parts(
    _roles(mlp="", q="q_proj", k="k_proj", v="v_proj", o="out_proj", up="fc1", down="fc2"),
    positions="embed_positions",
    norm="final_layer_norm",
)
_LFM = Parts(
    _roles(
        mlp="feed_forward", q="q_proj", k="k_proj", v="v_proj", o="out_proj", gate="w1", up="w3", down="w2"
    ),
    norm="embedding_norm",
)
_INTERN = Parts(
    _roles("attention", "feed_forward", qkv="wqkv", o="wo", gate="w1", up="w3", down="w2"),
    embedding="tok_embeddings",
    head="output",
)
_CHATGLM = Parts(
    _roles("self_attention", qkv="query_key_value", o="dense", gate_up="dense_h_to_4h", down="dense_4h_to_h"),
    embedding="word_embeddings",
    head="output_layer",
    norm="final_layernorm",
)
_MIXTRAL = Experts(
    "block_sparse_moe.experts", "block_sparse_moe.gate", {"gate": "w1", "up": "w3", "down": "w2"}
)
_TOGETHER = {"gate_up": "gate_up_proj", "down": "down_proj"}
IN_MEMORY: Mapping[str, str] = {name: role for role, name in _TOGETHER.items()}
"""Parameter -> role of the experts of a layer, as transformers holds them, however a checkpoint does; in the
order in which its modules have them."""

FAMILIES: tuple[Family, ...] = (
    Family("bloom", parts=_BLOOM),
    Family("chatglm", parts=_CHATGLM, builds=("ChatGLMForConditionalGeneration", "ChatGLMModel")),
    Family("cohere", parts=LLAMA),
    Family("cohere2", parts=LLAMA),
    Family("deepseek_v2", parts=LLAMA, experts=Experts(shared="mlp.shared_experts")),
    Family("deepseek_v3", parts=LLAMA, experts=Experts(shared="mlp.shared_experts")),
    Family("ernie4_5", parts=LLAMA, builds=("Ernie4_5ForCausalLM",), builds_quantized=True),
    Family("falcon", parts=_BLOOM),
    Family(
        "gemma",
        parts=LLAMA,
        norm_offset=1,
        rotatable=True,
        builds=("GemmaForCausalLM",),
        builds_quantized=True,
    ),
    Family("gemma2", parts=LLAMA, norm_offset=1, builds=("Gemma2ForCausalLM",), builds_quantized=True),
    Family(
        "gemma3_text",
        also=("gemma3",),
        parts=LLAMA,
        norm_offset=1,
        builds=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
    ),
    Family(
        "gemma4_text",
        also=("gemma4", "gemma4_unified", "gemma4_unified_text"),
        parts=LLAMA,
        builds=("Gemma4ForConditionalGeneration", "Gemma4UnifiedForConditionalGeneration"),
    ),
    Family("glm4", parts=_GLM),
    Family("gpt2", parts=_GPT2, in_by_out=True),
    Family("gpt_bigcode", parts=_GPT2),
    Family("gpt_neo", parts=_GPT_NEO),
    Family("gpt_neox", parts=_NEOX),
    Family(
        "gpt_oss",
        parts=_ATTENTION_ONLY,
        experts=Experts(router="mlp.router", roles=_TOGETHER, numbered=False, in_by_out=True),
        builds=("GptOssForCausalLM",),
    ),
    Family("gptj", parts=_GPT_J),
    Family("granite", parts=LLAMA, rotatable=True, builds=("GraniteForCausalLM",), builds_quantized=True),
    Family(
        "granitemoehybrid",
        parts=_ATTENTION_ONLY,
        experts=Experts(
            path="block_sparse_moe",
            router="block_sparse_moe.router.layer",
            roles={"gate_up": "input_linear", "down": "output_linear"},
            numbered=False,
            shared="shared_mlp",
        ),
        builds=("GraniteMoeHybridForCausalLM",),
    ),
    Family("hunyuan_v1_dense", parts=LLAMA, builds=("HunYuanDenseV1ForCausalLM",), builds_quantized=True),
    Family("internlm2", parts=_INTERN, builds=("InternLM2ForCausalLM",)),
    Family(
        "lfm2",
        also=("lfm2_audio", "lfm2_vl"),
        parts=_LFM,
        builds=(
            "Lfm2ForCausalLM",
            "Lfm2AudioForConditionalGeneration",
            "Lfm2VlForConditionalGeneration",
        ),
    ),
    Family(
        "lfm2_moe",
        parts=_LFM,
        experts=Experts(
            "feed_forward.experts", "feed_forward.gate", {"gate": "w1", "up": "w3", "down": "w2"}
        ),
        builds=("Lfm2MoeForCausalLM",),
    ),
    Family("llama", parts=LLAMA, rotatable=True, builds=("LlamaForCausalLM",), builds_quantized=True),
    Family("mistral", parts=LLAMA, rotatable=True, builds=("MistralForCausalLM",), builds_quantized=True),
    Family("mistral3", parts=LLAMA, builds=("Mistral3ForConditionalGeneration",)),
    Family("mixtral", parts=_ATTENTION_ONLY, experts=_MIXTRAL),
    Family(
        "nemotron",
        parts=_UNGATED,
        norm_offset=1,
        builds=("NemotronForCausalLM",),
        builds_quantized=True,
    ),
    Family("olmo", parts=LLAMA, builds=("OlmoForCausalLM",)),
    Family("olmo2", parts=LLAMA),
    Family("opt", parts=_OPT),
    Family("phi", parts=_PHI, builds=("PhiForCausalLM",)),
    Family("phi3", parts=_LLAMA_FUSED, rotatable=True, builds=("Phi3ForCausalLM",), builds_quantized=True),
    Family("phi3small", builds=("Phi3SmallForCausalLM",)),
    Family("phi3_v", parts=_LLAMA_FUSED, builds=("Phi3VForCausalLM",)),
    Family("phi4mm", parts=_LLAMA_FUSED, builds=("Phi4MMForCausalLM",)),
    Family(
        "phimoe",
        parts=_ATTENTION_ONLY,
        experts=_MIXTRAL,
        builds=("PhiMoEForCausalLM",),
        builds_on=("CUDAExecutionProvider",),
    ),
    Family("qwen2", parts=LLAMA, rotatable=True, builds=("Qwen2ForCausalLM",), builds_quantized=True),
    Family(
        "qwen2_5_vl_text",
        also=("qwen2_5_vl",),
        parts=LLAMA,
        builds=("Qwen2_5_VLForConditionalGeneration",),
    ),
    Family("qwen2_moe", parts=LLAMA, experts=Experts(shared="mlp.shared_expert")),
    Family("qwen3", parts=LLAMA, rotatable=True, builds=("Qwen3ForCausalLM",), builds_quantized=True),
    Family("qwen3_moe", parts=LLAMA, experts=Experts()),
    Family("qwen3_next", parts=LLAMA, experts=Experts(shared="mlp.shared_expert"), norm_offset=1),
    Family(
        "qwen3_5_text",
        also=("qwen3_5",),
        parts=LLAMA,
        norm_offset=1,
        builds=("Qwen3_5ForConditionalGeneration",),
    ),
    Family(
        "qwen3_5_moe_text",
        also=("qwen3_5_moe",),
        parts=_ATTENTION_ONLY,
        experts=Experts(roles=_TOGETHER, numbered=False, shared="mlp.shared_expert"),
        norm_offset=1,
        builds=("Qwen3_5MoeForConditionalGeneration",),
    ),
    Family("qwen3_vl_text", also=("qwen3_vl",), parts=LLAMA, builds=("Qwen3VLForConditionalGeneration",)),
    Family("smollm3", parts=LLAMA, rotatable=True, builds=("SmolLM3ForCausalLM",), builds_quantized=True),
    Family("stablelm", parts=LLAMA),
    Family("starcoder2", parts=_STARCODER),
    Family("videochat_flash_qwen", parts=LLAMA, builds=("VideoChatFlashQwenForCausalLM",)),
    Family("whisper", builds=("WhisperForConditionalGeneration",)),
)

BUILDABLE: Mapping[str, Family] = {name: family for family in FAMILIES for name in family.builds}
"""`architectures[0]` of config.json -> its row, for what the builder of onnxruntime-genai builds."""

_ALL_PARTS = (LLAMA, *(family.parts for family in FAMILIES))
EMBEDDINGS = tuple(dict.fromkeys([*(parts.embedding for parts in _ALL_PARTS), "word_embedding"]))
HEADS = tuple(dict.fromkeys([*(parts.head for parts in _ALL_PARTS), "score"]))
"""Last parts of the paths of input and output layers; also of architectures without a row."""

_POSITIONS = tuple(dict.fromkeys(parts.positions for parts in _ALL_PARTS if parts.positions))
_NOT_LINEAR = frozenset(
    (*EMBEDDINGS, *HEADS, *_POSITIONS, "position_embeddings", "token_type_embeddings", "rotary_emb")
)


def family_of(model_type: str) -> Family:
    """The row of a model type; one with the names of a Llama, and `known` false, when there is none."""
    return _by_type().get(model_type) or Family(model_type, parts=LLAMA, known=False)


def is_linear(module: str) -> bool:
    """Whether a module with a two-dimensional weight is a linear layer inside a model of any architecture:
    neither embedding nor head. module: its path."""
    return module.rpartition(".")[2] not in _NOT_LINEAR


@dataclass(frozen=True, slots=True)
class ModuleRole:
    """Which part of a model a module is. expert: its number; None outside of experts, or for a tensor of them
    all."""

    layer: int
    role: str
    expert: int | None = None


def role_of(module: str, family: Family) -> ModuleRole | None:
    """The layer and role of a projection by its path in the checkpoint; None for what is none."""
    for pattern, role in _patterns(family.model_type):
        if match := pattern.match(module):
            expert = match.groupdict().get("expert")
            return ModuleRole(int(match["layer"]), role, int(expert) if expert else None)
    return None


def layer_of(module: str) -> int | None:
    """The number of the layer that a module is in, of whatever architecture."""
    found = re.search(r"\.(\d+)\.", module)
    return int(found[1]) if found else None


def projection_role_of(module: str, family: Family) -> ModuleRole | None:
    """As role_of, but for what is no expert, nor shared by all tokens beside experts."""
    found = role_of(module, family)
    path = family.parts.roles.get(found.role) if found else None
    return found if path and module.endswith(f".{path}") else None


def rotatable() -> list[str]:
    """Model types that QuaRot can rotate."""
    return [family.model_type for family in FAMILIES if family.rotatable]


@cache
def _by_type() -> Mapping[str, Family]:
    return {name: family for family in FAMILIES for name in (family.model_type, *family.also)}


@cache
def _patterns(model_type: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """(path, role), for every projection of a family."""
    family = family_of(model_type)
    start = rf"(?:.*\.)?{family.parts.layers}\.(?P<layer>\d+)\."
    return tuple((re.compile(f"{start}{path}$"), role) for role, path in _paths(family))


def _paths(family: Family) -> Iterator[tuple[str, str]]:
    for role, path in family.parts.roles.items():
        yield role, re.escape(path)
    if experts := family.experts:
        number = r"\.(?P<expert>\d+)" if experts.numbered else ""
        for role, name in experts.roles.items():
            yield role, rf"{re.escape(experts.path)}{number}\.{re.escape(name)}"
            if experts.shared:
                yield role, rf"{re.escape(experts.shared)}\.{re.escape(name)}"
