"""The finished model as one thing to hand on: a zip, or a folder that `docker build` makes an image of.

Both hold the model with its card, code that runs it, and the packages with versions that it was made with.
What is there already is replaced only where it is as modelpress wrote it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import xxhash

from modelpress.artifact import Artifact, artifact_files
from modelpress.config.workflow import Packaging
from modelpress.errors import UserError
from modelpress.files import move, write_whole
from modelpress.provider import installed_versions
from modelpress.usage import Usage

_DOCKERFILE, _CONTENT = "Dockerfile", "docker_content"
_SAMPLE, _REQUIREMENTS, _READ_ME = "sample.py", "requirements.txt", "README.md"
_MODEL = "model"
_LINE = re.compile(rb"# Written by modelpress; once edited, it is yours\. ([0-9a-f]{32})\n")
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in a zip: the same model gives the same bytes."""
_PACKED_BELOW = 2**20
"""Bytes of files that are compressed; weights do not get smaller, and are only copied."""
_CHUNK = 8 * 2**20


def package(wanted: Packaging, model: Artifact, usage: Usage | None, output_dir: Path) -> Path:
    """Make one package of the exported model. Returns the zip, or the Dockerfile.

    Raises UserError where something lies in its place that is not modelpress's.
    """
    for reason in obstacles([wanted], output_dir):
        raise UserError(reason, f"The model is in {model.path}.")
    texts = _texts(usage, wanted)
    try:
        return _zip(wanted, model, texts, output_dir) if wanted.is_zip else _docker(wanted, texts, output_dir)
    except OSError as error:
        raise UserError(
            f"The package {wanted.name} cannot be written: {error.strerror or error}.",
            f"The model is in {model.path}.",
        ) from error


def obstacles(packages: Sequence[Packaging], output_dir: Path) -> Iterator[str]:
    """Why packages may not be written, each as a sentence."""
    for wanted in packages:
        for path in _targets(wanted, output_dir):
            sound = _is_own_zip(path) if wanted.is_zip else _is_own_text(path)
            if os.path.lexists(path) and not sound:
                yield f"{path} was not written by modelpress, or was changed since."


def _targets(wanted: Packaging, output_dir: Path) -> Sequence[Path]:
    if wanted.is_zip:
        return [output_dir / f"{wanted.name}.zip"]
    content = output_dir / _CONTENT
    return [
        output_dir / _DOCKERFILE,
        output_dir / f"{_DOCKERFILE}.dockerignore",
        content / _SAMPLE,
        content / _REQUIREMENTS,
    ]


def _texts(usage: Usage | None, wanted: Packaging) -> Mapping[str, str]:
    """What lies beside the model, by name."""
    code = usage.code if usage else ""
    names = [re.split(r"[\[<>=! ]", name)[0] for name in usage.packages] if usage else []
    versions = installed_versions(names)
    pinned = [
        f"{text}=={versions[name]}" if name in versions else text
        for text, name in zip(usage.packages if usage else (), names, strict=True)
    ]
    requirements = "".join(f"{line}\n" for line in pinned)
    if wanted.requirements_file is not None:
        requirements = wanted.requirements_file.read_text(encoding="utf-8")
    sample = (
        '"""Runs the model beside it. `pip install -r requirements.txt` brings what it needs."""\n\n'
        "import os\nfrom pathlib import Path\n\n"
        f'os.chdir(Path(__file__).resolve().parent / "{_MODEL}")\n\n{code.strip()}\n'
        if code
        else '"""The card of the model, README.md in its folder, says how it is used."""\n'
    )
    return {_SAMPLE: sample, _REQUIREMENTS: requirements}


def _zip(wanted: Packaging, model: Artifact, texts: Mapping[str, str], output_dir: Path) -> Path:
    target = output_dir / f"{wanted.name}.zip"
    fresh = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    read_me = (
        f"`{_MODEL}/` is the model; its README.md, the card, says what it is and how it was made.\n\n"
        f"```\npip install -r {_REQUIREMENTS}\npython {_SAMPLE}\n```\n"
    )
    try:
        with zipfile.ZipFile(fresh, "w") as file:
            for name, text in {_READ_ME: read_me, **texts}.items():
                _add(file, f"{wanted.name}/{name}", text.encode())
            for path in artifact_files(model.path):
                inner = path.relative_to(model.path).as_posix()
                _add(file, f"{wanted.name}/{_MODEL}/{inner}", path)
            file.comment = _comment(file)
        move(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)
    return target


def _add(file: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED if size < _PACKED_BELOW else zipfile.ZIP_STORED
    info.external_attr = 0o644 << 16
    info.file_size = size  # so that one above 4 GB gets the room that its numbers need
    with file.open(info, "w") as target:
        if isinstance(content, bytes):
            target.write(content)
            return
        with content.open("rb") as source:
            shutil.copyfileobj(source, target, _CHUNK)


def _comment(file: zipfile.ZipFile) -> bytes:
    listed = repr([(info.filename, info.CRC, info.file_size) for info in file.infolist()])
    return f"Written by modelpress. {xxhash.xxh3_128_hexdigest(listed.encode())}".encode()


def _is_own_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return file.comment == _comment(file)
    except (OSError, zipfile.BadZipFile):
        return False


def _docker(wanted: Packaging, texts: Mapping[str, str], output_dir: Path) -> Path:
    base = wanted.base_image or f"python:{sys.version_info[0]}.{sys.version_info[1]}-slim"
    steps = [
        f"# docker build -t {wanted.name.lower()} .",
        f"FROM {base}",
        "WORKDIR /app",
        f"COPY {_CONTENT}/{_REQUIREMENTS} {_REQUIREMENTS}",
        f"RUN pip install --no-cache-dir -r {_REQUIREMENTS}",
        f"COPY {_CONTENT}/{_SAMPLE} {_SAMPLE}",
        f"COPY {_MODEL} {_MODEL}",
        f'CMD ["python", "{_SAMPLE}"]',
    ]
    content = output_dir / _CONTENT
    content.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_whole(content / name, _owned(text))
    ignored = f"*\n!{_MODEL}\n!{_CONTENT}\n"
    write_whole(output_dir / f"{_DOCKERFILE}.dockerignore", _owned(ignored))
    write_whole(output_dir / _DOCKERFILE, _owned("\n".join(steps) + "\n"))
    return output_dir / _DOCKERFILE


def _owned(text: str) -> bytes:
    content = text.encode()
    digest = xxhash.xxh3_128_hexdigest(content)
    return f"# Written by modelpress; once edited, it is yours. {digest}\n".encode() + content


def _is_own_text(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    first = _LINE.match(content)
    return first is not None and first[1].decode() == xxhash.xxh3_128_hexdigest(content[first.end() :])
