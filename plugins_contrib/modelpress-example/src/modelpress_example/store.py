"""The resource: a folder that stands for a store. A real one would ask a server."""

from __future__ import annotations

import shutil
from pathlib import Path

from modelpress.api import UserError, content_identity

from .options import StoreOptions


def identity(options: StoreOptions) -> str:
    """What the content is; a real store tells an etag without sending the file."""
    return content_identity(_file(options))


def fetch(options: StoreOptions, folder: Path) -> Path:
    return Path(shutil.copyfile(_file(options), folder / options.name))


def _file(options: StoreOptions) -> Path:
    path = Path(options.store).expanduser() / options.name
    if not path.is_file():
        raise UserError(f"The store {options.store} has no {options.name}.", "Name a file that is in it.")
    return path
