"""Bring an input model to this machine."""

from __future__ import annotations

from pathlib import Path

from modelpress.api import FetchContext, UserError, looks_like_path
from modelpress_plugins.huggingface.config import HfModelOptions
from modelpress_plugins.huggingface.hub import download, look_up
from modelpress_plugins.huggingface.hub_cache import hub_is_offline


def fetch_model(config: HfModelOptions, ctx: FetchContext) -> Path:
    """Fetch the model, and the adapter where one is named. Returns the folder of the adapter, or else of
    the model. Afterwards open_model finds both.

    Raises UserError when the run is offline, or the hub has no such model for this user.
    """
    load = config.load_kwargs
    model = _fetch(config.model_path, load.revision, ctx, code=load.trust_remote_code)
    return _fetch(config.adapter_path, None, ctx) if config.adapter_path else model


def _fetch(value: str, revision: str | None, ctx: FetchContext, *, code: bool = False) -> Path:
    if looks_like_path(value, Path.cwd()) or "/" not in value:
        return Path(value).expanduser().resolve()
    if hub_is_offline(ctx.offline):
        raise UserError(
            f"{value!r} has to be fetched from the hub, but the run is offline.",
            f"Give the folder of the model, or fetch it once: `hf download {value}`.",
        )
    found = look_up(value, revision, code=code)
    size = sum(found.files.values())
    ctx.note(f"Fetching {value} at {found.commit[:12]}: {size / 1e9:.2f} GB.")
    return download(found, revision, ctx.progress)
