"""Small ONNX models, and the real ones that packages carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest

import modelpress
from modelpress.events import Event, Log


@pytest.fixture
def packaged() -> Callable[[str, str], Path]:
    """A model that a package of the development group carries; the test is skipped where it is not here."""

    def find(package: str, name: str) -> Path:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            pytest.skip(f"{package} is not installed")
        return next(Path(spec.submodule_search_locations[0]).rglob(name))

    return find


@dataclass(frozen=True)
class Pressed:
    """What a run gave. notes: what it told."""

    folder: Path
    notes: list[str]
    metrics: Mapping[str, float]

    @property
    def graph(self) -> onnx.ModelProto:
        return onnx.load(self.folder / "model.onnx")


@pytest.fixture
def press(tmp_path: Path) -> Callable[..., Pressed]:
    """Run passes on a model, in this process."""

    def run(model: Path | Mapping[str, object], *passes: Mapping[str, object], **more: object) -> Pressed:
        named = {"model_path": str(model)} if isinstance(model, Path) else dict(model)
        workflow = {
            "input_model": {"type": "ONNXModel", **named},
            "passes": {f"step{i}": dict(step) for i, step in enumerate(passes)},
            **more,
        }
        told: list[str] = []

        def tell(event: Event) -> None:
            if isinstance(event, Log):
                told.append(event.message)

        result = modelpress.run(
            workflow,
            output_dir=tmp_path / "output",
            cache_dir=tmp_path / "cache",
            in_process=True,
            on_event=tell,
        )
        return Pressed(tmp_path / "output" / "model", told, result.metrics)

    return run
