"""Ask the Hugging Face hub: what a model consists of, and its files. The only module that uses a network.

Imported only for a model that is named by a hub id and is not on this machine yet.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from modelpress.api import UserError
from modelpress_plugins.hf.config import read_json as read_json_file
from modelpress_plugins.hf.files import is_code, travels

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "adapter_*.json")
_UNWANTED = ("*/*", "consolidated*.safetensors")
"""Copies in other layouts (`original/`, `onnx/`, `gguf/`) and Mistral's second copy of the weights."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")

_NO_CONNECTION: tuple[type[Exception], ...] = (
    *(OSError, HfHubHTTPError, LocalEntryNotFoundError),
    *(importlib.import_module(name).HTTPError for name in ("httpx", "httpx2") if find_spec(name)),
)
"""huggingface_hub lets the errors of its HTTP client through, and has changed that client twice."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model on the hub at one commit. files: name -> bytes, of those that would be fetched."""

    hub_id: str
    commit: str
    files: Mapping[str, int]

    @property
    def identity(self) -> str:
        return f"hub:{self.hub_id}@{self.commit}"

    @property
    def weight_bytes(self) -> int:
        return sum(size for name, size in self.files.items() if name.endswith(".safetensors"))


def look_up(hub_id: str, revision: str | None, *, code: bool = False) -> HubModel:
    """What the hub has under a name. code: whether Python files are wanted too.

    Raises UserError when it is not there, not open to this user, or has its weights in pickles only.
    """
    with _hub_errors(hub_id, revision):
        info = HfApi().model_info(hub_id, revision=revision, files_metadata=True)
    there = {file.rfilename: file.size or 0 for file in info.siblings or []}
    files = {
        name: size
        for name, size in there.items()
        if (_matches(name, _WEIGHTS) or travels(name) or (code and is_code(name)))
        and not _matches(name, _UNWANTED)
    }
    if not any(name.endswith(".safetensors") for name in files):
        pickles = [name for name in there if _matches(name, _PICKLES)]
        found = (
            f"its weights in pickles only ({pickles[0]}), which can run any code" if pickles else "no weights"
        )
        raise UserError(
            f"{hub_id!r} has {found}; safetensors are needed.",
            "Look for a revision with safetensors, or load it with transformers and save_pretrained() it.",
        )
    return HubModel(hub_id, info.sha or "", files)


def read_json(model: HubModel, name: str) -> dict[str, object]:
    """A small file of the model, which is then in the cache."""
    with _hub_errors(model.hub_id, model.commit):
        path = hf_hub_download(model.hub_id, name, revision=model.commit)
    return read_json_file(Path(path))


def download(model: HubModel, revision: str | None, progress: Callable[[int, int, str], None]) -> Path:
    """Bring the files into the hub's cache; goes on where an interrupted download ended.

    revision: as the user wrote it; the cache then knows the commit by that name.
    """
    with _hub_errors(model.hub_id, revision):
        folder = snapshot_download(
            model.hub_id,
            revision=revision,
            allow_patterns=list(model.files),
            tqdm_class=_progress_bar(progress, sum(model.files.values())),
        )
    return Path(folder)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


@contextmanager
def _hub_errors(hub_id: str, revision: str | None) -> Iterator[None]:
    try:
        yield
    except GatedRepoError as error:
        raise UserError(
            f"{hub_id!r} is open only to those who accepted its terms on the hub.",
            "Accept them there, then set HF_TOKEN.",
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"{hub_id!r} is neither a folder here nor a model on the hub.",
            "Check the name; for a private model set HF_TOKEN.",
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"{hub_id!r} has no revision {revision!r}.") from error
    except _NO_CONNECTION as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"The hub cannot be asked for {hub_id!r}: {reason}",
            "Check the connection, or give the folder of the model. What is here already is kept.",
        ) from error


def _progress_bar(progress: Callable[[int, int, str], None], size: int) -> type[Any]:
    """A class of progress bars that shows nothing and passes on the bytes that have come."""

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs |= {"disable": False, "file": _Nowhere()}
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self.unit == "B":
                progress(int(self.n), size, "bytes")
            return shown

    return Bar


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
