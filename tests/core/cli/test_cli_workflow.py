"""Commands that read a workflow: validate, plan, run, migrate, data preview; on a tiny real model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from modelpress.cli.root import root
from modelpress.errors import UserError, WorkflowError

ROWS = [{"phrase": f"I lost my {thing}", "tone": "sad"} for thing in ("keys", "dog", "way", "coat")]
TEMPLATE = "Text: {phrase}\nTone: {tone}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random one-layer Llama whose tokenizer has an id per byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({word: i for i, word in enumerate(["<s>", "</s>", *letters])}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=128,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny") / "model"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def write(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write w.json in the test's folder; changes replace top-level keys."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELPRESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))

    def workflow(**changes: object) -> Path:
        document = {
            "input_model": {"type": "HfModel", "model_path": str(model)},
            "data_configs": [
                {
                    "name": "train",
                    "type": "HuggingfaceContainer",
                    "load_dataset_config": {"data_name": "json", "data_files": "rows.json"},
                    "pre_process_data_config": {"text_template": TEMPLATE, "completion_only": True},
                }
            ],
            "passes": {
                "lora": {"type": "LoRA", "train_data_config": "train"},
                "joined": {"type": "MergeAdapterWeights"},
            },
            **changes,
        }
        (tmp_path / "w.json").write_text(json.dumps(document, indent=1))
        return Path("w.json")

    return workflow


def test_a_sound_workflow_is_said_to_be_valid(invoke, write) -> None:
    assert "w.json is valid: 2 passes." in invoke("validate", str(write())).output
    assert json.loads(invoke("validate", "w.json", "--json").output)["valid"]


def test_a_plan_shows_each_step_and_what_is_to_do(invoke, write, tmp_path: Path) -> None:
    output = invoke("plan", str(write())).output
    assert re.search(r"^1  LoRA +hf-adapter .* to do$", output, flags=re.MULTILINE)
    assert re.search(r"^2  MergeAdapterWeights +joined +hf-model .* to do$", output, flags=re.MULTILINE)
    assert "2 of 2 steps to do" in output
    plan = json.loads(invoke("plan", "w.json", "--json").output)
    assert [step["pass"] for step in plan["steps"]] == ["LoRA", "MergeAdapterWeights"]
    assert not plan["problems"]


def test_a_value_may_be_set_on_the_command_line(invoke, write) -> None:
    plain, other = (
        json.loads(invoke("plan", str(write()), "--json", *more).output)["steps"]
        for more in ((), ("--set", "passes.lora.r=8"))
    )
    assert [step["key"] for step in plain] != [step["key"] for step in other]
    assert "valid: 2 passes" in invoke("validate", "w.json", "--set", "passes.lora.r=8").output


@pytest.mark.parametrize("verb", ["validate", "plan", "run"])
def test_a_wrong_path_is_told_with_the_flag_as_its_place(command, write, verb: str) -> None:
    done = command(verb, str(write()), "--set", "passes.lora.rr=8")
    assert done.returncode == 2
    assert (
        "error: --set passes.lora.rr: lora: LoRA has no option 'rr'.\nhint: Did you mean 'r'?" in done.stderr
    )


def test_a_quiet_run_prints_its_result_alone(command, write, tmp_path: Path) -> None:
    write(
        passes={},
        evaluators={"e": {"metrics": [{"name": "size", "type": "size_on_disk"}]}},
        evaluator="e",
        output_dir="out",
    )
    done = command("run", "w.json", "--quiet")
    assert re.fullmatch(r"Done in .*: out\n  size_on_disk +\d+\n", done.stdout), done.stdout + done.stderr
    assert done.stderr == ""


def test_a_step_on_a_system_of_no_known_type_is_not_said_to_be_ready(write) -> None:
    file = write(systems={"far": {"type": "Moonbase"}}, host="far")
    result = CliRunner().invoke(root, ["plan", str(file)])
    assert "0 of 2 steps to do, 2 cannot be planned" in result.stdout
    assert "no system of type 'Moonbase'" in str(result.exception)


def test_older_spellings_are_told_each_with_its_line(invoke, write) -> None:
    write(passes={"lora": {"type": "LoRA", "config": {"lora_r": 8, "train_data_config": "train"}}})
    output = invoke("validate", "w.json").output
    assert "2 older spellings" in output
    assert re.search(r"line \d+ +LoRA.lora_r is read as r", output)


def test_migrate_writes_todays_form_and_never_over_a_file_by_chance(invoke, write) -> None:
    write(passes={"lora": {"type": "LoRA", "config": {"lora_r": 8, "train_data_config": "train"}}})
    output = invoke("migrate", "w.json", "new.json").output
    assert "lora_r is read as r" in output
    assert json.loads(Path("new.json").read_text())["passes"]["lora"]["r"] == 8
    with pytest.raises(UserError, match="exists already"):
        invoke("migrate", "w.json", "new.json")
    invoke("migrate", "w.json", "new.json", "--force")


def test_preview_marks_what_the_loss_covers_with_brackets(invoke, write) -> None:
    output = invoke("data", "preview", str(write()), "train", "-n", "2").output
    first, second = output.rstrip().split("\n\n")
    assert first.splitlines()[0].endswith("loss on 4")
    assert first.endswith("Text: I lost my keys\nTone: [[sad</s>]]")
    assert "sample 2" in second


def test_preview_marks_it_with_colour_on_a_terminal(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress_plugins.huggingface.preview.on_terminal", lambda: True)
    arguments = ["data", "preview", str(write()), "train", "-n", "1"]
    output = CliRunner().invoke(root, arguments, color=True, standalone_mode=False).output
    assert "[[" not in output
    assert "\x1b[32m\x1b[1msad</s>" in output


def test_preview_gives_ids_and_labels_as_json(invoke, write) -> None:
    (sample,) = json.loads(invoke("data", "preview", str(write()), "train", "-n", "1", "--json").output)
    covered = [label for label in sample["labels"] if label != -100]
    assert sample["loss_tokens"] == len(covered) == 4
    assert sample["input_ids"][-4:] == covered


def test_preview_takes_settings_as_run_does(invoke, write) -> None:
    """The template is looked for from the workflow's folder, and a change in it is a change of the data."""
    file = write()
    (file.parent / "own.jinja").write_text("{% for m in messages %}<{{ m['content'] }}>{% endfor %}")
    (file.parent / "chats.jsonl").write_text(
        json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
    )
    output = invoke(
        "data", "preview", str(file), "train",
        "--set", "data_configs.0.load_dataset_config.data_files=chats.jsonl",
        "--set", "data_configs.0.pre_process_data_config={chat_template: own.jinja}",
    ).output  # fmt: skip
    assert "<a><b>" in output.replace("[[", "").replace("]]", "")


