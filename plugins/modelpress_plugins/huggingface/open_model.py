"""Find an input model and read what the plan must know of it: config.json, sizes, what is missing.

Nothing is loaded and no network is asked. A model that is not on this machine is left to fetch_model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from modelpress.api import Checkpoint, ModelFacts, PlanContext, UserError, content_identity, looks_like_path
from modelpress_plugins.huggingface.adapter_fit import misfit
from modelpress_plugins.huggingface.architectures import code_files, needed_code
from modelpress_plugins.huggingface.config import HfModelOptions, LoadKwargs
from modelpress_plugins.huggingface.formats import (
    check_hf_adapter,
    check_hf_model,
    has_tokenizer,
    read_adapter_config,
    read_config,
)
from modelpress_plugins.huggingface.hub_cache import cached_snapshot, hub_cache, hub_is_offline


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model lies. path is None when it has to be fetched; identity is empty for a local folder."""

    path: Path | None
    identity: str = ""


def open_model(config: HfModelOptions, ctx: PlanContext) -> ModelFacts | None:
    """The facts of the model, or of adapter and base. None after a problem that leaves nothing to say."""
    if config.task not in ("text-generation", "text-generation-with-past"):
        ctx.problem(f"Task {config.task!r} is not supported.", "It is text-generation.", option="task")
    model = _open_base(config, ctx)
    if model is None or config.adapter_path is None:
        return model
    return _open_adapter(config.adapter_path, model, ctx)


def find_model(
    value: str | dict[str, Any], revision: str | None, ctx: PlanContext, option: str, complete: str
) -> Place | None:
    """Where the model is that an option names; None after a problem.

    complete: a file without which a snapshot in the hub's cache is not whole.
    """
    if isinstance(value, dict):
        return Place(None)
    path = Path(value).expanduser()
    if path.is_dir():
        return Place(path.resolve())
    if path.exists() or looks_like_path(value, Path.cwd()):
        _tell_missing_folder(path, ctx, option)
        return None
    snapshot = cached_snapshot(value, revision)
    if snapshot and (snapshot[1] / complete).exists() and _is_whole(snapshot[1]):
        return Place(snapshot[1], f"hub:{value}@{snapshot[0]}")
    if hub_is_offline(ctx.offline):
        ctx.problem(
            f"{value!r} is no folder here and is not (or not wholly) in the hub's cache {hub_cache()}, "
            "and the run is offline.",
            f"Give the folder of the model, or fetch it once: `hf download {value}`.",
            option=option,
        )
        return None
    return Place(None)


def _open_base(config: HfModelOptions, ctx: PlanContext) -> ModelFacts | None:
    place = find_model(config.model_path, config.load_kwargs.revision, ctx, "model_path", "config.json")
    if place is None:
        return None
    if place.path is None:
        return ModelFacts("hf-model", None, place.identity, meta=_meta(config, trust=_trusts(config)))
    folder, tokenizer = _parts(place.path)
    try:
        check_hf_model(folder)
        model_config = read_config(folder)
    except UserError as error:
        ctx.problem(error.message, error.hint, option="model_path")
        return None
    trust = _check_code(folder, model_config, config.load_kwargs, ctx)
    meta = _meta(config, trust=trust)
    if tokenizer is not None and tokenizer != folder:
        meta |= {"tokenizer_path": str(tokenizer), "tokenizer_identity": content_identity(tokenizer)}
    elif tokenizer is None:
        ctx.problem(
            f"{folder} has no tokenizer.",
            "Put tokenizer.json and tokenizer_config.json beside config.json.",
            option="model_path",
        )
    return ModelFacts("hf-model", folder, place.identity, model_config, _weight_bytes(folder), meta)


