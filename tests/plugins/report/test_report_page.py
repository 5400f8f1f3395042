"""The page of a run, looked at in a browser: what it shows, how it is used, and that it fetches nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import RunRecord
from modelpress_plugins.report.page import page_of

from .conftest import plain, searched

pytest.importorskip("plotly", reason="plotly is not installed")

_WIDE, _PHONE = (1280, 900), (390, 844)
_DRAWN = (
    "return [...document.querySelectorAll('.plot')].filter(each => each.dataset.drawn).map(each => each.id)"
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[RunRecord, str], Path]:
    folder = tmp_path_factory.mktemp("pages")

    def write(run: RunRecord, name: str) -> Path:
        path = folder / f"{name}.html"
        path.write_text(page_of(run), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def large(pages: Callable[[RunRecord, str], Path]) -> Path:
    return pages(searched(500), "large")


@pytest.fixture(scope="module")
def small(pages: Callable[[RunRecord, str], Path]) -> Path:
    return pages(searched(40), "small")


def _open(browser: Any, page: Path, size: tuple[int, int] = _WIDE, *, dark: bool = False) -> None:
    browser.set_window_size(*size)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    browser.get(page.as_uri())
    _wait(browser, "return document.documentElement.dataset.ready")


def _draw_all(browser: Any) -> None:
    """Scroll to each plot, as a reader does."""
    ids = browser.execute_script("return [...document.querySelectorAll('.plot')].map(each => each.id)")
    for each in ids:
        browser.execute_script("document.getElementById(arguments[0]).scrollIntoView()", each)
        _wait(browser, f"return document.getElementById('{each}').dataset.drawn")


def _wait(browser: Any, script: str) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 240).until(lambda _: browser.execute_script(script))


def _errors(browser: Any) -> list[str]:
    """What the console says, but for what a driver without a GPU says of its speed."""
    return [
        entry["message"]
        for entry in browser.get_log("browser")
        if "GL Driver Message" not in entry["message"]
    ]


def _text(browser: Any, query: str) -> str:
    return str(browser.execute_script("return document.querySelector(arguments[0]).textContent", query))


def test_the_page_of_500_candidates_is_small(large: Path) -> None:
    assert large.stat().st_size < 3_000_000


def test_the_page_of_500_candidates_is_on_the_screen_within_a_second(browser: Any, large: Path) -> None:
    """The best of five: a machine that is busy with other things is not the page's fault."""
    times = []
    for _ in range(5):
        _open(browser, large)
        script = (
            "return performance.getEntriesByName('first-contentful-paint').map(each => each.startTime)[0]"
        )
        times.append(browser.execute_script(script))
    assert min(times) < 1000


def test_every_plot_is_drawn_and_the_console_stays_silent(browser: Any, large: Path) -> None:
    _errors(browser)
    _open(browser, large)
    _draw_all(browser)
    assert set(browser.execute_script(_DRAWN)) == {"pareto", "parallel", "timeline"}
    assert (
        browser.execute_script("return document.querySelectorAll('#pareto .scatterlayer .trace').length") == 4
    )
    assert _errors(browser) == []


def test_it_fetches_nothing(browser: Any, small: Path) -> None:
    _open(browser, small)
    _draw_all(browser)
    fetched = browser.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
    assert [name for name in fetched if not name.startswith(("data:", "blob:"))] == []
    assert not re.search(
        r"<(script|link|img|iframe)[^>]+(src|href)=[\"'](?!data:)", small.read_text(encoding="utf-8")
    )


def test_what_a_run_told_is_text_and_never_code(browser: Any, small: Path) -> None:
    _open(browser, small)
    assert "</script><script>alert(1)</script>" in _text(browser, "#steps")
    assert _text(browser, "h1") == "tones & <moods>"
    assert "It ran out of <memory>." in _text(browser, "#candidates")


