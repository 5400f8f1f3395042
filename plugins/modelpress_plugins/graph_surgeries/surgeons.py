"""The surgeons: one class each, a row of the table. Its name is what users write, its docstring the pattern
and what comes in its place, its fields the options (Olive's), `run` the code.

Another distribution adds its own as entry points of the group `modelpress.surgeons`, each a class like these,
a subclass of `modelpress.api.Options`:

    [project.entry-points."modelpress.surgeons"]
    AcmeFold = "acme_surgeons:AcmeFold"

    class AcmeFold(Options):
        \"\"\"Fold Mul after MatMul into the weight.\"\"\"

        run: ClassVar[str] = "acme_surgeons.fold:fold"
        largest: int = Field(default=4096, description="…")

    def fold(model: onnx_ir.Model, options: AcmeFold, operation: Operation) -> int:
        ...  # changes the model; returns how many nodes were changed

`exact: ClassVar[bool] = False` says that outputs move by more than rounding; they are compared all the same.
`takes_away: ClassVar[tuple[str, ...]] = ("acme::Fold",)` names operators of which none is left: a graph with
them is taken, though no runtime here knows them.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from modelpress.api import Options

_HERE = "modelpress_plugins.graph_surgeries"


class RenameInputs(Options):
    """Inputs of the graph get other names."""

    run: ClassVar[str] = f"{_HERE}.names:rename_inputs"
    old_names: tuple[str, ...] = Field(min_length=1, description="Names that the inputs have.")
    new_names: tuple[str, ...] = Field(description="Names that they get, in the same order.")

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        _require_pairs(self.old_names, self.new_names)
        return self


class RenameOutputs(Options):
    """Outputs of the graph get other names."""

    run: ClassVar[str] = f"{_HERE}.names:rename_outputs"
    old_names: tuple[str, ...] = Field(min_length=1, description="Names that the outputs have.")
    new_names: tuple[str, ...] = Field(description="Names that they get, in the same order.")

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        _require_pairs(self.old_names, self.new_names)
        return self


class RenameInputDims(Options):
    """A dimension of an input gets a name: it may have any size then."""

    run: ClassVar[str] = f"{_HERE}.names:rename_input_dims"
    input_name: str | None = Field(default=None, description="The input, by name …")
    input_idx: int | None = Field(default=None, ge=0, description="… or by place, counted from 0.")
    dim_idx: int = Field(ge=0, description="The dimension, counted from 0.")
    dim_name: str = Field(min_length=1, description="The name that it gets.")

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if (self.input_name is None) == (self.input_idx is None):
            raise PydanticCustomError("one_input", "given input_name or input_idx, one of the two")
        return self


class RenameOutputDims(Options):
    """A dimension of an output gets a name."""

    run: ClassVar[str] = f"{_HERE}.names:rename_output_dims"
    output_idx: int = Field(ge=0, description="The output, counted from 0.")
    dim_idx: int = Field(ge=0, description="The dimension, counted from 0.")
    dim_name: str = Field(min_length=1, description="The name that it gets.")


class MatMulAddToGemm(Options):
    """MatMul → Add, with a weight of two dimensions and a bias of one, becomes Gemm; between two Reshapes
    where the input has more dimensions, all known."""

    run: ClassVar[str] = f"{_HERE}.linear:matmul_add_to_gemm"


class GemmToMatMulAdd(Options):
    """Gemm with alpha and beta of 1 becomes MatMul → Add, which int4 quantizers know; a transposed weight is
    written the other way round."""

    run: ClassVar[str] = f"{_HERE}.linear:gemm_to_matmul_add"


class RemoveGidxFromMatMulNBits(Options):
    """MatMulNBits loses a g_idx that says what it would do anyway: column i has the scale of block i."""

    run: ClassVar[str] = f"{_HERE}.linear:remove_gidx"


class ReciprocalMulToDiv(Options):
    """Reciprocal(x) · a becomes a / x, as fusions of norms expect it."""

    run: ClassVar[str] = f"{_HERE}.norms:reciprocal_mul_to_div"


class SimplifiedLayerNormToL2Norm(Options):
    """SimplifiedLayerNormalization becomes LpNormalization → Mul, with a weight that is the square root of
    the width times as large; SkipSimplifiedLayerNormalization the same behind an Add."""

    run: ClassVar[str] = f"{_HERE}.norms:simplified_layer_norm_to_l2_norm"
    exact: ClassVar[bool] = False


class PowReduceSumPowDiv2LpNorm(Options):
    """x / (sum of x²)^½, written as Pow → ReduceSum → Pow → Div, becomes LpNormalization."""

    run: ClassVar[str] = f"{_HERE}.norms:pow_reduce_sum_pow_div_to_lp_norm"


class ReplaceAttentionMaskValue(Options):
    """Constants of a mask that are lower than a threshold become another number, which can be quantized."""

    run: ClassVar[str] = f"{_HERE}.attention:replace_attention_mask_value"
    exact: ClassVar[bool] = False
    threshold: float = Field(default=-3e30, description="What is lower is replaced.")
    replacement: float = Field(default=-1e4, description="What comes in its place.")


class RemoveRopeMultiCache(Options):
    """Long-context models switch between two tables of rotary angles with an If; it becomes one table."""

    run: ClassVar[str] = f"{_HERE}.attention:remove_rope_multi_cache"
    use_large_cache: bool = Field(
        default=False, description="Keep the table for long contexts. false: the one for short ones."
    )


class AttentionMaskToSequenceLengths(Options):
    """GroupQueryAttention gets its lengths as inputs, past_seq_len and total_seq_len, in place of what is
    computed from attention_mask, which goes."""

    run: ClassVar[str] = f"{_HERE}.attention:attention_mask_to_sequence_lengths"


class PackedAttentionToLoopMHA(Options):
    """custom::PackedAttention (attention within each of the segments that cu_seqlens cuts) becomes a loop
    over the segments, with com.microsoft::MultiHeadAttention."""

    run: ClassVar[str] = f"{_HERE}.packed:packed_attention_to_loop_mha"
    takes_away: ClassVar[tuple[str, ...]] = ("custom::PackedAttention",)


class TieWordEmbeddings(Options):
    """The output layer reads the embedding's weight, where the two are equal: Gather and MatMul in float
    (which becomes Gemm), or GatherBlockQuantized and MatMulNBits."""

    run: ClassVar[str] = f"{_HERE}.embeddings:tie_word_embeddings"


class QuantizeEmbeddingInt8(Options):
    """The embedding's Gather becomes GatherBlockQuantized: 8 bits in blocks of 32, around 128."""

    run: ClassVar[str] = f"{_HERE}.embeddings:quantize_embedding_int8"
    exact: ClassVar[bool] = False


