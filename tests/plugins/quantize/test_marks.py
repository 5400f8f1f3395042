"""Marks: which modules get more bits, who takes them, and what is left for a second quantizer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from modelpress.api import Artifact, Checkpoint, ModelFacts, Sample, UserError
from modelpress.testing import RecordingPlan, input_artifact, make_tiny_model, model_facts, pass_context
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.stream import quantize_checkpoint
from modelpress_plugins.hf.quantized import QuantizedCheckpoint
from modelpress_plugins.quantize import calibration
from modelpress_plugins.quantize.algorithms.table import ROWS
from modelpress_plugins.quantize.config import (
    GptqConfig,
    QuantizerConfig,
    RtnConfig,
    SelectiveMixedPrecisionConfig,
    options_of,
)
from modelpress_plugins.quantize.marks import FORMAT, Marks, check_marks, marked, read_marks, write_marks
from modelpress_plugins.quantize.plan import plan, plan_marks
from modelpress_plugins.quantize.run import choice_of, quantize, tell_marks
from modelpress_plugins.quantize.run_calibrated import quantize as quantize_on_data
from modelpress_plugins.quantize.run_marks import is_listed, mark

SMALL = {"group_size": 16, "sym": True}


class Samples:
    name = "calibration"

    def samples(self, tokenizer: Any, limit: int | None = None, seed: int | None = None) -> Iterator[Sample]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(24):
            ids = torch.randint(3, 90, (20,), generator=generator).tolist()
            yield Sample(ids, ids)


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tied")
    return make_tiny_model(folder, num_hidden_layers=4, tie_word_embeddings=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"), num_hidden_layers=2)


def run(function: Any, config: Any, model: Path | Artifact, folder: Path) -> Artifact:
    context = pass_context(folder, produces="")
    context.data = lambda role: Samples()  # type: ignore[assignment, return-value]
    given = model if isinstance(model, Artifact) else input_artifact(model, "hf-model")
    result: Artifact = function(given, config, context)
    return result


def marks_of(model: Path, folder: Path, **options: Any) -> Artifact:
    return run(mark, SelectiveMixedPrecisionConfig.parse({**SMALL, **options}), model, folder)


def block(folder: Path) -> Mapping[str, Any]:
    written: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    quantization: Mapping[str, Any] = written["quantization_config"]
    return quantization


@pytest.mark.parametrize(
    ("count", "listed"),
    [
        (4, [0, 2]),
        (8, [0, 3, 6, 7]),
        (24, [0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23]),
        (28, [0, 1, 2, 3, 5, 8, 11, 14, 17, 20, 23, 25, 26, 27]),
    ],
)
def test_the_lists_are_those_that_olive_has(count: int, listed: list[int]) -> None:
    assert [layer for layer in range(count) if is_listed(layer, count)] == listed


@pytest.mark.parametrize(
    ("algorithm", "kinds"),
    [("k_quant_last", ""), ("k_quant_down", "down"), ("k_quant_mixed", "q k v down")],
)
def test_a_list_needs_no_data_and_copies_no_weights(
    algorithm: str, kinds: str, tied: Path, tmp_path: Path
) -> None:
    result = marks_of(tied, tmp_path, algorithm=algorithm)
    assert (result.format, result.base and result.base.path) == (FORMAT, tied)
    assert [path.name for path in result.path.iterdir()] == ["marks.json"]
    place = {"down": "mlp"}
    expected = {
        f"model.layers.{layer}.{place.get(kind, 'self_attn')}.{kind}_proj"
        for layer in (0, 2)
        for kind in kinds.split()
    }
    marks = read_marks(result.path)
    assert marks.default == {"bits": 4}
    assert marks.overrides == {module: {"bits": 8} for module in ("lm_head", *expected)}


def test_the_quantizer_takes_the_marks_and_leaves_those_of_what_stays_float(
    tied: Path, tmp_path: Path
) -> None:
    marks = marks_of(tied, tmp_path / "marks", algorithm="k_quant_down")
    notes: list[str] = []
    context: Any = SimpleNamespace(note=notes.append)
    tell_marks(GptqConfig.parse({"bits": 2}), read_marks(marks.path), context)
    assert notes == ["As marked by SelectiveMixedPrecision: bits 4; the options of this step say bits 2."]
    first = run(quantize_on_data, GptqConfig.parse(SMALL), marks, tmp_path / "gptq")
    assert first.format == "hf-model"
    written = block(first.path)
    assert {m for m, given in written["overrides"].items() if given["bits"] == 8} == {
        f"model.layers.{layer}.mlp.down_proj" for layer in (0, 2)
    }
    assert written["marks"] == {"lm_head": {"bits": 8}}

    rest = RtnConfig.parse({**SMALL, "lm_head": True, "embeds": True})
    second = run(quantize, rest, first, tmp_path / "rtn")
    written = block(second.path)
    assert (written["lm_head"], written["embeds"], written.get("marks")) == (True, True, None)
    assert written["overrides"]["lm_head"]["bits"] == 8  # as marked, not 4 as Rtn says for all
    before, after = (load_file(r.path / "model.safetensors") for r in (first, second))
    same = [name for name in before if name in after]
    assert all(torch.equal(before[name], after[name]) for name in same)
    assert set(before) - set(after) == {"model.embed_tokens.weight"}
    with QuantizedCheckpoint(second.path) as stored:
        assert stored.codes("lm_head").grid == Grid(8, 16, True)
        assert torch.equal(stored.read("model.embed_tokens.weight"), stored.read("lm_head.weight"))
        assert "model.embed_tokens.weight" in stored.names()


def test_an_override_counts_for_more_than_a_mark() -> None:
    marks = Marks({"bits": 4, "group_size": 32}, {"a": {"bits": 8, "group_size": 16}, "b": {"bits": 8}})
    config = RtnConfig.parse({"bits": 2, "overrides": {"re:a": {"bits": 2}, "c": {"bits": 8}}})
    choice = choice_of(config, marks)
    assert choice.grid == Grid(4, 32, False)
    assert [choice.grid_of(m, 64) for m in "abcd"] == [
        Grid(2, 16, False),
        Grid(8, 32, False),
        Grid(8, 32, False),
        Grid(4, 32, False),
    ]


@pytest.mark.parametrize("second", ["rtn", "gptq"])
def test_measured_marks_spend_their_budget_and_not_more(second: str, model: Path, tmp_path: Path) -> None:
    report = quantize_checkpoint(model, tmp_path / "plain", block_size=16)
    limit = int(report.nbytes * 1.1)
    options = {"lm_head": True, "data_config": "d"}
    marks = marks_of(model, tmp_path / "marks", max_size=limit, **options)
    config = {**SMALL, "lm_head": True}
    if second == "rtn":
        result = run(quantize, RtnConfig.parse(config), marks, tmp_path / "q")
    else:
        result = run(quantize_on_data, GptqConfig.parse({**config, **options}), marks, tmp_path / "q")
    size = (result.path / "model.safetensors").stat().st_size
    assert report.nbytes < size <= limit


def test_a_budget_below_the_lower_bits_is_refused_to_the_byte(model: Path, tmp_path: Path) -> None:
    report = quantize_checkpoint(model, tmp_path / "plain", block_size=16)
    options = {"algorithm": "snr", "lm_head": True}
    marks = marks_of(model, tmp_path / "just", max_size=report.nbytes, **options)
    assert read_marks(marks.path).overrides == {}
    with pytest.raises(UserError, match="10 bytes too small"):
        marks_of(model, tmp_path / "short", max_size=report.nbytes - 10, **options)


def test_marks_keep_the_users_own_overrides(model: Path, tmp_path: Path) -> None:
    module = "model.layers.0.self_attn.o_proj"
    marks = marks_of(model, tmp_path, algorithm="snr", ratio=1.0, overrides={module: {"group_size": 32}})
    assert read_marks(marks.path).overrides[module]["group_size"] == 32


def test_damaged_marks_are_refused(tmp_path: Path) -> None:
    write_marks(tmp_path, Marks({"bits": 4}, {"lm_head": {"bits": 8}}))
    check_marks(tmp_path)
    (tmp_path / "marks.json").write_text("[]")
    with pytest.raises(UserError, match=r"marks\.json cannot be read"):
        check_marks(tmp_path)


def test_a_model_without_marks_has_none(model: Path) -> None:
    source = input_artifact(model, "hf-model")
    assert marked(source) == (source, Marks())


def test_the_plan_of_a_chain_knows_the_model_behind_the_marks(tied: Path) -> None:
    planning = RecordingPlan()
    facts = plan_marks(
        model_facts(input_artifact(tied, "hf-model")),
        SelectiveMixedPrecisionConfig.parse({"algorithm": "k_quant_last", "ratio": 0.5}),
        planning,
    )
    assert planning.problems == []
    assert planning.notes == ["ratio has no effect: k_quant_last is a list of modules."]
    assert facts.format == FORMAT
    assert facts.base
    planning = RecordingPlan()
    quantized = plan(facts, GptqConfig.parse(SMALL), planning)
    assert planning.problems == []
    assert quantized.format == "hf-model"
    assert quantized.base is None
    plan(quantized, RtnConfig.parse({**SMALL, "lm_head": True}), planning)
    assert planning.problems == []
    plan(quantized, RtnConfig.parse(SMALL), planning)
    plan(quantized, GptqConfig.parse(SMALL), planning)
    assert len(planning.problems) == 2


def test_without_data_it_calibrates_on_the_text_of_the_package(model: Path, tmp_path: Path) -> None:
    planning = RecordingPlan()
    config = GptqConfig.parse({**SMALL, "calibration_tokens": 512})
    plan(ModelFacts("hf-model", config={}), config, planning)
    assert any("comes with modelpress" in note for note in planning.notes)
    context = pass_context(tmp_path, produces="hf-model")
    quantize_on_data(input_artifact(model, "hf-model"), config, context)
    assert calibration.TEXT.stat().st_size > 10_000


def test_a_whole_row_is_stored_in_the_largest_group(tied: Path, tmp_path: Path) -> None:
    planning = RecordingPlan()
    config = RtnConfig.parse({"group_size": -1})
    plan(ModelFacts("hf-model", config={}), config, planning)
    assert any("256" in note for note in planning.notes)
    result = run(quantize, config, tied, tmp_path)
    with Checkpoint(tied) as checkpoint:
        columns = checkpoint.info("model.layers.0.mlp.up_proj.weight").shape[1]
    with QuantizedCheckpoint(result.path) as stored:
        assert columns % stored.codes("model.layers.0.mlp.up_proj").grid.group_size == 0


def test_defaults_are_olives() -> None:
    for config in (RtnConfig.parse({}), GptqConfig.parse({})):
        assert isinstance(config, QuantizerConfig)
        assert (config.bits, config.group_size, config.sym, config.lm_head) == (4, 128, False, False)
    k_quant = options_of(next(row for row in ROWS if row.name == "KQuant"))
    assert k_quant.parse({}).group_size == 32


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ({"max_size": "1KB"}, "with every module at 4 bits the model takes about"),
        ({"bits_per_weight": 4.0}, "4 bits in groups of 16 take 6.25"),
        ({"max_size": "1GB"}, ""),
        ({"bits_per_weight": 6.25}, ""),
    ],
)
def test_a_budget_that_cannot_be_met_is_told_by_the_plan(
    model: Path, budget: dict[str, Any], told: str
) -> None:
    planning = RecordingPlan()
    config = SelectiveMixedPrecisionConfig.parse({"algorithm": "snr", "group_size": 16, **budget})
    plan_marks(model_facts(input_artifact(model, "hf-model")), config, planning)
    assert bool(planning.problems) == bool(told)
    assert told in " ".join(planning.problems)


def test_a_budget_is_looked_at_before_anything_is_measured(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "modelpress_plugins.quantize.mixed._weight_offers", lambda *_: pytest.fail("measured")
    )
    with pytest.raises(UserError, match="bytes too small"):
        marks_of(model, tmp_path, algorithm="snr", max_size=1000)


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "has no marks.json"), ("{}", "it is not what"), ("[", "it is not what")]
)
def test_what_is_wrong_with_marks_is_told_in_words(
    tmp_path: Path, content: str | None, expected: str
) -> None:
    if content is not None:
        (tmp_path / "marks.json").write_text(content)
    with pytest.raises(UserError) as told:
        check_marks(tmp_path)
    assert expected in told.value.message
    assert "Errno" not in told.value.message
