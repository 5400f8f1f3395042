"""A training that is interrupted goes on to the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import Artifact
from modelpress_plugins.lora.checkpoints import last_complete, mark_complete

Press = Callable[..., Any]
WEIGHTS = "adapter_model.safetensors"
# 24 samples, 4 + 4 a step: 3 steps an epoch. Dropout and warm-up would show any state that is lost.
OPTIONS = {
    "r": 4,
    "lora_dropout": 0.2,
    "training_args": {
        "num_train_epochs": 3,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "learning_rate": 0.01,
        "warmup_steps": 2,
        "lr_scheduler_type": "cosine",
        "save_steps": 1,
    },
}


class Stop(Exception):
    """Raised in the middle of a training, as an interruption would."""


@pytest.mark.parametrize(
    ("strategy", "steps"), [("group_by_length", (1, 3, 4)), ("random", (5, 6))], ids=["grouped", "random"]
)
def test_interrupted_at_or_between_epochs_it_ends_with_the_same_bytes(
    press: Press, monkeypatch: pytest.MonkeyPatch, strategy: str, steps: tuple[int, ...]
) -> None:
    from modelpress_plugins.lora.trainer import AdapterTrainer

    options = {**OPTIONS, "training_args": {**OPTIONS["training_args"], "train_sampling_strategy": strategy}}
    whole, told = press("LoRA", options, folder="whole")
    expected = (whole.path / WEIGHTS).read_bytes()
    assert told.last_progress == (9, 9, "steps")
    train_step = AdapterTrainer.training_step
    for step in steps:

        def stop_in_next_step(self: Any, *args: Any, at: int = step, **options: Any) -> Any:
            if self.state.global_step == at:
                raise Stop
            return train_step(self, *args, **options)

        monkeypatch.setattr(AdapterTrainer, "training_step", stop_in_next_step)
        with pytest.raises(Stop):
            press("LoRA", options, folder=f"stopped-{step}")
        monkeypatch.setattr(AdapterTrainer, "training_step", train_step)
        resumed, told = press("LoRA", options, folder=f"stopped-{step}")
        assert f"Training goes on from step {step}." in told.notes
        assert (resumed.path / WEIGHTS).read_bytes() == expected, step


def test_an_evaluation_leaves_the_training_as_it_is(press: Press) -> None:
    """Or a run that resumes after one would go another way than one that made it."""
    quiet, _ = press("LoRA", {**OPTIONS, "eval_dataset_size": 4}, folder="quiet")
    args = {**OPTIONS["training_args"], "eval_strategy": "steps", "eval_steps": 1}
    watched, told = press(
        "LoRA", {**OPTIONS, "eval_dataset_size": 4, "training_args": args}, folder="watched"
    )
    assert len(told.reported("eval_loss")) > 2
    assert (quiet.path / WEIGHTS).read_bytes() == (watched.path / WEIGHTS).read_bytes()


def test_interrupted_after_the_last_step_nothing_is_trained_again(press: Press) -> None:
    options = {**OPTIONS, "training_args": {**OPTIONS["training_args"], "max_steps": 4}}
    whole, _ = press("LoRA", options)
    expected = (whole.path / WEIGHTS).read_bytes()
    again, told = press("LoRA", options)  # the same folder, so its last checkpoint is there
    assert "Training goes on from step 4." in told.notes
    assert (again.path / WEIGHTS).read_bytes() == expected


def test_killed_with_sigkill_it_ends_with_the_same_bytes(
    press: Press, small_model: Artifact, tmp_path: Path
) -> None:
    options = {**OPTIONS, "training_args": {**OPTIONS["training_args"], "num_train_epochs": 15}}
    unsaved = {**options["training_args"], "save_steps": 1000}
    whole, _ = press("LoRA", {**options, "training_args": unsaved}, folder="whole")
    killed = tmp_path / "killed"
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "import conftest as c; from modelpress.api import Artifact\n"
        "model = Artifact(Path(sys.argv[2]), 'hf-model', 'content:small')\n"
        f"c.press_here('LoRA', {options!r}, c.Sentences(), Path(sys.argv[3]), model)"
    )
    here = str(Path(__file__).parent)
    process = subprocess.Popen([sys.executable, "-c", script, here, str(small_model.path), str(killed)])
    try:
        wait_for(lambda: len(list((killed / "checkpoint").glob("checkpoint-*/complete.json"))) >= 2, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (killed / "out" / WEIGHTS).exists()
    resumed, told = press("LoRA", options, folder="killed")
    assert any(note.startswith("Training goes on from step") for note in told.notes)
    assert (resumed.path / WEIGHTS).read_bytes() == (whole.path / WEIGHTS).read_bytes()


def test_the_best_weights_are_given_also_when_all_steps_had_been_trained(press: Press) -> None:
    args = {**OPTIONS["training_args"], "load_best_model_at_end": True, "eval_strategy": "steps"}
    args |= {"eval_steps": 1, "save_strategy": "steps", "max_steps": 6}
    args |= {"metric_for_best_model": "eval_loss", "greater_is_better": True}  # so that it is an early one
    whole, _ = press("LoRA", {**OPTIONS, "eval_dataset_size": 4, "training_args": args})
    expected = (whole.path / WEIGHTS).read_bytes()
    checkpoints = whole.path.parent / "checkpoint"
    last = checkpoints / "checkpoint-6"
    assert (last / WEIGHTS).read_bytes() != expected
    assert expected in {(folder / WEIGHTS).read_bytes() for folder in checkpoints.iterdir()}
    again, told = press("LoRA", {**OPTIONS, "eval_dataset_size": 4, "training_args": args})
    assert "Training goes on from step 6." in told.notes
    assert (again.path / WEIGHTS).read_bytes() == expected


def test_a_checkpoint_without_its_mark_is_not_used(press: Press) -> None:
    options = {**OPTIONS, "training_args": {**OPTIONS["training_args"], "max_steps": 5}}
    whole, told = press("LoRA", options)
    expected = (whole.path / WEIGHTS).read_bytes()
    checkpoints = whole.path.parent / "checkpoint"
    (checkpoints / "checkpoint-5" / "complete.json").unlink()
    again, told = press("LoRA", options)
    assert "Training goes on from step 4." in told.notes
    assert (again.path / WEIGHTS).read_bytes() == expected


def test_a_checkpoint_that_was_cut_is_not_used_and_is_removed(tmp_path: Path) -> None:
    for step in (1, 2):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / WEIGHTS).write_bytes(b"x" * 100)
        mark_complete(folder, step, finished=False)
    os.truncate(tmp_path / "checkpoint-2" / WEIGHTS, 50)
    (tmp_path / "checkpoint-3").mkdir()
    told: list[str] = []
    found = last_complete(tmp_path, told.append)
    assert found is not None
    assert found.step == 1
    assert told == ["checkpoint-2 was kept for another try and is damaged: it is made again."]
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-1"]


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert last_complete(tmp_path, pytest.fail) is None


def test_checkpoints_are_made_by_time_when_nobody_says_when(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelpress_plugins.lora import trainer

    args = {name: value for name, value in OPTIONS["training_args"].items() if name != "save_steps"}
    made, _ = press("LoRA", {**OPTIONS, "training_args": args}, folder="short")
    assert not list((made.path.parent / "checkpoint").iterdir())  # 30 s have not gone by
    shutil.rmtree(made.path.parent)
    monkeypatch.setattr(trainer, "_SAVE_EVERY", 0.0)
    monkeypatch.setattr(trainer, "_SAVE_SHARE", 1e9)
    made, _ = press("LoRA", {**OPTIONS, "training_args": args}, folder="short")
    assert len(list((made.path.parent / "checkpoint").glob("checkpoint-*"))) == 2


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_checkpoint_with_a_changed_byte_is_not_gone_on_from(tmp_path: Path) -> None:
    """A flipped bit in an optimizer's state trains on, to other weights."""
    for step in (1, 2):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "optimizer.pt").write_bytes(b"momentum")
        mark_complete(folder, step, finished=False)
    (tmp_path / "checkpoint-2" / "optimizer.pt").write_bytes(b"mome\xeetum")
    told: list[str] = []
    saved = last_complete(tmp_path, told.append)
    assert saved is not None
    assert (saved.step, saved.finished) == (1, False)
    assert "checkpoint-2" in told[0]
