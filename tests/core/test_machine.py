"""What a machine refuses is told as what was found, what was expected and what to do, and is never a bug."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from modelpress.cli.failure import report_failure
from modelpress.engine.job import input_path
from modelpress.errors import DiskFull, HostError, UserError
from modelpress.machine import explain, is_refusal, refusal


@pytest.mark.parametrize(
    ("number", "why", "todo"),
    [
        (errno.EACCES, "has no permission", "ls -ld"),
        (errno.EROFS, "can only be read", "--cache-dir"),
        (errno.ENOENT, "it is not there, or no more", "run the same command again"),
        (errno.ENOTDIR, "a file, where a folder was expected", "MODELPRESS_CACHE"),
        (errno.ENAMETOOLONG, "longer than the file system takes", "shorter names"),
        (errno.ELOOP, "leads back to itself", "Remove the link"),
        (errno.EMFILE, "too many files are open", "ulimit -n"),
        (errno.EIO, "its disk fails", "Look at the disk"),
        (errno.ESTALE, "does not answer", "Mount it again"),
    ],
)
def test_a_refusal_names_the_path_the_reason_and_the_way_out(
    number: int, why: str, todo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_failure(OSError(number, "in the system's words", "/x/model")) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: /x/model cannot be used: ")
    assert why in told.split("\n")[0]
    assert todo in told.split("\n")[1]
    assert "bug" not in told


def test_a_full_disk_is_told_with_what_is_free(tmp_path: Path) -> None:
    found = explain(OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "model")))
    assert isinstance(found, DiskFull)
    assert str(tmp_path) in found.message
    assert "are free now" in found.message


def test_other_errors_of_the_system_stay_bugs() -> None:
    assert explain(OSError(errno.EINVAL, "Invalid argument", "/x")) is None
    assert explain(OSError("a library's own")) is None


def test_an_error_without_a_name_is_told_with_the_folder_of_the_work() -> None:
    found = explain(OSError(errno.EROFS, "x"), Path("/cache/jobs/1"))
    assert isinstance(found, UserError)
    assert found.message.startswith("/cache/jobs/1 cannot be used: its file system")


def test_a_path_is_told_with_what_could_not_be_done() -> None:
    message, hint = refusal("x.json cannot be read", PermissionError(errno.EACCES, "Permission denied"))
    assert message.startswith("x.json cannot be read: this user")
    assert hint.startswith("Give it the rights")
    assert refusal("x.json cannot be read", ValueError("it has no seal"), "Make it again.") == (
        "x.json cannot be read: it has no seal.",
        "Make it again.",
    )


def test_what_a_pass_does_not_find_is_its_own_fault_while_its_folder_is_there(tmp_path: Path) -> None:
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "weights.bin")
    assert not is_refusal(missing, tmp_path)
    assert is_refusal(missing, tmp_path / "gone")
    assert is_refusal(OSError(errno.EROFS, "x"), tmp_path)
    assert not is_refusal(ValueError("x"), tmp_path)


def test_an_input_that_somebody_removed_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="where it was put: something has removed it") as raised:
        input_path(tmp_path, "model")
    assert raised.value.hint.startswith("Run the same command again")