def test_it_says_which_was_chosen_and_why(browser: Any, small: Path) -> None:
    _open(browser, small)
    chosen = _text(browser, ".chosen")
    run = searched(40)
    assert run.search
    assert f"Candidate {run.search.winner}: type " in chosen
    assert (
        "meet all goals, and the best of them in accuracy. 40 candidates tried of 64 that there are" in chosen
    )
    assert "0.951 to 0.981" in chosen
    assert "before: 0.97" in chosen
    assert _text(browser, "tr.winner button") == str(run.search.winner)
    assert "--set passes.lora.r=8" in _text(browser, "main section:last-child pre")


def test_where_none_meets_the_goals_the_nearest_are_named(browser: Any, pages: Any) -> None:
    _open(browser, pages(searched(12, winner=False), "none"))
    assert "No candidate meets the goals. Nearest: candidate 1, candidate 3." in _text(browser, ".chosen")
    assert "(nearest)" in _text(browser, "#candidates")


def test_the_table_sorts_filters_and_opens_a_candidate_by_keyboard_alone(browser: Any, small: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    _open(browser, small)
    heads = browser.execute_script(
        "return [...document.querySelectorAll('#candidates th')].map(each => each.textContent)"
    )
    index = heads.index("accuracy")
    browser.execute_script("document.querySelectorAll('#candidates th button')[arguments[0]].focus()", index)
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    rows = "return [...document.querySelector('#candidates').tBodies[0].rows].filter(each => !each.hidden)"
    values = browser.execute_script(f"{rows}.map(each => each.cells[{index}].dataset.value)")
    numbers = [float(value) for value in values if value]
    assert numbers == sorted(numbers)
    assert values[len(numbers) :] == [""] * (len(values) - len(numbers))  # what has no number comes last
    browser.execute_script("document.getElementById('filter').focus()")
    ActionChains(browser).send_keys("hqq").perform()
    shown = browser.execute_script(f"{rows}.map(each => each.textContent)")
    assert 0 < len(shown) < 40
    assert all("Hqq" in row for row in shown)
    assert _text(browser, "#count") == f"{len(shown)} of 40 shown"
    browser.execute_script(f"{rows}[0].querySelector('button').focus()")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert browser.execute_script("return document.getElementById('detail').open")
    assert "quantize: " in _text(browser, "#detail")
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not browser.execute_script("return document.getElementById('detail').open")


def test_a_click_on_a_point_opens_its_candidate(browser: Any, small: Path) -> None:
    _open(browser, small)
    _draw_all(browser)
    run = searched(40)
    assert run.search
    browser.execute_script(
        "document.getElementById('pareto').emit('plotly_click', {points: [{customdata: arguments[0]}]})",
        run.search.winner,
    )
    assert _text(browser, "#detail-title") == f"Candidate {run.search.winner}"


def test_both_numbers_of_the_plot_can_be_chosen(browser: Any, small: Path) -> None:
    _open(browser, small)
    _draw_all(browser)
    browser.execute_script(
        "const choice = document.getElementById('pareto-x');"
        "choice.value = 'perplexity'; choice.dispatchEvent(new Event('change'))"
    )
    assert "perplexity" in _text(browser, "#pareto .xtitle")


@pytest.mark.parametrize(("size", "dark"), [(_WIDE, False), (_WIDE, True), (_PHONE, False), (_PHONE, True)])
def test_axe_finds_no_fault(browser: Any, small: Path, size: tuple[int, int], dark: bool) -> None:
    """Contrast, names, order of headings, what can be reached by keyboard."""
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    source = next(Path(axe.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8")
    _open(browser, small, size, dark=dark)
    _draw_all(browser)
    browser.execute_script(source)
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run().then(result => done(JSON.stringify(result.violations)))"
    )
    told = [(fault["id"], node["html"][:120]) for fault in json.loads(found) for node in fault["nodes"]]
    assert told == []


def test_nothing_is_wider_than_a_phone(browser: Any, small: Path) -> None:
    _open(browser, small, _PHONE)
    _draw_all(browser)
    wide, screen = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= screen


def test_a_plain_run_has_its_steps_and_no_empty_parts(browser: Any, pages: Any) -> None:
    _open(browser, pages(plain(), "plain"))
    heads = browser.execute_script(
        "return [...document.querySelectorAll('h2')].map(each => each.textContent)"
    )
    assert heads == ["The model", "Timeline", "Steps", "Made with"]
