"""Data sets that the `datasets` library loads (of the hub, or the files of a folder).

It checks nothing of what it converted earlier, so the digests of these files are kept beside them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets  # type: ignore[import-untyped]

from modelpress.api import UserError, content_identity, write_whole
from modelpress_plugins.huggingface.data_config import LoadDataset
from modelpress_plugins.huggingface.data_files import FILE_KINDS

_FAILS = (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError)


@dataclass(frozen=True)
class HubTable:
    """A data set that the `datasets` library has loaded."""

    dataset: datasets.Dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def rows(self, numbers: Sequence[int]) -> list[Mapping[str, object]]:
        columns = self.dataset[list(numbers)]
        return [{name: values[i] for name, values in columns.items()} for i in range(len(numbers))]


def load_hub(
    load: LoadDataset, kind: str, folder: Path, note: Callable[[str], None]
) -> datasets.Dataset | datasets.IterableDataset:
    """The data set of that name or of the files in data_dir, converted once; what is damaged of that is told
    and made again. Raises UserError when it cannot be loaded."""
    options: dict[str, object] = {
        "data_files": load.data_files,
        "split": load.split,
        "streaming": load.streaming,
    }
    if kind not in FILE_KINDS:
        options |= {"name": load.subset, "revision": load.revision}
    if load.data_dir:
        options["data_dir"] = load.data_dir
    name = kind if kind not in FILE_KINDS else str(load.data_dir)
    try:
        if load.streaming:
            return datasets.load_dataset(kind, cache_dir=str(folder), **options)
        return _load_whole(kind, name, options, folder, note)
    except _FAILS as error:
        raise unloadable(name, error) from error


def _load_whole(
    kind: str, name: str, options: Mapping[str, object], folder: Path, note: Callable[[str], None]
) -> datasets.Dataset:
    asked = json.dumps([kind, options], sort_keys=True).encode()
    record = folder / f"{hashlib.blake2b(asked, digest_size=8).hexdigest()}.digests.json"
    mode = None
    if record.is_file() and not _is_whole(record):
        note(f"What was converted of {name} is damaged: it is converted again.")
        record.unlink()
        mode = "reuse_cache_if_exists"
    loaded = datasets.load_dataset(kind, cache_dir=str(folder), download_mode=mode, **options)
    if not record.is_file():
        files = [file["filename"] for file in loaded.cache_files]
        digests = {file: content_identity(Path(file)) for file in files}
        write_whole(record, json.dumps(digests).encode())
    return loaded


def _is_whole(record: Path) -> bool:
    """Whether each file is as it was when it was converted."""
    try:
        digests = json.loads(record.read_bytes())
        return all(content_identity(Path(file)) == digest for file, digest in digests.items())
    except (OSError, ValueError, AttributeError):
        return False


def unloadable(name: str, error: BaseException) -> UserError:
    """The innermost reason: the library wraps what it says in `An error occurred while generating`."""
    while error.__cause__ is not None:
        error = error.__cause__
    reason = " ".join(str(error).split())
    return UserError(f"The data set {name} cannot be loaded: {reason[:400]}")
