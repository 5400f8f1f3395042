"""Find an input model and tell the plan what it must know: config.json, sizes, what is missing.

Nothing is loaded. The hub is asked only for a model that is named by its id, is not in the hub's cache,
and only when the run may use a network; its weights are left to fetch_model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modelpress.api import (
    Checkpoint,
    Meta,
    ModelFacts,
    PlanContext,
    ResourceRef,
    UserError,
    content_identity,
    looks_like_path,
    named_path,
    nearest,
)
from modelpress_plugins.hf.complete import require_complete
from modelpress_plugins.hf.config import (
    ADAPTER_CONFIG,
    CONFIG,
    ModelConfig,
    read_adapter_config,
    read_config,
)
from modelpress_plugins.hf.files import (
    NO_TOKENIZER_HINT,
    TOKENIZER_FILES,
    has_tokenizer,
    with_tokenizer,
    without_tokenizer,
)
from modelpress_plugins.hf.folder import check_hf_adapter, check_hf_model
from modelpress_plugins.hf.well_formed import require_numbers, require_well_formed
from modelpress_plugins.huggingface.adapter_fit import misfit
from modelpress_plugins.huggingface.config import HfModelOptions
from modelpress_plugins.huggingface.hub_cache import cached_snapshot, hub_cache, hub_is_offline

_TASKS = ("text-generation", "text-generation-with-past")


@dataclass(frozen=True, slots=True)
class Found:
    """A model or adapter: its folder (None when it has to be fetched), its config, bytes of weights.

    identity: empty for a local folder; tokenizer: the folder that has it, None when there is none
    """

    path: Path | None
    identity: str
    config: Mapping[str, Any]
    size: int
    tokenizer: Path | None = None


def open_model(config: HfModelOptions, ctx: PlanContext) -> ModelFacts | None:
    """The facts of the model, or of adapter and base. None after a problem that leaves nothing to say."""
    model = _open_base(config, ctx)
    _check_task(config.task, model, ctx)
    if model is None or config.adapter_path is None:
        return model
    return _open_adapter(config.adapter_path, model, ctx)


def _check_task(task: str, model: ModelFacts | None, ctx: PlanContext) -> None:
    """Olive builds and trains a model for text generation whatever task is written beside it."""
    if task in _TASKS:
        return
    if model is not None and ModelConfig(model.config).architecture.endswith("ForCausalLM"):
        ctx.note(f"The task {task!r} has no effect: the model is one for text generation.")
    elif model is None or model.config:
        ctx.problem(f"The task {task!r} is not supported.", "It is text-generation.", option="task")


def _open_base(config: HfModelOptions, ctx: PlanContext) -> ModelFacts | None:
    if isinstance(config.model_path, ResourceRef):
        trust = config.load_kwargs.trust_remote_code
        return ModelFacts("hf-model", identity=config.model_path.identity, meta=_meta(config, trust=trust))
    try:
        found = _find_model(config.model_path, config.load_kwargs.revision, ctx)
    except UserError as error:
        ctx.problem(error.message, error.hint, option="model_path")
        return None
    meta = _meta(config, trust=_check_code(config, found, ctx))
    if found.tokenizer is None and found.path is not None:
        if config.adapter_path is None:
            ctx.problem(f"{found.path} has no tokenizer.", NO_TOKENIZER_HINT, option="model_path")
        meta = without_tokenizer(meta)  # a merge needs none
    elif found.tokenizer is not None and found.tokenizer != found.path:
        told = {**meta.extra, "tokenizer_identity": content_identity(found.tokenizer)}
        meta = replace(meta, tokenizer_path=str(found.tokenizer), extra=told)
    return ModelFacts("hf-model", found.path, found.identity, found.config, found.size, meta)


def _open_adapter(value: str, base: ModelFacts, ctx: PlanContext) -> ModelFacts | None:
    if isinstance(value, ResourceRef):
        return ModelFacts(
            "hf-adapter", identity=value.identity, config=base.config, meta=base.meta, base=base
        )
    try:
        found = _find_adapter(value, ctx)
        reason = _misfit(found, base)
    except UserError as error:
        ctx.problem(error.message, error.hint, option="adapter_path")
        return None
    if reason:
        made_for = found.config.get("base_model_name_or_path") or "another model"
        message = f"The adapter {value} and {base.path} do not go together. {reason}"
        ctx.problem(message, f"It was made for {made_for}.", option="adapter_path")
    own = found.path is not None and has_tokenizer(found.path)
    meta = with_tokenizer(base.meta) if own else base.meta
    return ModelFacts("hf-adapter", found.path, found.identity, base.config, found.size, meta, base)


def _misfit(adapter: Found, base: ModelFacts) -> str:
    if adapter.path is None or base.path is None:
        return ""
    return misfit(adapter.path, adapter.config, base.path, ModelConfig(base.config))


def _find_model(value: str, revision: str | None, ctx: PlanContext) -> Found:
    """Raises UserError when it is not there or not usable."""
    folder, identity = _find(value, revision, ctx)
    if folder is None:
        return _ask_hub(value, revision, CONFIG)
    model, tokenizer = _parts(folder)
    check_hf_model(model)
    config = read_config(model)
    require_numbers(model, config)
    for text in require_complete(model, config):
        ctx.note(text)
    require_well_formed(model)
    if tokenizer is not None and tokenizer != model:
        require_well_formed(tokenizer)
    return Found(model, identity, config.document, _weight_bytes(model), tokenizer)


def _find_adapter(value: str, ctx: PlanContext) -> Found:
    """Raises UserError when it is not there or not usable."""
    folder, identity = _find(value, None, ctx, stem="adapter_model")
    if folder is None:
        return _ask_hub(value, None, ADAPTER_CONFIG)
    check_hf_adapter(folder)
    require_well_formed(folder)
    return Found(folder, identity, read_adapter_config(folder), _weight_bytes(folder, "adapter_model"))


def _find(value: str, revision: str | None, ctx: PlanContext, stem: str = "model") -> tuple[Path | None, str]:
    """(folder, identity); the folder is None for a hub id that is not wholly in the cache."""
    path = named_path(value, ctx.folder)
    if path.is_dir():
        return path.resolve(), ""
    if looks_like_path(value, ctx.folder):
        raise _no_folder(path)
    snapshot = cached_snapshot(value, revision)
    if snapshot and _is_whole(snapshot[1], stem):
        return snapshot[1], f"hub:{value}@{snapshot[0]}"
    if "/" not in value:
        # The hub's old names have no slash either (`gpt2`); a folder that is missing is far more likely.
        raise _no_folder(
            path, "A model of the hub is named org/name. Relative paths in a workflow count from its folder."
        )
    if hub_is_offline(ctx.offline):
        raise UserError(
            f"There is no folder {path}, and the hub's model {value!r} is not (or not wholly) in the cache "
            f"{hub_cache()}. The run is offline.",
            f"Give the folder of the model, or fetch it once: `hf download {value}`.",
        )
    return None, ""


def _ask_hub(value: str, revision: str | None, config_file: str) -> Found:
    if find_spec("huggingface_hub") is None:
        raise UserError(
            f"{value!r} is a model of the hub, and huggingface_hub is not installed here.",
            'Install it with `pip install "modelpress[cpu]"`, or give the folder of the model.',
        )
    # Not at the top: a plan over local files needs neither the library nor a network.
    from modelpress_plugins.huggingface.hub import look_up, read_json  # noqa: PLC0415

    model = look_up(value, revision)
    if config_file not in model.files:
        raise UserError(f"{value!r} has no {config_file} on the hub.")
    if config_file == CONFIG and not set(TOKENIZER_FILES) & set(model.files):
        raise UserError(f"{value!r} has no tokenizer on the hub.")
    return Found(None, model.identity, read_json(model, config_file), model.weight_bytes)


def _parts(folder: Path) -> tuple[Path, Path | None]:
    """(the folder of config.json and weights, the folder of the tokenizer); apart in an MLflow model."""
    if not (folder / "MLmodel").is_file():
        return folder, folder if has_tokenizer(folder) else None
    models = (folder / "data" / "model", folder / "model", folder)
    model = next((each for each in models if (each / CONFIG).is_file()), folder)
    _require_inside(model, folder)
    beside = (folder / "data" / "tokenizer", folder / "components" / "tokenizer", folder / "tokenizer")
    tokenizer = next((each for each in (model, *beside) if has_tokenizer(each)), None)
    _require_inside(tokenizer or folder, folder)
    return model, tokenizer


def _require_inside(part: Path, folder: Path) -> None:
    """A part of a model's folder that is a link may lead anywhere; what is in it is looked at by the plan."""
    if not part.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"{part} is a link that leads out of the model's folder, to {part.resolve()}.",
            "Put the folder itself in its place, if it belongs to the model.",
        )


