"""Reading and writing safetensors as bytes: layouts, shards, damage, a full disk."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from modelpress.checkpoint import Checkpoint, read_header
from modelpress.checkpoint_writer import CheckpointWriter
from modelpress.errors import PassError, UserError

TENSORS = {
    "b.weight": torch.arange(12, dtype=torch.float32).view(3, 4),
    "a.weight": torch.arange(6, dtype=torch.bfloat16).view(2, 3),
    "flags": torch.tensor([True, False, True]),
    "empty": torch.zeros(0, 4),
    "scalar": torch.tensor(7),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def raw(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def write_raw(path: Path, tensors: dict[str, Any], data: bytes) -> None:
    path.write_bytes(raw(json.dumps(tensors).encode(), data))


def test_names_shapes_and_bytes_are_those_of_safetensors(folder: Path) -> None:
    with Checkpoint(folder) as checkpoint:
        assert set(checkpoint.names()) == set(TENSORS)
        assert checkpoint.metadata == {"format": "pt"}
        assert checkpoint.nbytes == sum(t.nbytes for t in TENSORS.values())
        for name, tensor in TENSORS.items():
            info = checkpoint.info(name)
            assert info.shape == tuple(tensor.shape)
            expected = tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
            assert bytes(checkpoint.read(name)) == expected
            assert info.nbytes == tensor.nbytes


def test_a_part_of_a_tensor_is_read(folder: Path) -> None:
    with Checkpoint(folder / "model.safetensors") as checkpoint:
        whole = bytes(checkpoint.read("b.weight"))
        assert bytes(checkpoint.read("b.weight", 16, 32)) == whole[16:32]
        assert bytes(checkpoint.read("b.weight", 40, 999)) == whole[40:]
        buffer = memoryview(bytearray(8))
        checkpoint.read_into("b.weight", buffer, 4)
        assert bytes(buffer) == whole[4:12]


def test_what_is_read_may_be_changed(folder: Path) -> None:
    with Checkpoint(folder) as checkpoint:
        checkpoint.read("b.weight")[0] = 255
        assert checkpoint.read("b.weight")[0] == 0


def shard(folder: Path, *, index: dict[str, str] | None = None) -> Path:
    """Two shards whose names are in the other order than the tensors."""
    save_file({"b": torch.ones(2), "extra": torch.ones(1)}, folder / "x-00001.safetensors")
    save_file({"a": torch.zeros(2)}, folder / "x-00002.safetensors")
    names = index or {"a": "x-00002.safetensors", "b": "x-00001.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return folder


def test_shards_in_odd_order_and_extra_tensors_are_read(tmp_path: Path) -> None:
    with Checkpoint(shard(tmp_path)) as checkpoint:
        assert set(checkpoint.names()) == {"a", "b", "extra"}
        assert struct.unpack("<2f", checkpoint.read("b")) == (1, 1)
        assert [file.name for file in checkpoint.files] == ["x-00001.safetensors", "x-00002.safetensors"]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"a": "x-00002.safetensors", "b": "x-9.safetensors"}, r"names x-9\.safetensors, which is not there"),
        ({"a": "x-00001.safetensors"}, "x-00001.safetensors lacks tensor a"),
        ({"a": "../x.safetensors"}, "a file outside its folder"),
    ],
)  # fmt: skip
def test_an_index_that_does_not_fit_is_an_error(index: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        Checkpoint(shard(tmp_path, index=index))


def test_a_tensor_in_two_shards_is_an_error(tmp_path: Path) -> None:
    shard(tmp_path)
    save_file({"a": torch.zeros(2), "b": torch.ones(2)}, tmp_path / "x-00002.safetensors")
    with pytest.raises(UserError, match=r"Tensor b is in both x-00001\.safetensors and .*x-00002"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 8, 40, -1])
def test_a_cut_file_is_an_error_that_names_it(keep: int, folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"model\.safetensors is not a whole safetensors file"):
        Checkpoint(folder)


@pytest.mark.parametrize(
    ("tensors", "data", "message"),
    [
        ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [1], 4, 8)}, bytes(8), "b overlaps another"),
        ({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, bytes(12), "leaves a gap"),
        ({"a": entry("F32", [3], 0, 8)}, bytes(8), "its shape"),
        ({"a": entry("F99", [1], 0, 4)}, bytes(4), "dtype F99 is not known"),
        ({"a": entry("F32", [-1], 0, 4)}, bytes(4), "negative"),
        ({"a": entry("F32", [1], 0, 4)}, bytes(9), "it has"),
        ({"a": {"dtype": "F32"}}, b"", "shape"),
        ({"a": 3}, b"", "not a whole"),
    ],
)
def test_a_header_that_contradicts_itself_is_an_error(
    tensors: Any, data: bytes, message: str, tmp_path: Path
) -> None:
    write_raw(tmp_path / "model.safetensors", tensors, data)
    with pytest.raises(UserError, match=message):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("header", [b"[]", b"nonsense", b'{"a": 1, "a": 2}', b"\xff\xfe", b"[" * 50_000])
def test_a_header_of_garbage_is_an_error(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(raw(header))
    with pytest.raises(UserError, match="not a whole safetensors file"):
        Checkpoint(tmp_path)


def test_a_header_length_past_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(UserError, match="its header should be"):
        Checkpoint(tmp_path)


def test_pickles_are_refused_and_the_way_out_is_told(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match="as a pickle only") as caught:
        Checkpoint(tmp_path)
    assert "save_pretrained" in caught.value.hint


def test_a_folder_without_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no adapter_model\.safetensors"):
        Checkpoint(tmp_path, stem="adapter_model")
    with pytest.raises(UserError, match="neither a folder nor"):
        Checkpoint(tmp_path / "nothing")


def layout(tensors: dict[str, torch.Tensor]) -> list[tuple[str, str, tuple[int, ...]]]:
    names = {torch.float32: "F32", torch.bfloat16: "BF16", torch.bool: "BOOL", torch.int64: "I64"}
    return [(name, names[t.dtype], tuple(t.shape)) for name, t in tensors.items()]


def data_of(tensor: torch.Tensor) -> bytes:
    return tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def write(folder: Path, **options: Any) -> None:
    with CheckpointWriter(folder, layout(TENSORS), **options) as writer:
        for name, tensor in TENSORS.items():
            data = data_of(tensor)
            writer.write(name, data[:5])
            writer.write(name, data[5:])


def test_what_is_written_is_read_by_safetensors(tmp_path: Path) -> None:
    write(tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_every_tensor_is_aligned_to_its_element(tmp_path: Path) -> None:
    write(tmp_path)
    sizes = {"F32": 4, "BF16": 2, "BOOL": 1, "I64": 8}
    assert all(t.start % sizes[t.dtype] == 0 for t in read_header(tmp_path / "model.safetensors")[1])


def test_shards_hold_no_more_than_asked_and_the_index_is_right(tmp_path: Path) -> None:
    write(tmp_path, max_shard_size=20, stem="weights")
    index = json.loads((tmp_path / "weights.safetensors.index.json").read_text())
    files = sorted(tmp_path.glob("*.safetensors"))
    assert files[0].name == f"weights-00001-of-{len(files):05d}.safetensors"
    for file in files:
        held = load_file(file)
        assert sum(t.nbytes for t in held.values()) <= 20 or len(held) == 1
        assert all(index["weight_map"][name] == file.name for name in held)
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in TENSORS.values())
    assert set(Checkpoint(tmp_path, stem="weights").names()) == set(TENSORS)


def test_tensors_may_come_in_any_order(tmp_path: Path) -> None:
    write(tmp_path / "one")
    with CheckpointWriter(tmp_path / "two", layout(TENSORS)) as writer:
        for name in reversed(TENSORS):
            writer.write(name, data_of(TENSORS[name]))
    assert (tmp_path / "one/model.safetensors").read_bytes() == (
        tmp_path / "two/model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("kernel", [True, False])
def test_tensors_are_copied_from_another_checkpoint(
    kernel: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernel:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    with Checkpoint(folder) as source, CheckpointWriter(tmp_path / "out", layout(TENSORS)) as writer:
        for name in source.names():
            writer.copy(source, name)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def test_a_copy_falls_back_where_the_file_systems_do_not_allow_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.EXDEV, "across file systems")

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    with Checkpoint(folder) as source, CheckpointWriter(tmp_path / "out", layout(TENSORS)) as writer:
        for name in source.names():
            writer.copy(source, name)
    assert torch.equal(load_file(tmp_path / "out/model.safetensors")["b.weight"], TENSORS["b.weight"])


def test_no_file_has_its_name_before_the_end(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, layout(TENSORS))
    writer.write("b.weight", data_of(TENSORS["b.weight"]))
    assert not (tmp_path / "model.safetensors").exists()
    with pytest.raises(PassError, match="tensors were not written to their end"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_an_error_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def fail_on_the_way() -> None:
        with CheckpointWriter(tmp_path, layout(TENSORS)) as writer:
            writer.write("b.weight", b"1234")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_on_the_way()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_told_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress.checkpoint_writer._free_bytes", lambda folder: 10)
    with pytest.raises(PassError, match=r"The disk is full: the weights need [\d,]+ bytes .* 10 are free"):
        CheckpointWriter(tmp_path, layout(TENSORS))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_fills_up_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = CheckpointWriter(tmp_path, layout(TENSORS))
    writer.write("b.weight", b"1234")
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - the writer closes it
    writer._open_files["model.safetensors"].close()
    writer._open_files["model.safetensors"] = full
    with pytest.raises(PassError, match="The disk is full"):
        writer.write("b.weight", b"5678")
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_declared_are_refused(tmp_path: Path) -> None:
    writer = CheckpointWriter(tmp_path, layout(TENSORS))
    with pytest.raises(ValueError, match="has 48 bytes, given 49"):
        writer.write("b.weight", bytes(49))
    writer.abort()
