"""Show that a built model computes what its source says, on the machine that will run it.

Kernels differ from machine to machine, and some have been wrong: on hosts with AVX2 only, int4 products of
one row of 8-bit activations (that is, generation) with zero points were off by half (onnxruntime#29853, open
since July 2026; not seen with 1.32). Such a model answers nonsense without any error, so logits are compared,
those of generation too, and a level of accuracy that passes is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelpress.api import Artifact, PassContext, PassError, UserError
from modelpress_plugins.hf.ids import encode_prompt
from modelpress_plugins.model_builder.genai import GenAIModel
from modelpress_plugins.model_builder.graph import accuracy_levels, set_accuracy_level

Logits = NDArray[np.float32]

POSITIONS = 160
"""How many are compared at least, where the context holds as many."""

NEW_TOKENS = 8
_PROMPT = (
    "The quick brown fox jumps over the lazy dog. In 1905 a clerk of the patent office in Bern wrote four "
    "papers: on light, on the motion of small particles, on bodies that move, and on mass. def add(a, b): "
    "return a + b. Who reads this far may ask what it is good for; it is a text, and long enough."
)

TOLERANCE = {"fp32": 0.01, "fp16": 0.05, "bf16": 0.2, "int8": 0.2, "int4": 0.2}
"""Largest relative error of logits (see `relative_error`) by precision.

fp32: sums in another order give 1e-6 to 1e-3. fp16 and bf16: 11 and 8 bits of mantissa. int8 and int4 are
compared with the same rounded weights, so what differs is the 8-bit activations of accuracy_level 4: 0.5 %
in one product, 1 to 4 % after the layers of the models measured; the faulty kernel is off by 46 % in one.
"""

_FALLBACK_LEVELS = (1, 0)

_ROUNDING = 1.25
"""How far a builder's rounding may be beyond rounding to nearest: the better methods are nearer."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What the model made of a prompt. ids: prompt and answer; logits: (positions, vocabulary); device: where
    it was opened."""

    ids: list[int]
    prompt: int
    logits: Logits
    device: str

    @property
    def first(self) -> int:
        """The position of the first logits: a pruned head gives a prompt's last ones alone."""
        return len(self.ids) - len(self.logits)


def relative_error(found: Logits, expected: Logits) -> float:
    """|found - expected| / |expected|, over all rows, with each row's mean taken out of `expected`:
    a constant added to every logit changes no probability. NaN when found is not finite."""
    centred = expected - expected.mean(axis=-1, keepdims=True)
    difference = found - expected
    difference -= difference.mean(axis=-1, keepdims=True)
    return float(np.linalg.norm(difference) / max(float(np.linalg.norm(centred)), 1e-12))


def _worst(trial: Trial, expected: Logits) -> float:
    """The larger relative error of prompt and generation, which other code computes: eight rows that are
    wrong must not vanish among a hundred that are right."""
    prompt = trial.prompt - trial.first
    parts = (slice(prompt), slice(prompt, None))
    errors = [relative_error(trial.logits[part], expected[part]) for part in parts if len(expected[part])]
    return float(np.max(errors))


def try_out(
    artifact: Artifact,
    ctx: PassContext,
    ids: Sequence[int] | None = None,
    *,
    device: str,
    length: int = POSITIONS,
) -> Trial:
    """Load the artifact, let it generate, and take the logits of prompt and answer.

    length: of prompt and answer, in tokens, as far as the context holds them. ids: the same prompt and
    answer again, instead of generating. Raises PassError when the runtime refuses the model or a
    logit is not finite.
    """
    model = ctx.load(artifact, device)
    if not isinstance(model, GenAIModel):
        raise PassError(f"{artifact.format} was loaded as {type(model).__name__}, expected GenAIModel.")
    with closing(model):
        try:
            if ids is None:
                prompt = _prompt(model, length)
                _require_answer(model, prompt[:NEW_TOKENS])
                whole, logits = model.answer_in_steps(prompt, NEW_TOKENS)
            else:
                whole, prompt = list(ids), list(ids[: max(1, len(ids) - NEW_TOKENS)])
                logits = model.logits_in_steps(whole, len(prompt))
        except RuntimeError as error:  # what the binding raises for whatever the runtime refuses
            raise PassError(f"onnxruntime-genai loads the built model but cannot run it: {error}") from error
    if not np.isfinite(logits).all():
        raise PassError(f"The model in {artifact.path} gives logits that are not finite.")
    return Trial(whole, len(prompt), logits, device)


