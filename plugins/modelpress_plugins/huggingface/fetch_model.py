"""Bring a model from the Hugging Face hub into its local cache: safetensors and small files only."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from modelpress.api import FetchContext, UserError
from modelpress_plugins.huggingface.config import HfModelOptions
from modelpress_plugins.huggingface.hub_cache import cached_snapshot, hub_is_offline

WANTED = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")
CODE = ("*.py",)
UNWANTED = ("*/*", "consolidated*.safetensors")
"""Copies in other layouts (`original/`, `onnx/`, `gguf/`) and Mistral's second copy of the weights."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def fetch_model(config: HfModelOptions, ctx: FetchContext) -> Path:
    """Fetch the model, and the adapter where one is named. Returns the model's folder in the cache.

    Raises UserError when the run is offline, the model is not there or not open to this user, or it has
    pickles only.
    """
    if isinstance(config.model_path, dict):
        kind = config.model_path.get("type")
        raise UserError(
            f"No installed plugin fetches models of the type {kind!r}.", "See `modelpress plugins list`."
        )
    wanted = (*WANTED, *(CODE if config.load_kwargs.trust_remote_code else ()))
    folder = _local(config.model_path) or _fetch(config.model_path, config.load_kwargs.revision, wanted, ctx)
    if isinstance(config.adapter_path, str) and not _local(config.adapter_path):
        _fetch(config.adapter_path, None, WANTED, ctx)
    return folder


def _local(value: str) -> Path | None:
    path = Path(value).expanduser()
    return path.resolve() if path.is_dir() else None


def _fetch(hub_id: str, revision: str | None, wanted: tuple[str, ...], ctx: FetchContext) -> Path:
    if hub_is_offline(ctx.offline):
        raise UserError(
            f"{hub_id!r} has to be fetched from the hub, but the run is offline.",
            f"Give the folder of the model, or fetch it once: `hf download {hub_id}`.",
        )
    try:
        commit, size = _look(hub_id, revision, wanted)
        ctx.note(f"Fetching {hub_id} at {commit[:12]}: {size / 1e9:.2f} GB.")
        folder = snapshot_download(
            hub_id,
            revision=revision,
            allow_patterns=list(wanted),
            ignore_patterns=list(UNWANTED),
            tqdm_class=_progress_bar(ctx, size),
        )
    except GatedRepoError as error:
        raise UserError(
            f"{hub_id!r} is open only to those who accepted its terms on the hub.",
            "Accept them there, then set HF_TOKEN.",
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"{hub_id!r} is no folder here and not on the hub.",
            "Check the name; for a private one set HF_TOKEN.",
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"{hub_id!r} has no revision {revision!r}.") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"{hub_id!r} could not be fetched: {error}", "What is here already is kept."
        ) from error
    _remember_revision(hub_id, revision, folder)
    return Path(folder)


def _look(hub_id: str, revision: str | None, wanted: tuple[str, ...]) -> tuple[str, int]:
    """(commit, bytes to fetch). Refuses a model of pickles before anything is fetched."""
    info = HfApi().model_info(hub_id, revision=revision, files_metadata=True)
    files = {file.rfilename: file.size or 0 for file in info.siblings or []}
    if not any(name.endswith(".safetensors") and "/" not in name for name in files):
        pickles = [name for name in files if any(fnmatch(name, pattern) for pattern in _PICKLES)]
        found = f"only pickles ({pickles[0]}), which can run any code" if pickles else "no weights"
        raise UserError(
            f"{hub_id!r} has {found}; safetensors are needed.",
            "Look for a revision with safetensors, or load it with transformers and save_pretrained() it.",
        )
    size = sum(
        size for name, size in files.items() if "/" not in name and any(fnmatch(name, p) for p in wanted)
    )
    return info.sha or "", size


def _remember_revision(hub_id: str, revision: str | None, folder: str) -> None:
    """The plan finds the model again by the revision's name; the library wrote it down."""
    if cached_snapshot(hub_id, revision) is None:
        raise UserError(f"{hub_id!r} was fetched to {folder}, which is not in the hub's cache.")


def _progress_bar(ctx: FetchContext, size: int) -> type[Any]:
    """A class of progress bars that shows nothing and tells ctx the bytes that have come."""

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["disable"] = False
            kwargs["file"] = _Nowhere()
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self.unit == "B":
                ctx.progress(int(self.n), size, "bytes")
            return shown

    return Bar


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
