"""What the builder of onnxruntime-genai 0.18 takes. A test compares these tables with its source. Which
architectures it builds: hf/families.py."""

from __future__ import annotations

QUANT_METHODS: frozenset[str] = frozenset(
    {"awq", "compressed-tensors", "gptq", "modelopt", "olive", "quant_auto", "quark"}
)
"""`quantization_config.quant_method` of config.json."""

CUDA_ONLY = frozenset({"compressed-tensors", "modelopt"})
"""Those of them that the builder refuses for anything else."""

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
