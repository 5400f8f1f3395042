"""The page that goes along with a run: what it answers, to whom, and what it keeps when there is more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from modelpress.errors import UserError
from modelpress.events import CandidateFinished, CandidateStarted, Progress, Report, StepStarted
from modelpress.observer import Observed
from modelpress.records import write_record
from modelpress.testing import ObserverContract
from modelpress_plugins.report.config import LivePageOptions
from modelpress_plugins.report.live import LivePage

from .conftest import searched

pytest.importorskip("plotly", reason="plotly is not installed")


class TestLivePage(ObserverContract):
    observer_name = "LivePage"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Of a search that has tried six."""
    path = tmp_path / "runs" / "one" / "run.json"
    path.parent.mkdir(parents=True)
    tell_tried(path, 6)
    return path


def tell_tried(path: Path, count: int) -> None:
    run = searched(12)
    assert run.search
    search = replace(run.search, candidates=run.search.candidates[:count], ended="", winner=None)
    write_record(path, replace(run, status="running", search=search))


def shown(record: Path, tell: Callable[[str], None] = lambda _: None, port: int = 0) -> LivePage:
    run = Observed("one", "study", record, record.parent, None, True, tell)
    return LivePage(LivePageOptions(port=port), run)


@pytest.fixture
def page(record: Path) -> Iterator[LivePage]:
    told: list[str] = []
    page = shown(record, told.append)
    assert told == [f"The run is shown at {page.address}"]
    yield page
    page.close()


def fetch(address: str, **headers: str) -> str:
    with urlopen(Request(address, headers=headers), timeout=30) as answer:
        return answer.read().decode()


def test_what_is_new_is_told_once_and_what_is_at_work_always(page: LivePage, record: Path) -> None:
    page.see(CandidateStarted(7, "bits 4"))
    page.see(StepStarted(2, 5, "lora", "LoRA", "local", False))
    for step in range(3):
        page.see(Progress(step, 200, "steps"))
        page.see(Report("loss", 1.0 / (step + 1)))
    first = json.loads(fetch(f"{page.address}facts?after=0"))
    assert first["now"]["title"] == "candidate 7, LoRA lora (2 of 5)"
    assert (first["now"]["done"], first["now"]["total"]) == (2, 200)
    assert first["now"]["lines"] == [{"name": "loss", "x": [0, 1, 2], "y": [1.0, 0.5, 1 / 3]}]
    assert len(first["data"]["candidates"]) == 6
    assert "6 candidates tried of 64 that there are so far" in first["body"]
    again = json.loads(fetch(f"{page.address}facts?after={first['version']}"))
    assert set(again) == {"now", "version"}
    tell_tried(record, 7)
    page.see(CandidateFinished(7, "bits 4", "finished", "", "", "", 1.0, 1))
    more = json.loads(fetch(f"{page.address}facts?after={first['version']}"))
    assert len(more["data"]["candidates"]) == 7


def test_who_does_not_know_the_way_gets_nothing(page: LivePage) -> None:
    root = page.address.removesuffix(page.way)
    for address, headers in (
        (f"{root}/", {}),
        (f"{root}/facts", {}),
        (page.address, {"Host": "evil.example"}),
    ):
        with pytest.raises(HTTPError) as error:
            fetch(address, **headers)
        assert error.value.code == 404


def test_a_port_that_is_taken_is_told(page: LivePage, record: Path) -> None:
    taken = int(page.address.removesuffix(page.way).rpartition(":")[2])
    with pytest.raises(UserError, match="No page can be shown at port"):
        shown(record, port=taken)


def test_it_ends_with_the_run(record: Path) -> None:
    page = shown(record)
    began = time.monotonic()
    page.close()
    assert time.monotonic() - began < 2  # nobody looked
    with pytest.raises(URLError):
        fetch(page.address)


def test_a_browser_goes_along_and_keeps_what_was_chosen(browser: Any, page: LivePage, record: Path) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    def wait(script: str) -> None:
        WebDriverWait(browser, 240).until(lambda _: browser.execute_script(script))

    page.see(StepStarted(1, 1, "lora", "LoRA", "local", False))
    for step in range(5):
        page.see(Progress(step, 10, "steps"))
        page.see(Report("loss", 1.0 / (step + 1)))
    browser.get(page.address)
    wait("return document.querySelector('#now-plot .main-svg') && document.getElementById('count')")
    browser.execute_script(
        "const words = document.getElementById('filter'); words.value = 'hqq';"
        "words.dispatchEvent(new Event('input')); words.focus();"
        "document.querySelectorAll('#candidates th button')[0].click()"
    )
    tell_tried(record, 12)
    page.see(CandidateFinished(12, "bits 4", "finished", "", "", "", 1.0, 1))
    wait("return document.getElementById('count').textContent.endsWith('of 12 shown')")
    kept: Callable[[str], Any] = browser.execute_script
    assert kept("return document.getElementById('filter').value") == "hqq"
    assert kept("return document.activeElement.id") == "filter"
    assert kept("return document.querySelector('#candidates th').getAttribute('aria-sort')") == "ascending"
    errors = [e for e in browser.get_log("browser") if "GL Driver Message" not in e["message"]]
    assert errors == []