def _check_code(config: HfModelOptions, found: Found, ctx: PlanContext) -> bool:
    """Whether the model's own code is to be run. Tells a problem where it must be but may not."""
    model, trusted = ModelConfig(found.config), config.load_kwargs.trust_remote_code
    needed, files = model.needed_code, ", ".join(model.code_files)
    if files and not needed:
        ctx.note(
            f"{config.model_path} brings code ({files}); it is not run: transformers carries "
            f"{model.model_type!r} itself."
        )
    if needed and not trusted:
        ctx.problem(
            f"{config.model_path} can be opened only by running its own code: {', '.join(needed)}.",
            "Read these files; if you trust them, set load_kwargs.trust_remote_code to true.",
            option="load_kwargs.trust_remote_code",
        )
    return bool(needed) and trusted


def _meta(config: HfModelOptions, *, trust: bool) -> Meta:
    consumed = {"trust_remote_code", "revision"}
    load = config.load_kwargs.model_dump(mode="json", exclude_none=True, exclude=consumed)
    method = load.pop("quantization_method", None)
    bits = load.pop("quantization_config", None)
    extra = {"quantization": bits or {"load_in_4bit": True}} if method == "bitsandbytes" else {}
    task = config.task if config.task in _TASKS else "text-generation"
    return Meta(task=task, trust_remote_code=trust, load_kwargs=load, extra=extra)


def _is_whole(snapshot: Path, stem: str) -> bool:
    """Whether a snapshot has all its files: an interrupted download leaves some out."""
    if not (snapshot / (CONFIG if stem == "model" else ADAPTER_CONFIG)).exists():
        return False
    try:
        with Checkpoint(snapshot, stem=stem):
            return True
    except UserError:
        return False


def _weight_bytes(folder: Path, stem: str = "model") -> int:
    with Checkpoint(folder, stem=stem) as checkpoint:
        return checkpoint.nbytes


def _no_folder(path: Path, otherwise: str = "") -> UserError:
    if path.exists():
        return UserError(f"{path} is a file; a model is a folder.", "Give the folder it lies in.")
    siblings = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    near = nearest(path.name, siblings)
    otherwise = otherwise or "Relative paths count from the workflow's folder."
    hint = f"Did you mean {near!r}?" if near else otherwise
    return UserError(f"The model folder {path} does not exist.", hint)
