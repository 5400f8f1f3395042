"""Arrays are found, told of before they are loaded, and loaded one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import JsonValue

from modelpress.api import ArrayFacts, DataContext, UserError
from modelpress.testing import DataContract, RecordingPlan
from modelpress_plugins.tensor_data.config import TensorDataOptions
from modelpress_plugins.tensor_data.describe import describe_arrays
from modelpress_plugins.tensor_data.source import ArraySource, open_arrays


def options(load: Mapping[str, object], **pre: object) -> TensorDataOptions:
    return TensorDataOptions.parse(
        {"load_dataset_config": dict(load), **({"pre_process_data_config": pre} if pre else {})}
    )


def opened(folder: Path, load: Mapping[str, object], **pre: object) -> ArraySource:
    return open_arrays(options(load, **pre), DataContext(folder))


def told(folder: Path, load: Mapping[str, object], **pre: object) -> list[str]:
    plan = RecordingPlan(folder)
    describe_arrays(options(load, **pre), plan)
    return plan.problems


def arrays(folder: Path, count: int = 3) -> Path:
    """So many .npz files with ids and a mask, of their own length each."""
    folder.mkdir(parents=True)
    for number in range(count):
        ids = np.arange(number + 2) + number
        np.savez(folder / f"{number}.npz", input_ids=ids, attention_mask=np.ones_like(ids))
    return folder


class TestTensorDataContainer(DataContract):
    data_name = "TensorDataContainer"

    def make_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return {"load_dataset_config": {"data_dir": str(arrays(folder))}}


def test_a_npz_is_a_sample(tmp_path: Path) -> None:
    load = {"data_dir": str(arrays(tmp_path / "d"))}
    plan = RecordingPlan(tmp_path)
    facts = describe_arrays(options(load), plan)
    assert (facts.columns, facts.rows) == (("input_ids", "attention_mask"), 3)
    assert facts.arrays["input_ids"] == ArrayFacts("int64", (2,))
    rows = list(opened(tmp_path, load).records())
    assert [row["input_ids"].tolist() for row in rows] == [[0, 1], [1, 2, 3], [2, 3, 4, 5]]


def test_stacked_arrays_hold_many_samples(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", x=np.arange(12).reshape(4, 3), y=np.arange(4))
    load = {"data_files": str(tmp_path / "all.npz"), "stacked": True, "max_samples": 3}
    facts = describe_arrays(options(load), RecordingPlan(tmp_path))
    assert (facts.rows, facts.arrays["x"], facts.arrays["y"].shape) == (3, ArrayFacts("int64", (3,)), ())
    assert [int(row["y"]) for row in opened(tmp_path, load).records()] == [0, 1, 2]


def test_a_folder_for_each_input(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for number in range(2):
            np.save(tmp_path / "d" / name / f"{number}.npy", np.full(2, number, np.float32))
    load = {"data_dir": str(tmp_path / "d"), "input_names": ["x", "y"]}
    assert describe_arrays(options(load), RecordingPlan(tmp_path)).rows == 2
    assert [sorted(row) for row in opened(tmp_path, load).records()] == [["x", "y"]] * 2
    (tmp_path / "d" / "y" / "1.npy").unlink()
    assert told(tmp_path, load) == ["Each sample needs a file of each input; there are 2 of x, 1 of y."]


def test_raw_numbers_as_olive_names_them(tmp_path: Path) -> None:
    for number in range(3):
        np.full((2, 3), number, np.int32).tofile(tmp_path / f"{number}.raw")
    (tmp_path / "order.txt").write_text("2.raw\n0.raw\n")
    load = {
        "type": "raw_dataset", "data_dir": str(tmp_path), "input_names": ["x"], "input_shapes": [[2, 3]],
        "input_types": ["int32"], "input_order_file": "order.txt",
    }  # fmt: skip
    assert told(tmp_path, load) == []
    assert [int(row["x"][0, 0]) for row in opened(tmp_path, load).records()] == [2, 0]
    assert "has 24 bytes; int32 [2, 4] has 32" in told(tmp_path, {**load, "input_shapes": [[2, 4]]})[0]


def image(folder: Path) -> Path:
    """4 wide, 2 high: red on the left, blue on the right."""
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[:, :2, 0], pixels[:, 2:, 2] = 255, 255
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "0.png")
    return folder


def read(folder: Path, **pre: object) -> np.ndarray[Any, Any]:
    (row,) = opened(folder, {"data_dir": str(folder), "input_names": ["x"]}, **pre).records()
    return np.asarray(row["x"])


class TestImages:
    def test_are_read_as_they_are(self, tmp_path: Path) -> None:
        pixels = read(image(tmp_path / "d"))
        assert (pixels.shape, pixels.dtype, float(pixels.max())) == ((3, 2, 4), np.float32, 1.0)
        assert pixels[0, 0].tolist() == [1, 1, 0, 0]

    def test_are_normed_in_the_order_of_their_channels(self, tmp_path: Path) -> None:
        pixels = read(image(tmp_path / "d"), channels="bgr", layout="HWC", mean=[0.5], std=[0.5, 0.5, 1.0])
        assert pixels.shape == (2, 4, 3)
        assert pixels[0, 0].tolist() == [-1, -1, 0.5]

    @pytest.mark.parametrize(
        ("resize", "red"), [("stretch", [255, 0]), ("crop", [255, 0]), ("pad", [255, 0])]
    )
    def test_get_their_size(self, tmp_path: Path, resize: str, red: list[int]) -> None:
        pixels = read(image(tmp_path / "d"), size=[2, 2], resize=resize, dtype="uint8")
        assert pixels.shape == (3, 2, 2)
        assert abs(int(pixels[0, 0, 0]) - red[0]) < 80
        below = pixels[:, 1].sum()
        assert (below == 0) == (resize == "pad"), "a wide image leaves room below"

    def test_are_gray(self, tmp_path: Path) -> None:
        assert read(image(tmp_path / "d"), channels="gray").shape == (1, 2, 4)

    def test_that_are_none_are_told_when_they_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "0.png").write_bytes(b"no image")
        with pytest.raises(UserError, match=r"0\.png cannot be read"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ({}, "Give data_dir or data_files, one of the two"),
        ({"data_dir": "d", "data_files": "d/0.npz"}, "Give data_dir or data_files, one of the two"),
        ({"data_dir": "empty"}, "holds no .npz or .npy files, or images"),
        ({"data_files": "one.npy"}, "one.npy is one input of a sample, and nothing says which. Name it in"),
        ({"data_dir": "d", "input_names": ["x", "y"], "input_dirs": ["x", "y"]}, "has no folder 'x'"),
        ({"data_dir": "d", "input_names": ["x"], "input_shapes": [[1], [2]]}, "There are 1 input_names"),
        ({"data_files": "broken.npz"}, "broken.npz is no file of arrays"),
        ({"data_files": "objects.npy", "input_names": ["x"]}, "it holds Python objects, which are not read"),
        ({"data_files": ["d/0.npz", "other.npz"]}, "The samples differ: one has attention_mask, input_ids"),
        ({"data_dir": "d", "stacked": True, "max_samples": 0}, ""),
        ({"data_dir": "d", "input_order_file": "no.txt"}, "There is no file"),
        ({"type": "imagenet", "data_dir": "d"}, "There is no component 'imagenet' for arrays"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_before_any_is_loaded(
    tmp_path: Path, load: dict[str, Any], message: str
) -> None:
    arrays(tmp_path / "d")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    for key in ("data_dir", "data_files"):
        if isinstance(load.get(key), str):
            load = {**load, key: str(tmp_path / load[key])}
        elif key in load:
            load = {**load, key: [str(tmp_path / name) for name in load[key]]}
    if not message:
        with pytest.raises(ValueError, match="greater than or equal to 1"):
            options(load)
        return
    assert message in told(tmp_path, load)[0]


def test_text_is_not_asked_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "0.npz", x=np.zeros(3))
    source = opened(tmp_path, {"data_dir": str(tmp_path)})
    with pytest.raises(UserError, match=r"holds arrays \(x\), and no text"):
        source.samples(None)
    with pytest.raises(UserError, match="no prompts and answers"):
        source.exchanges()
