"""Call the builder of onnxruntime-genai by its public entry, quietly."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import modelpress_plugins.model_builder.runtime  # noqa: F401 - before the builder: it silences onnxruntime

# isort: split
# The builder's package puts its own folder on sys.path and imports `builders`, `loaders`, `quantization` and
# `builder_config` from there by these bare names. That is one reason why passes run in a worker of their own.
from onnxruntime_genai.models import builder  # type: ignore[import-untyped]

from modelpress.api import PassError
from modelpress_plugins.tensors.release import give_back_memory, let_go_of_files

_LAYER = re.compile(r"^Reading layer (\d+)")
_LAST_WORDS = 5
_WARNING = re.compile(r"^warning:\s*(.+)", re.IGNORECASE)
_NO_WARNING = ("could not read generation_config.json",)
"""A model need not have one: config.json then says when an answer ends."""
_OWN_FOLDER = Path(builder.__file__).parent
_log = logging.getLogger("modelpress.model_builder")


def build_folder(
    source: Path,
    out: Path,
    precision: str,
    provider: str,
    cache: Path,
    options: Mapping[str, str],
    progress: Callable[[int, int, str], None],
) -> Sequence[str]:
    """Build `source` into `out`. provider: the builder's name; cache: a folder for it to write to.

    options: as on the builder's command line. Returns what it warned of. Raises PassError with the builder's
    own words.
    """
    words = BuilderWords(progress)
    with (
        warnings.catch_warnings(record=True) as warned,
        redirect_stdout(words),
        redirect_stderr(SavingBar(partial(let_go_of_files, source))),
    ):
        try:
            prepared = builder.parse_extra_options(
                None,
                str(source),
                str(out),
                precision,
                provider,
                str(cache),
                [f"{name}={value}" for name, value in options.items()],
            )
            words.layers = int(getattr(prepared["hf_details"]["hf_config"], "num_hidden_layers", 0) or 0)
            builder.create_model(None, str(source), str(out), precision, provider, str(cache), **prepared)
        except (
            ValueError,
            NotImplementedError,
            LookupError,
            AttributeError,
            TypeError,
            RuntimeError,
        ) as error:
            said = "; ".join(words.lines[-_LAST_WORDS:])
            raise PassError(
                f"The builder of onnxruntime-genai failed: {type(error).__name__}: {error}",
                f"Its last words: {said}" if said else "",
            ) from error
    # The builder's graph holds the weights in reference cycles; without this they would stay in memory.
    del prepared
    give_back_memory()
    own = [str(each.message) for each in warned if _OWN_FOLDER in Path(each.filename).parents]
    return list(dict.fromkeys([*words.warnings, *own]))


class BuilderWords(io.TextIOBase):
    """What the builder prints: kept, logged, and read for how far it is."""

    def __init__(self, progress: Callable[[int, int, str], None]) -> None:
        self.lines: list[str] = []
        self.layers = 0
        self._progress = progress
        self._rest = ""

    @property
    def warnings(self) -> list[str]:
        """What it warned of, each once."""
        found = (match[1] for line in self.lines if (match := _WARNING.match(line)))
        return [text for text in dict.fromkeys(found) if not text.startswith(_NO_WARNING)]

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(None, lines):
            self.lines.append(line)
            _log.debug("%s", line)
            if match := _LAYER.match(line):
                self._progress(int(match[1]) + 1, max(self.layers, int(match[1]) + 1), "layers")
        return len(text)


class SavingBar(io.TextIOBase):
    """Where the builder's progress bar goes. It draws one only while it saves: the weights have been copied
    into the graph by then, and those that it mapped from the checkpoint are in memory for nothing."""

    def __init__(self, on_start: Callable[[], None]) -> None:
        self._on_start: Callable[[], None] | None = on_start

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._on_start is not None:
            start, self._on_start = self._on_start, None
            start()
        return len(text)
