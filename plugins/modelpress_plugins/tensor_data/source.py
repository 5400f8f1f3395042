"""Arrays, opened: one sample in memory at a time."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from modelpress.api import DataContext, Exchange, MissingDependencyError, Sample, UserError
from modelpress_plugins.tensor_data.config import PreProcessImages, TensorDataOptions
from modelpress_plugins.tensor_data.files import IMAGES, NPY, SampleFiles, raw_type, samples_of

Array = npt.NDArray[np.generic]
Row = dict[str, Array]


def open_arrays(config: TensorDataOptions, data: DataContext) -> ArraySource:
    """For DataContainerSpec.open. Nothing is kept."""
    load = config.load_dataset_config
    return ArraySource(load.data_dir or "arrays", config, samples_of(load))


@dataclass(frozen=True)
class ArraySource:
    """A modelpress.api.DataSource of arrays. kept: numbers of the rows that count; None for all."""

    name: str
    config: TensorDataOptions
    files: list[SampleFiles]
    kept: frozenset[int] | None = None
    prompt_template: str | None = None

    def records(self) -> Iterator[Mapping[str, Array]]:
        """Each sample by the names of the inputs."""
        rows = islice(self._rows(), self.config.load_dataset_config.max_samples)
        return (row for number, row in enumerate(rows) if self.kept is None or number in self.kept)

    def samples(self, tokenizer: object, limit: int | None = None, seed: int | None = None) -> list[Sample]:
        """Of arrays of ids. Raises UserError where there are none."""
        found = []
        for row in islice(self.records(), limit):
            if "input_ids" not in row:
                raise UserError(
                    f"{self.name} holds arrays ({', '.join(row)}), and no text.",
                    "Use data of text, or arrays of input_ids.",
                )
            ids = [int(number) for number in row["input_ids"].ravel()]
            mask = row.get("attention_mask")
            found.append(Sample(ids, list(ids), None if mask is None else [int(n) for n in mask.ravel()]))
        return found

    def exchanges(self, tokenizer: object = None) -> Iterator[Exchange]:
        raise UserError(f"{self.name} holds arrays: there are no prompts and answers in it.")

    def split(self, eval_size: float, seed: int) -> tuple[ArraySource, ArraySource]:
        numbers: dict[bytes, list[int]] = {}
        for number, row in enumerate(replace(self, kept=None).records()):
            if self.kept is None or number in self.kept:
                numbers.setdefault(_digest(row), []).append(number)
        groups = sorted(numbers)
        random.Random(seed).shuffle(groups)
        held = max(1, round(eval_size * len(groups)) if eval_size < 1 else int(eval_size))
        if held >= len(groups):
            raise UserError(
                f"{held} samples cannot be held out of {len(groups)}.", "Lower eval_dataset_size."
            )
        parts = (groups[held:], groups[:held])
        one, other = (frozenset(n for group in part for n in numbers[group]) for part in parts)
        return replace(self, kept=one), replace(self, kept=other)

    def _rows(self) -> Iterator[Row]:
        for sample in self.files:
            whole = self._read(sample)
            if not self.config.load_dataset_config.stacked:
                yield whole
                continue
            for number in range(min(len(array) for array in whole.values())):
                yield {name: array[number] for name, array in whole.items()}

    def _read(self, sample: SampleFiles) -> Row:
        row: Row = {}
        for name, file in sample.by_input.items():
            try:
                row.update(self._arrays(name, file))
            except (OSError, ValueError) as error:
                raise UserError(f"{file} cannot be read: {error}.") from error
        return row

    def _arrays(self, name: str, file: Path) -> Row:
        if name == "":
            with np.load(file, allow_pickle=False) as held:
                return {key: held[key] for key in held.files}
        if file.suffix == NPY:
            return {name: np.load(file, allow_pickle=False)}
        if file.suffix.lower() in IMAGES:
            return {name: read_image(file, self.config.pre_process_data_config)}
        load = self.config.load_dataset_config
        index = (load.input_names or []).index(name)
        shape = (load.input_shapes or [])[index]
        return {name: np.fromfile(file, np.dtype(raw_type(load, index))).reshape(shape)}


def read_image(file: Path, pre: PreProcessImages) -> Array:
    """(channels, height, width) or (height, width, channels), by the layout."""
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415 - images alone need it
    except ImportError:
        raise MissingDependencyError(
            "Images need Pillow, which is not installed.", "pip install pillow"
        ) from None
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened).convert("L" if pre.channels == "gray" else "RGB")
    if pre.size is not None:
        height, width = pre.size
        if pre.resize == "crop":
            image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        elif pre.resize == "pad":
            image = ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR, centering=(0, 0))
        else:
            image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pre.channels == "bgr":
        pixels = pixels[..., ::-1]
    if pre.dtype != "uint8":
        floats: Array = pixels.astype(np.float32) * np.float32(pre.scale)
        floats = np.divide(np.subtract(floats, pre.mean, dtype=np.float32), pre.std, dtype=np.float32)
        pixels = floats.astype(np.dtype(pre.dtype))
    return cast(Array, np.ascontiguousarray(pixels.transpose(2, 0, 1) if pre.layout == "CHW" else pixels))


def _digest(row: Mapping[str, Array]) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    for name in sorted(row):
        array = np.ascontiguousarray(row[name])
        state.update(f"{name} {array.dtype} {array.shape} ".encode())
        state.update(array.tobytes())
    return state.digest()
