"""A chain on AzureML by real runs: one submission, the model there once and its result back once."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from azure_runs import notes, outcome, planted, wait_for

import modelpress
from modelpress.errors import PassError
from modelpress.events import Event, Progress, StepFinished

if TYPE_CHECKING:
    from azure_emulator import Cloud
    from azure_runs import Vendor

WORDS = {"evaluators": {"e": {"metrics": [{"type": "words"}]}}}
HF, ACME = "hf_planted_9d1b7c22", "acme-planted-77aa01"


def test_three_passes_and_two_metrics_are_one_submission_and_all_that_is_asked_comes_back(
    vendor: Vendor, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = cloud.arm.datastores["workspaceblobstore"].place
    cloud.vault.secrets |= {"press-vault/hf-token": HF, "press-vault/acme-token": ACME}
    monkeypatch.setenv("ACME_TOKEN", ACME)
    monkeypatch.setattr(cloud.executor, "slow", 1.5)  # long enough to be seen by who asks now and then
    cloud.put("workspaceblobstore", "rows/more.txt", b" rows")
    (vendor.folder / "of the user's own.txt").write_text("it stays here")
    passes = {
        "a": {"type": "Stamp", "text": " a", "file": "azureml://datastores/workspaceblobstore/paths/rows/more.txt"},
        "b": {"type": "Stamp", "text": " b", "evaluator": "e", "token": "ACME_TOKEN"},
        "c": {"type": "Stamp", "text": " c"},
    }  # fmt: skip
    options = {"hf_token": True, "register_as": "stamped", "tags": {"team": "press"}, "instance_count": 2}
    vendor.write(passes=passes, **WORDS, evaluator="e", options=options)
    before = set(cloud.storage.names(store))
    carried = len(cloud.storage.carried)
    result, told = vendor.run()

    assert vendor.text == "one two a rows b acme hf_ c"
    assert result.metrics == {"words": 8}
    (run,) = vendor.submitted
    assert (outcome(run), run.starts) == ("Completed", 1)
    carried_here = cloud.storage.carried[carried:]
    assert len([name for way, name in carried_here if way == "up" and name.endswith("/text.txt")]) == 1
    assert [name for way, name in carried_here if way == "down" and "/out/" in name] == [
        f"modelpress/jobs/{run.name}/done/3/out/text.txt"
    ]
    new = sorted(set(cloud.storage.names(store)) - before)
    assert all(name.startswith("modelpress/") for name in new)
    assert not [name for name in new if "of the user" in name or "workflow" in name]
    mounted = [given["uri"] for given in run.properties["inputs"].values()]
    assert any(uri.endswith("/datastores/workspaceblobstore/paths/rows/more.txt") for uri in mounted)
    assert "Fetching the resource" not in notes(told)  # what is there is mounted there

    finished = [event.name for event in told if isinstance(event, StepFinished)]
    assert finished == ["a", "b", "words", "c", "words"]
    text = notes(told)
    for phase in ("Uploading model: ", "queued", "building its environment", "pulling its image", "running"):
        assert phase in text

    model = cloud.arm.assets["models/stamped/1"]
    assert model["modelUri"].endswith(f"/modelpress/jobs/{run.name}/done/3/out")
    assert model["tags"]["modelpress.metric.words"] == "8"
    assert "Stamp" in model["tags"]["modelpress.pass.3"]
    assert run.properties["tags"]["team"] == "press"
    assert run.properties["tags"]["modelpress.step"] == "a, b, words, c, words"
    assert run.properties["resources"]["instanceCount"] == 2

    secrets = (HF, ACME, cloud.client_secret, *cloud.storage.keys.values())
    everything = vendor.folder.parent / "everything that lies there"
    for place in cloud.places:
        cloud.storage.get(place, everything / place.account / place.container)
    assert planted(vendor.folder, *secrets) == []
    assert planted(everything, *secrets) == []
    for secret in secrets:
        assert secret not in repr(told)
        assert secret not in json.dumps([run.properties, model])

    again, told = vendor.run()
    assert again.metrics == result.metrics
    assert len(vendor.submitted) == 1  # what stayed there counts as done
    assert set(cloud.arm.assets) >= {"models/stamped/1"}
    assert "models/stamped/2" not in cloud.arm.assets


def test_an_error_there_reads_as_one_here_and_what_was_done_before_it_is_not_done_again(
    vendor: Vendor, cloud: Cloud
) -> None:
    passes = {
        "a": {"type": "Stamp", "text": " a"},
        "b": {"type": "Stamp", "text": " b", "fail": True},
        "c": {"type": "Stamp", "text": " c"},
    }
    vendor.write(passes=passes)
    with pytest.raises(PassError, match="It cannot be done") as error:
        vendor.run()
    assert error.value.hint.startswith("Set fail to false.")
    assert not list((vendor.folder / "cache" / "handles").iterdir())
    passes["b"]["fail"] = False
    vendor.write(passes=passes)
    vendor.run()
    first, second = vendor.submitted
    assert vendor.text == "one two a b c"
    assert first.properties["tags"]["modelpress.step"] == "a, b, c"
    assert second.properties["tags"]["modelpress.step"] == "b, c"


def test_a_network_that_goes_away_while_it_uploads_watches_and_fetches_comes_back(
    vendor: Vendor, cloud: Cloud
) -> None:
    vendor.write(passes={"a": {"type": "Stamp", "text": "!", "pieces": 8, "seconds": 0.2}})
    (vendor.folder / "model" / "text.txt").write_text("not there yet")
    cuts: list[str] = []

    def see(event: Event) -> None:
        text = getattr(event, "message", "")
        moments = {"Uploading": text.startswith("Uploading"), "Watching": isinstance(event, Progress),
                   "Fetching": text.startswith("Fetching")}  # fmt: skip
        for moment, is_now in moments.items():
            if is_now and moment not in cuts:
                cuts.append(moment)
                cloud.proxy.cut_off(seconds=1.5)

    _, told = vendor.run(see)
    assert cuts == ["Uploading", "Watching", "Fetching"]
    assert vendor.text == "not there yet!" + "".join(f"<{number}>" for number in range(8))
    assert len(vendor.submitted) == 1
    assert [event.value for event in told if getattr(event, "name", "") == "piece"] == list(range(8))


def test_a_preempted_chain_goes_on_and_a_run_that_was_killed_attaches(vendor: Vendor, cloud: Cloud) -> None:
    passes = {
        "a": {"type": "Stamp", "text": "a"},
        "b": {"type": "Stamp", "text": "b", "pieces": 15, "seconds": 0.2},
        "c": {"type": "Stamp", "text": "c"},
    }
    vendor.write(passes=passes)
    runner = vendor.start()
    run = vendor.job()
    kept = cloud.arm.datastores["workspaceblobstore"].place.under(
        f"modelpress/jobs/{run.name}/done/1/checkpoint"
    )
    wait_for(lambda: len(cloud.storage.names(kept)) > 2 or run.done)
    runner.kill()
    runner.wait()
    run.preempt()
    _, told = vendor.run()
    assert vendor.text == "one twoab" + "".join(f"<{number}>" for number in range(15)) + "c"
    assert "attached to the job" in notes(told)
    assert [each.name for each in vendor.submitted] == [run.name]
    assert run.starts == 2
    pieces = [event.value for event in told if getattr(event, "name", "") == "piece"]
    assert sorted(set(pieces)) == list(range(15))
    assert len(pieces) <= 15 + 3  # those that were not carried yet are done again


def test_ctrl_c_in_a_pipe_cancels_the_submission_and_brings_the_checkpoint_back(
    vendor: Vendor, cloud: Cloud
) -> None:
    vendor.write(
        passes={"a": {"type": "Stamp", "pieces": 200, "seconds": 0.1}, "b": {"type": "Stamp", "text": "b"}}
    )
    runner = vendor.start()
    run = vendor.job()
    place = cloud.arm.datastores["workspaceblobstore"].place.under(
        f"modelpress/jobs/{run.name}/done/0/checkpoint"
    )
    wait_for(lambda: cloud.storage.names(place))
    runner.send_signal(signal.SIGINT)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130, output
    assert run.status == "Canceled"
    (job,) = [
        each for each in (vendor.folder / "cache" / "jobs").iterdir() if any((each / "checkpoint").iterdir())
    ]
    assert not list((vendor.folder / "cache" / "handles").iterdir())
    assert modelpress.plan(vendor.folder / "workflow.json").steps[0].key == job.name


def test_ctrl_c_may_leave_the_job_there_and_the_next_run_attaches(vendor: Vendor, cloud: Cloud) -> None:
    vendor.write(passes={"a": {"type": "Stamp", "text": "a", "pieces": 100, "seconds": 0.1}})
    runner = vendor.start("--on-interrupt", "detach")
    run = vendor.job()
    handles = vendor.folder / "cache" / "handles"
    wait_for(lambda: any("/done/0" in file.read_text() for file in handles.glob("*.json")))
    wait_for(lambda: run.status == "Running")
    runner.send_signal(signal.SIGINT)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130, output
    assert f"goes on on 'aml' as the job {run.name}" in " ".join(output.split())
    assert run.status == "Running"
    _, told = vendor.run()
    assert "attached to the job" in notes(told)
    assert [(each.name, each.starts) for each in vendor.submitted] == [(run.name, 1)]
    assert vendor.text.startswith("one twoa<0>")
