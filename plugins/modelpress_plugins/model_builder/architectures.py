"""What the builder of onnxruntime-genai 0.18 can build. A test compares these tables with its source."""

from __future__ import annotations

SUPPORTED: frozenset[str] = frozenset(
    {
        "ChatGLMForConditionalGeneration",
        "ChatGLMModel",
        "Ernie4_5ForCausalLM",
        "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
        "Gemma3ForConditionalGeneration",
        "Gemma4ForConditionalGeneration",
        "Gemma4UnifiedForConditionalGeneration",
        "GemmaForCausalLM",
        "GptOssForCausalLM",
        "GraniteForCausalLM",
        "GraniteMoeHybridForCausalLM",
        "HunYuanDenseV1ForCausalLM",
        "InternLM2ForCausalLM",
        "Lfm2AudioForConditionalGeneration",
        "Lfm2ForCausalLM",
        "Lfm2MoeForCausalLM",
        "Lfm2VlForConditionalGeneration",
        "LlamaForCausalLM",
        "Mistral3ForConditionalGeneration",
        "MistralForCausalLM",
        "NemotronForCausalLM",
        "OlmoForCausalLM",
        "Phi3ForCausalLM",
        "Phi3SmallForCausalLM",
        "Phi3VForCausalLM",
        "Phi4MMForCausalLM",
        "PhiForCausalLM",
        "PhiMoEForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen3ForCausalLM",
        "Qwen3VLForConditionalGeneration",
        "Qwen3_5ForConditionalGeneration",
        "Qwen3_5MoeForConditionalGeneration",
        "SmolLM3ForCausalLM",
        "VideoChatFlashQwenForCausalLM",
        "WhisperForConditionalGeneration",
    }
)
"""`architectures[0]` of config.json."""

QUANTIZED: frozenset[str] = frozenset(
    {
        "Ernie4_5ForCausalLM",
        "Gemma2ForCausalLM",
        "GemmaForCausalLM",
        "GraniteForCausalLM",
        "HunYuanDenseV1ForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "NemotronForCausalLM",
        "Phi3ForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
        "SmolLM3ForCausalLM",
    }
)
"""Those whose quantized checkpoint it reads by tensor name and turns into the right model; each was built
and its logits compared with the checkpoint's."""

QUANT_METHODS: frozenset[str] = frozenset(
    {"awq", "compressed-tensors", "gptq", "modelopt", "olive", "quant_auto", "quark"}
)
"""`quantization_config.quant_method` of config.json."""

PROVIDERS: dict[str, str] = {
    "CPUExecutionProvider": "cpu",
    "CUDAExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    "WebGpuExecutionProvider": "webgpu",
    "NvTensorRTRTXExecutionProvider": "NvTensorRtRtx",
}
"""onnxruntime's name of an execution provider -> the builder's."""

PRECISIONS: dict[str, frozenset[str]] = {
    "cpu": frozenset({"fp32", "int8", "int4"}),
    "cuda": frozenset({"fp32", "fp16", "bf16", "int8", "int4"}),
    "dml": frozenset({"fp16", "int4"}),
    "webgpu": frozenset({"int8", "int4"}),
    "NvTensorRtRtx": frozenset({"fp16", "bf16"}),
}
"""What the builder calls valid, by its name of the execution provider."""

SEARCH_DEFAULTS: frozenset[str] = frozenset(
    {
        "batch_size",
        "blank_penalty",
        "chunk_size",
        "diversity_penalty",
        "do_sample",
        "early_stopping",
        "length_penalty",
        "max_length",
        "min_length",
        "no_repeat_ngram_size",
        "num_beams",
        "num_return_sequences",
        "past_present_share_buffer",
        "random_seed",
        "repetition_penalty",
        "temperature",
        "top_k",
        "top_p",
    }
)
"""What may stand in the section `search` of genai_config.json."""