def verify(
    artifact: Artifact,
    graph: Path,
    trial: Trial,
    precision: str,
    reference: Callable[[Sequence[int]], Logits],
    ctx: PassContext,
) -> float:
    """Compare with the reference: the relative error. A quantized model that fails at its accuracy level gets
    the next one that passes; PassError when none does."""
    tolerance = TOLERANCE[precision]
    expected = reference(trial.ids)
    if expected.shape != trial.logits.shape:
        raise PassError(f"The built model gives logits of {trial.logits.shape}, its source {expected.shape}.")
    require_finite(expected)
    error = _worst(trial, expected)
    if error > tolerance:
        error = _next_level(artifact, graph, trial, error, tolerance, expected, ctx)
    return error


def require_finite(expected: Logits) -> None:
    """Raises UserError for logits of the source that are none."""
    if not np.isfinite(expected).all():
        raise UserError(
            "The input model itself gives logits that are not finite.",
            "Look for NaN or infinite values among its weights.",
        )


def require_same(found: Logits, expected: Logits, limit: float) -> float:
    """The relative error of logits that the same weights gave. Raises PassError beyond the limit."""
    off = relative_error(found, expected)
    if not off <= limit:
        raise PassError(
            f"The built model does not compute what its weights say: logits are off by {off:.1%}, "
            f"{limit:.0%} is the limit.",
            "The builder misreads this architecture. verify: never ships it all the same.",
        )
    return off


def require_rounding(
    trial: Trial, exact: Logits, nearest: Logits, precision: str, ctx: PassContext, *, to_nearest: bool
) -> float:
    """Whether a model that the builder rounded computes what its float source says.

    exact, nearest: logits of the source, and of the source rounded to nearest with the same bits. to_nearest:
    the builder rounds so, too, and has to agree with it. Other methods have to be as near to the source as
    that, nearly: what rounding costs differs from model to model, so it is measured. Returns the error
    against what it has to agree with. Raises PassError.
    """
    found, cost = relative_error(trial.logits, exact), relative_error(nearest, exact)
    ctx.report("rounding_error", round(found, 5))
    if to_nearest:
        found, limit, source = relative_error(trial.logits, nearest), TOLERANCE[precision], "rounded source"
    else:
        limit, source = _ROUNDING * cost + TOLERANCE[precision] / 2, "source"
    if not found <= limit:
        raise PassError(
            f"The built model does not compute what its {source} says: logits are off by {found:.0%}, "
            f"{limit:.0%} is the limit (rounding to nearest costs {cost:.0%}).",
            "The builder misreads this architecture, or its method does harm. verify: never ships it.",
        )
    return found


def twin_reference(artifact: Artifact, graph: Path, trial: Trial, ctx: PassContext) -> Logits:
    """Logits of the same graph with its products computed in fp32: what the weights themselves say.

    For models whose source cannot be computed here. The graph is as before afterwards.
    """
    original = graph.read_bytes()
    set_accuracy_level(graph, 0)
    try:
        return try_out(artifact, ctx, trial.ids, device=trial.device).logits
    finally:
        graph.write_bytes(original)


def _next_level(
    artifact: Artifact,
    graph: Path,
    trial: Trial,
    error: float,
    tolerance: float,
    expected: Logits,
    ctx: PassContext,
) -> float:
    """The error at the first level that passes; the graph is left at that level."""
    built = max(accuracy_levels(graph), default=0)
    errors = {built: error}
    for level in _FALLBACK_LEVELS:
        if built == 0 or level == built:
            continue
        set_accuracy_level(graph, level)
        errors[level] = _worst(try_out(artifact, ctx, trial.ids, device=trial.device), expected)
        if errors[level] <= tolerance:
            ctx.note(
                f"accuracy_level {built} computes wrongly on this machine (logits off by {error:.0%}): "
                f"the model uses level {level} (off by {errors[level]:.1%}), which is slower."
            )
            return errors[level]
    told = ", ".join(f"{error:.0%} at accuracy_level {level}" for level, error in errors.items())
    raise PassError(
        f"The built model does not compute what its source says: logits are off by {told}; "
        f"{tolerance:.0%} is the limit.",
        "Please report it with the model's config.json. verify: never ships it all the same.",
    )


def _prompt(model: GenAIModel, length: int) -> list[int]:
    ids = encode_prompt(model.tokenizer, _PROMPT) or [0]
    room = max(1, min(length, model.context_length - 1) - NEW_TOKENS)
    return (ids * (room // len(ids) + 1))[:room]


def _require_answer(model: GenAIModel, prompt: Sequence[int]) -> None:
    if not list(model.generate(prompt, 1)):
        raise PassError("The built model generated nothing.")