class ShareEmbeddingLmHead(Options):
    """The output layer's MatMulNBits reads the embedding's weight in 8 bits, after QuantizeEmbeddingInt8."""

    run: ClassVar[str] = f"{_HERE}.embeddings:share_embedding_lm_head"
    exact: ClassVar[bool] = False


class DeduplicateNodes(Options):
    """Nodes that another of the same kind, with the same inputs and outputs, has made needless: no runtime
    opens a graph in which two nodes give one value."""

    run: ClassVar[str] = f"{_HERE}.duplicates:deduplicate_nodes"
    on_file: ClassVar[bool] = True


class DeduplicateSubgraphInitializers(Options):
    """Initializers of Loop, If and Scan that are there twice under one name."""

    run: ClassVar[str] = f"{_HERE}.duplicates:deduplicate_subgraph_initializers"
    on_file: ClassVar[bool] = True


class RemoveMemcpy(Options):
    """MemcpyToHost and MemcpyFromHost, which the runtime puts in itself where it needs them."""

    run: ClassVar[str] = f"{_HERE}.copies:remove_memcpy"


OWN: tuple[type[Options], ...] = (
    TieWordEmbeddings,
    QuantizeEmbeddingInt8,
    ShareEmbeddingLmHead,
    ReplaceAttentionMaskValue,
    RemoveRopeMultiCache,
    AttentionMaskToSequenceLengths,
    PackedAttentionToLoopMHA,
    MatMulAddToGemm,
    GemmToMatMulAdd,
    RemoveGidxFromMatMulNBits,
    ReciprocalMulToDiv,
    SimplifiedLayerNormToL2Norm,
    PowReduceSumPowDiv2LpNorm,
    RenameInputs,
    RenameOutputs,
    RenameInputDims,
    RenameOutputDims,
    DeduplicateNodes,
    DeduplicateSubgraphInitializers,
    RemoveMemcpy,
)


def _require_pairs(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    if len(old) != len(new):
        raise PydanticCustomError("pairs", "given as many new_names as old_names")
    for names in (old, new):
        if len(set(names)) != len(names):
            raise PydanticCustomError("pairs", "given names that differ")
