"""Small passes over a text file, for the contract of systems. They run wherever a worker does."""

from __future__ import annotations

import os
import signal
import time

from modelpress.artifact import Artifact
from modelpress.context import PassContext
from modelpress.errors import PassError
from modelpress.options import Options


def shout(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    text = (model.path / "text.txt").read_text(encoding="utf-8")
    ctx.progress(1, 1, "texts")
    ctx.note("it was shouted: é")
    return _text(ctx, text.upper())


def fail(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    raise PassError("It cannot be done.", "Do something else.")


def die(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return _text(ctx, "never")


def count_tries(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    tries = ctx.checkpoint / "tries"
    count = int(tries.read_text(encoding="utf-8")) + 1 if tries.exists() else 1
    tries.write_text(str(count), encoding="utf-8")
    return _text(ctx, str(count))


def tick(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    """Goes on until it is ended, and shows that it does."""
    number = 0
    while not (ctx.checkpoint / "stop").exists():
        number += 1
        (ctx.checkpoint / "ticks").write_text(str(number), encoding="utf-8")
        ctx.progress(number, 0, "ticks")
        time.sleep(0.05)
    return _text(ctx, str(number))


def _text(ctx: PassContext, text: str) -> Artifact:
    (ctx.out / "text.txt").write_text(text, encoding="utf-8")
    return ctx.artifact("text")
