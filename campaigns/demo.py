"""A workflow of small passes over a text file, by a plugin of one file: real runs in a tenth of a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import Bench

PLUGIN = '''
"""Small passes over text files."""
import time
from modelpress.api import FormatSpec, ModelFacts, ModelSpec, Options, PassSpec, UserError, hookimpl

MODELPRESS_API = 1
HERE = __name__


class TextModelOptions(Options):
    model_path: str


class StepOptions(Options):
    text: str = ""
    pieces: int = 1
    seconds: float = 0.0


@hookimpl
def modelpress_models():
    return [ModelSpec(name="TextModel", summary="A text file.", produces="text", open=f"{HERE}:open_model",
                      config=f"{HERE}:TextModelOptions")]


@hookimpl
def modelpress_formats():
    return [FormatSpec(name="text", summary="Text.", check=f"{HERE}:check", load=f"{HERE}:load")]


@hookimpl
def modelpress_passes():
    return [PassSpec(name="Append", summary="Add a text, piece by piece.", accepts=("text",), produces="text",
                     run=f"{HERE}:append", config=f"{HERE}:StepOptions")]


def open_model(options, ctx):
    path = ctx.folder / options.model_path
    if not path.is_dir():
        ctx.problem(f"{path} does not exist.", option="model_path")
        return None
    return ModelFacts(format="text", path=path, size=sum(p.stat().st_size for p in path.iterdir() if p.is_file()))


def check(folder):
    if not (folder / "text.txt").is_file():
        raise UserError(f"{folder} has no text.txt.")


class Loaded:
    def close(self):
        pass


def load(artifact, device):
    return Loaded()


def append(model, options, ctx):
    text = (model.path / "text.txt").read_text()
    for number in range(options.pieces):
        piece = ctx.checkpoint / str(number)
        if not piece.exists():
            time.sleep(options.seconds)
            piece.parent.mkdir(parents=True, exist_ok=True)
            (ctx.out / "draft").write_text(options.text * 1000)
            (ctx.out / "draft").rename(piece)
        ctx.progress(number + 1, options.pieces, "pieces")
    pieces = [(ctx.checkpoint / str(number)).read_text() for number in range(options.pieces)]
    (ctx.out / "text.txt").write_text(text + "".join(pieces))
    return ctx.artifact("text")
'''


@dataclass(frozen=True)
class Demo(Bench):
    """A Bench whose model is a text file beside the workflow."""

    def write(self, passes: Mapping[str, Any], **changes: Any) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        plugin = self.folder / "modelpress_plugins" / "campaign_text.py"
        if not plugin.exists():
            plugin.parent.mkdir()
            plugin.write_text(PLUGIN, encoding="utf-8")
            (self.folder / "model").mkdir(exist_ok=True)
            (self.folder / "model" / "text.txt").write_text("one two ")
        model = {"type": "TextModel", "model_path": "model"}
        changes = {"input_model": model, "data_configs": None, "plugins": [plugin.name], **changes}
        return super().write(passes, **changes)


def steps(*texts: str, **options: Any) -> dict[str, Any]:
    """Passes that append those texts."""
    return {f"step{number}": {"type": "Append", "text": text, **options} for number, text in enumerate(texts)}
