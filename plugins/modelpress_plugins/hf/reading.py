"""Where transformers, tokenizers and PEFT read files that came from somewhere."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from modelpress.api import ModelpressError, UserError

_LONGEST = 300
_NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@contextmanager
def reading(failed: str) -> Iterator[None]:
    """Turn whatever a library raises inside into a UserError (`failed: what it said`).

    For a malformed file they raise anything: TypeError, KeyError, AssertionError, classes of their own, from
    Rust a bare Exception or a panic. What says that memory, a disk or a library is missing passes.
    """
    try:
        yield
    except (ModelpressError, MemoryError, ImportError):
        raise
    except BaseException as error:
        is_panic = type(error).__name__ == "PanicException"
        no_room = isinstance(error, OSError) and error.errno in _NO_ROOM
        # torch's, by its name: a tokenizer is read without torch.
        no_memory = type(error).__name__ == "OutOfMemoryError"
        if no_room or no_memory or not (isinstance(error, Exception) or is_panic):
            raise
        raise UserError(f"{failed}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    """What an exception says, on one line; with its class where the text alone may be a bare name."""
    text = " ".join(str(error).split())
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    is_sentence = isinstance(error, OSError | ValueError | RuntimeError) or type(error) is Exception
    return short if is_sentence and short else f"{type(error).__name__} {short}".strip()
