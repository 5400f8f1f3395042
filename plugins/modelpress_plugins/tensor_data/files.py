"""Which files are which input of which sample, and what their headers say. Light."""

from __future__ import annotations

import ast
import math
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from modelpress.api import ArrayFacts, UserError, did_you_mean
from modelpress_plugins.tensor_data.config import LoadArrays, TensorDataOptions

NPZ, NPY = ".npz", ".npy"
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
_LOAD = "load_dataset_config"
_BYTES = {"bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "int32": 4, "uint32": 4,
          "float32": 4, "int64": 8, "uint64": 8, "float64": 8}  # fmt: skip
_KINDS = {"f": "float", "i": "int", "u": "uint"}


class FaultyData(UserError):
    """option: dotted path of the option concerned."""

    def __init__(self, message: str, hint: str = "", option: str = f"{_LOAD}.data_dir") -> None:
        super().__init__(message, hint)
        self.option = option


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """The files of a sample, by input; a .npz file, which holds all of them, under the empty name."""

    by_input: Mapping[str, Path]


def samples_of(load: LoadArrays) -> list[SampleFiles]:
    """All samples, in their order. Raises FaultyData when there are none, or they do not fit together."""
    if (load.data_dir is None) == (load.data_files is None):
        raise FaultyData("Give data_dir or data_files, one of the two.", option=_LOAD)
    names = load.input_names or []
    for option in ("input_shapes", "input_types", "input_dirs"):
        given: Sequence[object] | None = getattr(load, option)
        if given is not None and len(given) != len(names):
            raise FaultyData(
                f"There are {len(names)} input_names, and {len(given)} entries of {option}.",
                option=f"{_LOAD}.{option}",
            )
    folders = _folders(load)
    if folders:
        return _side_by_side({name: _ordered(load, folder) for name, folder in folders.items()})
    files = _ordered(load, Path(load.data_dir)) if load.data_dir else _listed(load)
    if all(file.suffix == NPZ for file in files):
        return [SampleFiles({"": file}) for file in files]
    if len(names) != 1:
        raise FaultyData(
            f"{files[0].name} is one input of a sample, and "
            + (f"input_names has {len(names)}." if names else "nothing says which."),
            "Name it in input_names, or make a folder for each input in data_dir.",
            f"{_LOAD}.input_names",
        )
    return [SampleFiles({names[0]: file}) for file in files]


def _folders(load: LoadArrays) -> dict[str, Path]:
    """The folder of each input; none where all files lie in one place."""
    if load.data_dir is None or not load.input_names:
        return {}
    root = Path(load.data_dir)
    dirs = dict(zip(load.input_names, load.input_dirs or load.input_names, strict=True))
    lacking = [name for name in dirs.values() if not (root / name).is_dir()]
    if not lacking:
        return {name: root / folder for name, folder in dirs.items()}
    there = sorted(path.name for path in root.iterdir() if path.is_dir())
    if load.input_dirs or (len(dirs) > 1 and there):
        raise FaultyData(
            f"{root} has no folder {lacking[0]!r}.",
            did_you_mean(lacking[0], there, what="It has"),
            f"{_LOAD}.{'input_dirs' if load.input_dirs else 'input_names'}",
        )
    return {}


def _ordered(load: LoadArrays, folder: Path) -> list[Path]:
    if load.input_order_file is not None:
        listed = Path(load.data_dir or "") / load.input_order_file
        if not listed.is_file():
            raise FaultyData(f"There is no file {listed}.", option=f"{_LOAD}.input_order_file")
        lines = listed.read_text(encoding="utf-8").splitlines()
        files = [folder / Path(line.strip()).name for line in lines if line.strip()]
        if absent := [file for file in files if not file.is_file()]:
            raise FaultyData(
                f"{listed.name} names {absent[0].name}, which is not in {folder}.",
                option=f"{_LOAD}.input_order_file",
            )
    else:
        files = sorted(path for path in folder.iterdir() if path.is_file() and _is_taken(path, load))
    if not files:
        what = f"*{load.input_suffix}" if load.input_suffix else ".npz or .npy files, or images"
        raise FaultyData(f"{folder} holds no {what}.")
    return files


def _is_taken(path: Path, load: LoadArrays) -> bool:
    if path.name.startswith(".") or path.name == load.input_order_file:
        return False
    if load.input_suffix is not None:
        return path.name.endswith(load.input_suffix)
    return path.suffix.lower() in {NPZ, NPY, *IMAGES} or load.input_shapes is not None


