"""The main job on the embedded example: fine-tune, merge, press to int4, ask the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_int4_model_is_right_on_held_out_phrases(emotions_run) -> None:
    metrics = [s["metrics"]["accuracy"] for s in run_metrics(emotions_run)]
    merged, pressed = metrics
    assert pressed >= 0.93
    assert abs(merged - pressed) <= 0.02


def run_metrics(run) -> list[dict]:
    return [step for step in run.record["steps"] if "accuracy" in step["metrics"]]


def test_no_phrase_is_on_both_sides(emotions) -> None:
    rows = json.loads((emotions / "data" / "emotions.json").read_text())
    assert len({row["phrase"] for row in rows}) == len(rows) >= 1400
    assert {row["tone"] for row in rows} == {"sad", "joy", "fear", "surprise"}


def test_the_committed_data_is_what_the_generator_makes(emotions) -> None:
    command = [sys.executable, str(emotions / "make_data.py"), "--check"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_the_plain_output_says_of_each_step_that_it_begins_and_what_became_of_it(emotions_run) -> None:
    lines = [line for line in emotions_run.text.splitlines() if line.startswith("[")]
    begun = [line for line in lines if ": started" in line]
    last = {line.partition("]")[0]: line for line in lines}
    assert len(begun) == len(last) == len(emotions_run.record["steps"])
    assert "LoRA" in begun[0]
    assert "loss" in last[begun[0].partition("]")[0]]


def test_the_finished_model_answers(emotions_run, cli) -> None:
    done = cli("ask", emotions_run.output, "The grandfather wept at the graveside of his old friend.")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "sad"


def test_the_prompt_may_come_from_stdin(emotions_run, cli) -> None:
    done = cli("ask", emotions_run.output, stdin="We jumped for joy when our team won the cup.\n")
    assert done.stdout.strip() == "joy", done.stderr


def test_the_model_folder_is_complete(emotions_run) -> None:
    names = {path.name for path in (emotions_run.output / "model").iterdir()}
    assert {"genai_config.json", "model.onnx", "tokenizer.json", "modelpress.json"} <= names


def test_a_cached_run_is_quick_and_imports_no_torch(emotions_run, cli, emotions) -> None:
    code = (
        "import sys, time, modelpress; start = time.perf_counter()\n"
        "modelpress.run(sys.argv[1], cache_dir=sys.argv[2], output_dir=sys.argv[3])\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    arguments = [str(emotions / "workflow.yaml"), str(emotions_run.cache), str(emotions_run.output)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    done = cli("run", arguments[0], "--cache-dir", arguments[1], "--output-dir", arguments[2], "--json")
    assert all(step["cached"] for step in json.loads(done.stdout)["steps"])


def test_a_cut_file_in_the_cache_is_noticed_and_rebuilt(emotions_run, tmp_path: Path, cli, emotions) -> None:
    merged = next(s for s in emotions_run.record["steps"] if s["type"] == "MergeAdapterWeights")
    folder = emotions_run.cache / "artifacts" / merged["key"]
    before = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(before[:1000])
    done = cli(
        "run", emotions / "workflow.yaml", "--cache-dir", emotions_run.cache, "--output-dir", tmp_path / "o"
    )
    assert done.returncode == 0, done.stderr
    assert "damaged" in done.stdout
    assert (folder / "model.safetensors").read_bytes() == before


def test_the_olive_config_runs_with_every_translation_told_once(tmp_path: Path, cli, emotions) -> None:
    done = cli(
        "run", "--config", emotions / "olive-config.json",
        "--cache-dir", tmp_path / "cache", "--output-dir", tmp_path / "output",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("hf_config.model_name", "corpus_strategy", "source_max_len", "lora_r", "lora_alpha",
                 "evaluation_strategy", "group_by_length", "double_quant", "engine"):  # fmt: skip
        told = [line for line in done.stdout.splitlines() if line.startswith(("note", "  ")) and word in line]
        assert len(told) == 1, (word, told)
    assert (tmp_path / "output" / "model" / "genai_config.json").exists()
