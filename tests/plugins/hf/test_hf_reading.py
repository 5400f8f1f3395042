"""Whatever a library says of a malformed file reaches the user as a sentence about that file."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from modelpress.api import UserError
from modelpress_plugins.hf.reading import reading


class PanicException(BaseException):
    """As pyo3 raises it."""


class OutOfMemoryError(RuntimeError):
    """As torch raises it."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Exception("data did not match\nany variant"), "x: data did not match any variant"),
        (KeyError("model"), "x: KeyError 'model'"),
        (AssertionError(), "x: AssertionError"),
        (FileNotFoundError("no file named model.safetensors"), "x: no file named model.safetensors"),
        (RecursionError("maximum recursion depth exceeded"), "x: maximum recursion depth exceeded"),
        (PanicException("index out of bounds"), "x: PanicException index out of bounds"),
    ],
)
def test_what_a_library_raises_is_about_the_file(error: BaseException, said: str) -> None:
    with pytest.raises(UserError) as told, reading("x"):
        raise error
    assert told.value.message == said
    assert told.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OutOfMemoryError(), OSError(errno.ENOSPC, "full"), ImportError("bitsandbytes"),
     KeyboardInterrupt(), SystemExit(1), UserError("known")],
)  # fmt: skip
def test_what_is_not_about_the_file_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as told, reading("x"):
        raise error
    assert told.value is error


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {}, "merges": [[1]]}}),
        ("config.json", {"hidden_act": []}),
    ],
)
def test_a_malformed_model_is_told_by_what_opens_it(
    name: str, change: dict[str, object], emotions_model: Path, tmp_path: Path
) -> None:
    from modelpress_plugins.hf.bare_model import open_config
    from modelpress_plugins.hf.tokenizer import open_tokenizer

    folder = Path(shutil.copytree(emotions_model, tmp_path / "model"))
    (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **change}))
    opens = (lambda: open_config(folder, trust_remote_code=False), lambda: open_tokenizer(folder))
    with pytest.raises(UserError, match=str(folder)):
        opens[name == "tokenizer.json"]()
