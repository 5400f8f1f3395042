"""What the local cache of the Hugging Face hub holds, without a network and without its library.

The layout is documented by huggingface_hub: `models--org--name/refs/<revision>` holds a commit,
`snapshots/<commit>/` the files. The plan reads it where huggingface_hub may not be installed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_TRUE = {"1", "ON", "YES", "TRUE"}


def hub_cache() -> Path:
    """The folder of the cache, as the environment says."""
    if folder := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(folder).expanduser()
    return hub_home() / "hub"


def hub_home() -> Path:
    """The folder in which the hub's library keeps its files, the token too."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or Path(caches, "huggingface")).expanduser()


def cached_snapshot(hub_id: str, revision: str | None, kind: str = "models") -> tuple[str, Path] | None:
    """(commit, folder) of what is in the cache; None when nothing is. The folder may lack files."""
    folder = hub_cache() / f"{kind}--{hub_id.replace('/', '--')}"
    commit = _commit(folder, revision or "main")
    if commit and (folder / "snapshots" / commit).is_dir():
        return commit, folder / "snapshots" / commit
    return None


def hub_is_offline(offline: bool) -> bool:
    """Whether the hub must not be asked: by the run's own switch or by HF_HUB_OFFLINE."""
    return offline or bool(offline_switches())


def offline_switches() -> list[str]:
    """Environment variables that are set, and keep the hub from being asked."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return [name for name in names if os.environ.get(name, "").upper() in _TRUE]


def _commit(folder: Path, revision: str) -> str | None:
    if _COMMIT.match(revision):
        return revision
    try:
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return commit if _COMMIT.match(commit) else None