def test_preview_of_unknown_data_suggests_the_nearest_name(invoke, write) -> None:
    with pytest.raises(UserError) as caught:
        invoke("data", "preview", str(write()), "trian")
    assert "'train'" in caught.value.hint


def test_preview_tells_what_validate_tells(invoke, write) -> None:
    file = str(write())
    document = json.loads(Path(file).read_text(encoding="utf-8"))
    document["data_configs"][0]["pre_process_data_config"]["text_template"] = "{phrse} {tone}"
    Path(file).write_text(json.dumps(document), encoding="utf-8")
    told = []
    for command in (("validate", file), ("data", "preview", file, "train")):
        with pytest.raises(WorkflowError) as caught:
            invoke(*command)
        told.append([str(p) for p in caught.value.problems if p.step == "train"])
    assert told[0] == told[1]
    assert "phrse" in told[0][0]


@pytest.mark.parametrize("arguments", [("run", "w.json"), ("run", "--config", "w.json")])
def test_run_shows_a_line_per_step_and_the_numbers(command, write, arguments, tmp_path: Path) -> None:
    write(
        passes={},
        evaluators={"e": {"metrics": [{"name": "size", "type": "size_on_disk"}]}},
        evaluator="e",
        output_dir="out",
    )
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\[1/1\] size_on_disk size: ", done.stdout, flags=re.MULTILINE)
    assert "Done in" in done.stdout
    assert (tmp_path / "out" / "run.json").exists()
    again = command(*arguments, "--json")
    assert json.loads(again.stdout)["metrics"]["size_on_disk"] > 0
    assert "in the cache" in again.stderr