def _open_adapter(value: str | dict[str, Any], base: ModelFacts, ctx: PlanContext) -> ModelFacts | None:
    place = find_model(value, None, ctx, "adapter_path", "adapter_config.json")
    if place is None:
        return None
    if place.path is None:
        return ModelFacts("hf-adapter", None, place.identity, base.config, meta=base.meta, base=base)
    try:
        check_hf_adapter(place.path)
        adapter = read_adapter_config(place.path)
        reason = misfit(place.path, adapter, base.path) if base.path else ""
    except UserError as error:
        ctx.problem(error.message, error.hint, option="adapter_path")
        return None
    if reason:
        hint = f"It was made for {adapter.get('base_model_name_or_path') or 'another model'}."
        ctx.problem(
            f"The adapter {place.path} does not fit {base.path}: {reason}", hint, option="adapter_path"
        )
    size = _weight_bytes(place.path, "adapter_model")
    return ModelFacts("hf-adapter", place.path, place.identity, base.config, size, base.meta, base)


def _parts(folder: Path) -> tuple[Path, Path | None]:
    """(the folder of config.json and weights, the folder of the tokenizer); apart in an MLflow model."""
    model = folder
    if (folder / "MLmodel").is_file():
        candidates = (folder / "data" / "model", folder / "model", folder)
        model = next((c for c in candidates if (c / "config.json").is_file()), folder)
    beside = (folder / "data" / "tokenizer", folder / "components" / "tokenizer", folder / "tokenizer")
    tokenizers = [model, *beside] if (folder / "MLmodel").is_file() else [model]
    return model, next((t for t in tokenizers if has_tokenizer(t)), None)


def _check_code(folder: Path, config: Mapping[str, Any], load: LoadKwargs, ctx: PlanContext) -> bool:
    """Whether the model's own code is to be run. Tells a problem where it must be but may not."""
    needed = needed_code(config)
    if not needed:
        if code_files(config):
            ctx.note(
                f"{folder.name} brings code ({', '.join(code_files(config))}); it is not run, because "
                f"transformers carries {config.get('model_type')!r} itself."
            )
        return False
    if not load.trust_remote_code:
        ctx.problem(
            f"{folder} can be opened only by running its own code: {', '.join(needed)}.",
            "Read these files; if you trust them, set load_kwargs.trust_remote_code to true.",
            option="load_kwargs.trust_remote_code",
        )
    return load.trust_remote_code


def _meta(config: HfModelOptions, *, trust: bool) -> dict[str, Any]:
    load = config.load_kwargs.model_dump(
        mode="json", exclude_none=True, exclude={"trust_remote_code", "revision"}
    )
    method = load.pop("quantization_method", None)
    quantization = load.pop("quantization_config", None)
    meta: dict[str, Any] = {"task": config.task, "trust_remote_code": trust, "load_kwargs": load}
    return meta | (
        {"quantization": quantization or {"load_in_4bit": True}} if method == "bitsandbytes" else {}
    )


def _trusts(config: HfModelOptions) -> bool:
    return config.load_kwargs.trust_remote_code


def _is_whole(snapshot: Path) -> bool:
    """Whether a snapshot has all its weights: an interrupted download leaves some out."""
    index = snapshot / "model.safetensors.index.json"
    if not index.exists():
        return bool(list(snapshot.glob("*.safetensors"))) or bool(list(snapshot.glob("*.bin")))
    try:
        with Checkpoint(snapshot):
            return True
    except UserError:
        return False


def _weight_bytes(folder: Path, stem: str = "model") -> int:
    with Checkpoint(folder, stem=stem) as checkpoint:
        return checkpoint.nbytes


def _tell_missing_folder(path: Path, ctx: PlanContext, option: str) -> None:
    if path.exists():
        ctx.problem(f"{path} is a file; a model is a folder.", "Give the folder it lies in.", option=option)
        return
    siblings = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, siblings, n=1)
    ctx.problem(
        f"The model folder {path} does not exist.",
        f"Did you mean {near[0]!r}?" if near else "Relative paths count from the workflow's folder.",
        option=option,
    )
