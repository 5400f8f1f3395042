"""Small passes over a text file, for the contract of systems. They run wherever a worker does."""

from __future__ import annotations

import os
import shutil
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


def copy(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    """The model, file by file."""
    shutil.copytree(model.path, ctx.out, dirs_exist_ok=True)
    return ctx.artifact("text")


def wait_and_copy(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    """The same, after the time that somebody needs to take the model away from where it came from."""
    time.sleep(1.0)
    return copy(model, options, ctx)


def count(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    """Tells twenty numbers, with the time between that the contract says."""
    pause = float((ctx.checkpoint / "pause").read_text(encoding="utf-8"))
    for number in range(20):
        ctx.report("number", number)
        time.sleep(pause)
    return _text(ctx, "20")


def large(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    """A gigabyte, or what the contract says, most of it zeros."""
    size = int((ctx.checkpoint / "size").read_text(encoding="utf-8"))
    with (ctx.out / "large.bin").open("wb") as file:
        file.write(b"begin")
        file.truncate(size)
        file.seek(size - 3)
        file.write(b"end")
    return ctx.artifact("text")


def leak(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    """Says a secret in every way that there is."""
    secret = ctx.secret(SECRET)
    print(f"the secret is {secret}")
    ctx.note(f"the secret is {secret}")
    ctx.report("secret", secret)
    (ctx.scratch / "secret").write_text(secret, encoding="utf-8")
    raise PassError(f"It failed with {secret}.", f"Is {secret} right?")


def borrow(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    """What a vendor's packages have: a namespace, data beside the code, an extension module."""
    import contract_space.press as press  # type: ignore[import-not-found]  # noqa: PLC0415 - shipped with it
    from contract_space.other import NAME  # type: ignore[import-not-found]  # noqa: PLC0415

    return _text(ctx, f"{press.table()} {press.digest(b'1')} {NAME}")


def look_around(model: Artifact, options: Options, ctx: PassContext) -> Artifact:
    """Which of the paths in the text are there, and which files of the job name the first of them."""
    paths = (model.path / "text.txt").read_text(encoding="utf-8").splitlines()
    seen = [path for path in paths if os.path.exists(path)]
    files = [file for file in sorted(ctx.out.parent.rglob("*")) if file.is_file()]
    told = [file.name for file in files if paths[0].encode() in file.read_bytes()]
    return _text(ctx, f"seen: {' '.join(seen)}; told in: {' '.join(told)}")


SECRET = "MODELPRESS_CONTRACT_TOKEN"
LARGE = 2**30


def _text(ctx: PassContext, text: str) -> Artifact:
    (ctx.out / "text.txt").write_text(text, encoding="utf-8")
    return ctx.artifact("text")
