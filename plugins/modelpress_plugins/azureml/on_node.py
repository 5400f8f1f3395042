"""Runs one job on a node of a compute target: `python on_node.py JOB DONE CODE [NAME=PATH …]`.

Standard library alone: it is carried there beside the job, and starts the worker with the code that came with
it. JOB: folder with job.json. DONE: a mounted folder that outlives the node; what is there already is from a
node that was taken away. CODE: a zip file. NAME=PATH: where each input is mounted.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from types import FrameType

_ANSWERS = ("result.json", "error.json")
_SECONDS = float(os.environ.get("MODELPRESS_CARRY_SECONDS", "5"))
"""Between two looks at what the worker has told and kept."""


def main(arguments: list[str]) -> int:
    """Exit code 0 when the job was done, 1 when it failed and says why, 3 when the worker died."""
    job, done, code = (Path(text) for text in arguments[:3])
    work = Path.cwd() / "modelpress-job"
    _lay_out(work, job, done, code, dict(text.split("=", 1) for text in arguments[3:]))
    asked = json.loads((work / "job.json").read_text(encoding="utf-8"))
    environment = {**os.environ, "PYTHONPATH": str(work / "code"), "PYTHONUTF8": "1"}
    secrets = _secrets(asked.get("secrets") or [])
    if vault := os.environ.get("MODELPRESS_HF_TOKEN_VAULT"):
        environment["HF_TOKEN"] = _from_vault(vault, "hf-token")
    worker = subprocess.Popen(
        [sys.executable, "-m", "modelpress.worker", "--serve"],
        env=environment, cwd=work, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip

    def end(number: int, frame: FrameType | None) -> None:
        worker.send_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, end)
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps({"folder": str(work), "secrets": secrets}).encode() + b"\n")
    worker.stdin.flush()
    carrier = _Carrier(work, done)
    answered = worker.stdout.readline().strip() == b"done"
    worker.stdin.close()
    worker.wait()
    carrier.finish()
    if not answered and not any((work / name).exists() for name in _ANSWERS):
        print(f"The worker ended without an answer, exit code {worker.returncode}.", flush=True)
        return 3
    return 0 if (work / "result.json").exists() else 1


def _lay_out(work: Path, job: Path, done: Path, code: Path, inputs: dict[str, str]) -> None:
    for name in ("out", "scratch", "inputs/data-folder", "checkpoint"):
        (work / name).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(job / "job.json", work / "job.json")
    for checkpoint in (job / "checkpoint", done / "checkpoint"):
        if checkpoint.is_dir():
            shutil.copytree(checkpoint, work / "checkpoint", dirs_exist_ok=True)
    with zipfile.ZipFile(code) as archive:
        archive.extractall(work / "code")
    for name, path in inputs.items():
        (work / "inputs" / f"{name}.ref").write_text(path, encoding="utf-8")


def _secrets(names: list[str]) -> dict[str, str]:
    """Of the workspace's key vault: the secret `ACME_TOKEN` is `acme-token` there."""
    vault = os.environ.get("MODELPRESS_VAULT", "")
    return {name: _from_vault(vault, name.lower().replace("_", "-")) for name in names} if vault else {}


def _from_vault(vault: str, name: str) -> str:
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - of the node's environment, if asked for
    from azure.keyvault.secrets import SecretClient  # noqa: PLC0415

    return SecretClient(vault, DefaultAzureCredential()).get_secret(name).value or ""


class _Carrier:
    """Carries what the worker tells and keeps to the folder that outlives the node, while it runs."""

    def __init__(self, work: Path, done: Path) -> None:
        self._work, self._done = work, done
        self._seen: dict[Path, tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        while not self._over.wait(_SECONDS):
            self._turn()

    def _turn(self) -> None:
        self._copy(self._work / "events.jsonl")
        files = [file for file in (self._work / "checkpoint").rglob("*") if file.is_file()]
        # In the order in which they were finished: the mark that a checkpoint is whole comes last.
        for file in sorted(files, key=_modified):
            self._copy(file)
        here = {file.relative_to(self._work) for file in files}
        for old in (self._done / "checkpoint").rglob("*"):
            if old.is_file() and old.relative_to(self._done) not in here:
                old.unlink(missing_ok=True)

    def finish(self) -> None:
        """Carry the rest, the answer last: who sees it knows that all is there."""
        self._over.set()
        self._thread.join()
        self._turn()
        self._copy(self._work / "log.txt")
        if (self._work / "result.json").exists():
            shutil.copytree(self._work / "out", self._done / "out", dirs_exist_ok=True)
        for name in _ANSWERS:
            self._copy(self._work / name)

    def _copy(self, file: Path) -> None:
        try:
            told = file.stat()
            now = told.st_size, told.st_mtime_ns
            if self._seen.get(file) == now:
                return
            target = self._done / file.relative_to(self._work)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            self._seen[file] = now
        except FileNotFoundError:
            return  # the worker has taken it away


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return time.time()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
