"""Put the adapter into the base."""

from __future__ import annotations

from peft import PeftConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import PreTrainedModel, TrainingArguments

from modelpress.api import PassContext, UserError
from modelpress_plugins.hf.families import family_of
from modelpress_plugins.lora.config import AdapterConfig
from modelpress_plugins.lora.targets import expert_paths, last_names, unmatched


def check_targets(base: PreTrainedModel, config: AdapterConfig, ctx: PassContext) -> None:
    """Raises UserError when modules that the options name do not exist. peft itself passes over a name that
    matches nothing as long as another one matches: that is noted."""
    paths = [path for path, module in base.named_modules() if getattr(module, "weight", None) is not None]
    experts = family_of(str(base.config.model_type)).experts
    if experts and experts.numbered:  # peft finds the parameters that transformers has made of them
        paths += expert_paths(experts)
    targets = config.target_modules
    lost = unmatched(targets, paths)
    if lost and len(lost) == (1 if isinstance(targets, str) else len(targets)):
        raise _no_such_module("target_modules", lost, paths)
    if lost:
        ctx.note(f"No module of the model is named {' or '.join(lost)}; the others get their adapter.")
    if lost := unmatched(config.modules_to_save or [], paths):
        raise _no_such_module("modules_to_save", lost, paths)


def attach_adapter(
    base: PreTrainedModel, method: PeftConfig, arguments: TrainingArguments, *, in_bits: bool
) -> PeftModel:
    """Changes the base in place: frozen, with the adapter beside the chosen modules, in float32.

    in_bits: the base is quantized; its norms and the like are raised to float32.
    Raises UserError when the chosen modules cannot carry this kind of adapter.
    """
    if in_bits:
        prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
            base, use_gradient_checkpointing=False
        )
    if arguments.gradient_checkpointing:  # else a checkpointed block sees no input that needs a gradient
        base.enable_input_require_grads()  # type: ignore[no-untyped-call]
    try:
        adapted = get_peft_model(base, method)
    except ValueError as error:
        raise UserError(f"peft cannot adapt this model: {error}", "Choose other target_modules.") from error
    if not isinstance(adapted, PeftModel):
        raise TypeError(f"peft gave a {type(adapted).__name__}, expected a PeftModel")
    return adapted


def _no_such_module(option: str, names: list[str], paths: list[str]) -> UserError:
    return UserError(
        f"{option}: no module of the model is named {' or '.join(names)}.", f"It has {last_names(paths)}."
    )
