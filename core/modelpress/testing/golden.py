"""Golden results: what a pass gave when its version was set, kept beside its test.

Weights are kept as statistics, since another processor, or another number of threads, rounds otherwise: a
few codes differ by one and means by less than a thousandth. A change of the method moves them by more.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel, JsonValue

from modelpress.artifact import artifact_files
from modelpress.checkpoint import Checkpoint
from modelpress.provider import installed_versions

TOLERANCE = 0.02
"""Share of a tensor's spread by which a mean may differ."""
_STRETCHES = 8
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


class Golden(BaseModel):
    """facts: name -> value; a list is (spread, mean of each stretch). libraries: versions they came from."""

    facts: dict[str, JsonValue]
    libraries: dict[str, str]


def compare_with_golden(file: Path, folders: Mapping[str, Path], libraries: tuple[str, ...]) -> None:
    """Fail when what lies in the folders is not what the file says; write the file where there is none.

    Other libraries are no excuse: with them a difference is told as what may be theirs, and fails all the
    same. Whoever takes them looks at it once, and renews the file.
    """
    found = Golden(
        facts={f"{name}/{key}": value for name, folder in folders.items() for key, value in _facts(folder)},
        libraries=dict(installed_versions(libraries)),
    )
    if not file.exists():
        if os.environ.get("CI"):
            pytest.fail(f"There is no golden result {file}. Run the test at home and commit what it writes.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        pytest.skip(f"the golden result was written: commit {file}")
    kept = Golden.model_validate_json(file.read_bytes())
    differences = list(_differences(kept.facts, found.facts))
    if not differences:
        return
    told = f"The result is not that of {file.name}:\n  " + "\n  ".join(differences[:8])
    others = sorted(set(found.libraries.items()) ^ set(kept.libraries.items()))
    if others:
        named = ", ".join(sorted({name for name, _ in others}))
        told += (
            f"\nIt was made with other versions of {named}, and the difference may be theirs: try those that "
            f"{file.name} names ({kept.libraries}). If it is, delete {file.name}, run again and commit what "
            "is written: versions of libraries are part of the cache key. If it is not,"
        )
    pytest.fail(
        f"{told}\nIf the change is meant, raise `version` of the spec, so that no cache gives the old "
        f"result; then delete {file.name} and run again."
    )


def _differences(kept: Mapping[str, JsonValue], found: Mapping[str, JsonValue]) -> Iterator[str]:
    for name in sorted({*kept, *found}):
        if name not in found or name not in kept:
            yield f"{name}: {'gone' if name in kept else 'new'}"
        elif not _alike(kept[name], found[name]):
            yield f"{name}: {found[name]}, before {kept[name]}"


def _alike(kept: JsonValue, found: JsonValue) -> bool:
    if isinstance(kept, list) and isinstance(found, list) and kept and found:
        numbers = [float(str(value)) for value in (*kept, *found)]
        spread = max(numbers[0], numbers[len(kept)], 1e-9)
        pairs = zip(numbers[: len(kept)], numbers[len(kept) :], strict=True)
        return len(kept) == len(found) and all(abs(a - b) <= TOLERANCE * spread for a, b in pairs)
    if isinstance(kept, float) and isinstance(found, int | float):
        return math.isclose(kept, found, rel_tol=1e-3)
    return kept == found


def _facts(folder: Path) -> Iterator[tuple[str, JsonValue]]:
    for path in artifact_files(folder):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".json":
            yield from _json_facts(name, json.loads(path.read_bytes()))
        elif path.suffix == ".safetensors":
            yield from _tensor_facts(path)
        else:
            yield f"{name} (bytes)", _statistics(path.read_bytes(), "|u1")


def _json_facts(name: str, value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    """Each scalar by its path. Versions of libraries are left out, and what is long is only counted."""
    if isinstance(value, dict):
        if len(value) > 100:
            yield f"{name} (keys)", len(value)
            return
        for key, child in value.items():
            if "version" not in key:
                yield from _json_facts(f"{name}:{key}", child)
    elif isinstance(value, list):
        yield f"{name} (list)", json.dumps(value) if len(value) < 20 else len(value)
    else:
        yield name, value


def _tensor_facts(path: Path) -> Iterator[tuple[str, JsonValue]]:
    with Checkpoint(path) as source:
        for name in source.names():
            info = source.info(name)
            yield f"{name} (type)", f"{info.dtype} {list(info.shape)}"
            yield name, _statistics(bytes(source.read(name)), info.dtype)


def _statistics(data: bytes, dtype: str) -> list[JsonValue]:
    """Spread, then the mean of each of eight stretches. Whole numbers are read as the codes of four bits that
    are packed in them: one code that rounds otherwise must not move a number of 32 bits by millions."""
    import numpy as np

    if not data:
        return []
    if dtype == "BF16":
        values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype("f8")
    elif dtype in _FLOATS:
        values = np.frombuffer(data, _FLOATS[dtype]).astype("f8")
    else:
        raw = np.frombuffer(data, "|u1")
        values = np.stack([raw & 15, raw >> 4], axis=1).reshape(-1).astype("f8")
    means = [float(part.mean()) for part in np.array_split(values, min(_STRETCHES, len(values)))]
    return [round(number, 9) for number in (float(values.std()) or abs(means[0]), *means)]