def _listed(load: LoadArrays) -> list[Path]:
    given = load.data_files
    files = [Path(given)] if isinstance(given, str) else [Path(file) for file in given or ()]
    if not files:
        raise FaultyData("data_files names no file.", option=f"{_LOAD}.data_files")
    return [file for file in files if load.input_suffix is None or file.name.endswith(load.input_suffix)]


def _side_by_side(files: Mapping[str, list[Path]]) -> list[SampleFiles]:
    counts = {name: len(found) for name, found in files.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise FaultyData(f"Each sample needs a file of each input; there are {told}.")
    rows = zip(*files.values(), strict=True)
    return [SampleFiles(dict(zip(files, row, strict=True))) for row in rows]


def arrays_of(sample: SampleFiles, options: TensorDataOptions) -> dict[str, ArrayFacts]:
    """Type and shape of each input of a sample, as far as headers tell. Raises FaultyData for a file that is
    none of arrays."""
    found: dict[str, ArrayFacts] = {}
    for name, file in sample.by_input.items():
        if name == "":
            found.update(_in_zip(file))
        elif file.suffix == NPY:
            found[name] = _of_file(file)
        elif file.suffix.lower() in IMAGES:
            found[name] = _image(options)
        else:
            found[name] = _raw(name, file, options.load_dataset_config)
    return found


def _in_zip(file: Path) -> Iterator[tuple[str, ArrayFacts]]:
    try:
        with zipfile.ZipFile(file) as held:
            for name in held.namelist():
                with held.open(name) as entry:
                    yield name.removesuffix(NPY), read_header(entry)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise FaultyData(f"{file} is no file of arrays: {error}.", "Write it with numpy.savez.") from None


def _of_file(file: Path) -> ArrayFacts:
    try:
        with file.open("rb") as opened:
            return read_header(opened)
    except (OSError, ValueError) as error:
        raise FaultyData(f"{file} is no file of an array: {error}.", "Write it with numpy.save.") from None


def read_header(file: IO[bytes]) -> ArrayFacts:
    """Of a .npy file: its format is told in numpy.lib.format. Raises ValueError."""
    if file.read(6) != b"\x93NUMPY":
        raise ValueError("it does not begin as one")
    major, _ = file.read(2)
    size = struct.unpack("<H", file.read(2)) if major == 1 else struct.unpack("<I", file.read(4))
    try:
        told = ast.literal_eval(file.read(size[0]).decode("utf-8" if major > 2 else "latin-1"))
        kind, shape = str(told["descr"]), tuple(int(dim) for dim in told["shape"])
    except (SyntaxError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("its header is damaged") from error
    letter, width = kind.lstrip("<>|=")[:1], kind.lstrip("<>|=")[1:]
    if letter == "O":
        raise ValueError("it holds Python objects, which are not read")
    if letter == "b":
        return ArrayFacts("bool", shape)
    if letter in _KINDS and width.isdigit():
        return ArrayFacts(f"{_KINDS[letter]}{8 * int(width)}", shape)
    return ArrayFacts("string" if letter in "SU" else kind, shape)


def _raw(name: str, file: Path, load: LoadArrays) -> ArrayFacts:
    index = (load.input_names or []).index(name)
    if load.input_shapes is None:
        raise FaultyData(
            f"Nothing says what shape {file.name} has.",
            "Raw numbers need input_shapes and input_types.",
            f"{_LOAD}.input_shapes",
        )
    dtype, shape = raw_type(load, index), tuple(load.input_shapes[index])
    wanted, there = math.prod(shape) * _BYTES[dtype], file.stat().st_size
    if wanted != there:
        raise FaultyData(
            f"{file} has {there:,} bytes; {dtype} {list(shape)} has {wanted:,}.",
            option=f"{_LOAD}.input_shapes",
        )
    return ArrayFacts(dtype, shape)


def raw_type(load: LoadArrays, index: int) -> str:
    """Of the numbers of an input, counted from 0."""
    return load.input_types[index] if load.input_types else "float32"


def _image(options: TensorDataOptions) -> ArrayFacts:
    pre = options.pre_process_data_config
    count = 1 if pre.channels == "gray" else 3
    height, width = pre.size or (-1, -1)
    return ArrayFacts(pre.dtype, (count, height, width) if pre.layout == "CHW" else (height, width, count))
