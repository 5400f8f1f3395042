"""The page: text and tables stand in it as they are, plots are drawn from the facts that it carries."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib.resources import files
from string import Template
from types import MappingProxyType

from modelpress.api import Judgement, RunRecord, duration, number, plural, size, to_json
from modelpress_plugins.report.facts import Facts, MetricFacts, facts_of, title_of
from modelpress_plugins.report.tables import candidates_table, shown, steps_table

_POLICY = "; ".join([
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    "script-src 'unsafe-inline' 'unsafe-eval'",
    "img-src data: blob:",
])  # fmt: skip
"""Nothing is fetched, whatever the page is made to hold. Plotly's parallel coordinates compile shaders."""


_FIGURES = 8
"""Numbers that are seen at once; the rest is one click away."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What of a page is about the run. title, meta: text; body: HTML; facts: what plots are drawn from."""

    title: str
    meta: str
    body: str
    facts: Facts


def parts_of(run: RunRecord, gives: Mapping[str, tuple[str, bool]] = MappingProxyType({})) -> Parts:
    """gives: (unit, higher_is_better) of the numbers that metrics give."""
    facts = facts_of(run, gives)
    return Parts(_title(run), _meta(run), "\n".join(_body(run, facts)), facts)


def page_of(
    run: RunRecord, gives: Mapping[str, tuple[str, bool]] = MappingProxyType({}), *, live: bool = False
) -> str:
    """The whole page, as HTML. live: one that asks where it came from for what is new."""
    parts = parts_of(run, gives)
    here = files(__package__)
    return Template((here / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(parts.title),
        policy=f"{_POLICY}; connect-src 'self'" if live else _POLICY,
        live=' data-live="facts"' if live else "",
        meta=escape(parts.meta),
        style=(here / "page.css").read_text(encoding="utf-8"),
        body=parts.body,
        version=escape(run.modelpress),
        data=json.dumps(to_json(parts.facts)).replace("<", "\\u003c"),
        plotting=_plotting() if live or _is_drawn(parts.facts) else "",
        script=(here / "page.js").read_text(encoding="utf-8"),
        told=_LIVE if live else _WHOLE,
    )


_WHOLE = "This page holds all that it shows; nothing is fetched."
_LIVE = "This page goes along with the run; `modelpress report` keeps it."


def _plotting() -> str:
    """plotly.js, packed: the page unpacks it after its text is on the screen."""
    source = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(source, 9, mtime=0)).decode("ascii")


def _is_drawn(facts: Facts) -> bool:
    return bool(facts.timeline or facts.curves or facts.candidates)


def _title(run: RunRecord) -> str:
    return run.workflow_id or run.input_model.get("identity", "") or run.id


def _meta(run: RunRecord) -> str:
    began = datetime.fromisoformat(run.started).strftime("%Y-%m-%d %H:%M") if run.started else ""
    search = f", {plural(len(run.search.candidates), 'candidate')}" if run.search else ""
    return f"Run {run.id}, {run.status} after {duration(run.seconds)}, started {began}{search}"


def _body(run: RunRecord, facts: Facts) -> Iterator[str]:
    yield _chosen(run, {metric.name: metric.unit for metric in facts.metrics})
    if run.error:
        yield _section(
            "What went wrong", _pre("\n".join(filter(None, [run.error.message, run.error.hint]))), "error"
        )
    if run.search and facts.candidates:
        numbers = [
            metric for metric in facts.metrics if any(_has(c.metrics, metric) for c in facts.candidates)
        ]
        if numbers:
            yield _pareto(numbers)
            parallel = _plot("parallel", "Parallel coordinates of every candidate")
            yield _section(
                "All choices and numbers",
                f'<div class="wide" tabindex="0" role="region" aria-label="All choices">{parallel}</div>',
            )
        yield _section("Candidates", candidates_table(run.search, facts))
    if facts.timeline:
        yield _section(
            "Timeline",
            '<p class="soft">Passes and measurements; what came from the cache is pale or left out.</p>'
            + _plot("timeline", "When each step was at work")
            + ("" if run.search else _plot("memory", "Peak memory of each step", low=True)),
        )
    if facts.curves:
        curves = "".join(
            f"<div><h3>{escape(curve.title)}</h3>"
            + _plot(f"curve-{index}", f"Training curve of {curve.title}", low=True)
            + "</div>"
            for index, curve in enumerate(facts.curves)
        )
        yield _section("Training", f'<div class="pair">{curves}</div>')
    if run.steps:
        yield _section("Steps", steps_table(run.steps))
    yield _made_again(run)


def _chosen(run: RunRecord, units: Mapping[str, str]) -> str:
    """The model that came out, and why it."""
    parts = [f"<p>{escape(sentence)}</p>" for sentence in _why(run)]
    so_far = run.search is not None and not run.search.ended
    figures = [
        f"<li><b>{escape(shown(value, unit))}</b>{escape(name)}"
        f"{_interval(run, name, unit)}{_before(run, name, unit)}</li>"
        for name, value in run.metrics.items()
        for unit in [units.get(name, "")]
    ]
    if figures:
        parts.append(f'<ul class="figures">{"".join(figures[:_FIGURES])}</ul>')
    if len(figures) > _FIGURES:
        rest = "".join(figures[_FIGURES:])
        parts.append(f'<details><summary>All numbers</summary><ul class="figures">{rest}</ul></details>')
    goals = "".join(f"<li>{_goal(goal)}</li>" for goal in run.goals)
    if goals:
        parts.append(f"<h3>Goals</h3><ul>{goals}</ul>")
    title = "The search" if so_far else "The chosen model" if run.search else "The model"
    return _section(title, "".join(parts), "chosen")


def _why(run: RunRecord) -> Iterator[str]:
    search = run.search
    if search:
        number_of = {each.number: each for each in search.candidates}
        tried = f"{plural(len(search.candidates), 'candidate')} tried"
        of = f" of {search.space} that there are" if search.space else ""
        if not search.ended:
            yield f"{tried}{of} so far, by {search.sampler}; the best is chosen at the end."
        elif search.winner in number_of:
            chosen = number_of[search.winner]
            met = sum(not each.miss and each.status == "finished" for each in search.candidates)
            first = search.objectives[0] if search.objectives else None
            best = f", and the best of them in {first.number}" if first else ""
            yield f"Candidate {chosen.number}: {title_of(chosen.choices)}."
            yield f"It is one of {met} that meet all goals{best}. {tried}{of}, by {search.sampler}."
        else:
            nearest = ", ".join(f"candidate {each}" for each in search.nearest)
            yield "No candidate meets the goals." + (f" Nearest: {nearest}." if nearest else "")
            yield f"{tried}{of}, by {search.sampler}."
        if search.ended:
            yield f"The search ended because {search.ended}."
    if run.artifact:
        yield f"{run.artifact.format} in {run.artifact.path}, {size(_size_of(run))}."
    elif not run.error and run.status != "running":
        yield "Nothing was made: the model was only measured."


def _size_of(run: RunRecord) -> int:
    passes = [step.size for step in run.steps if step.kind == "pass"]
    return passes[-1] if passes else 0


def _interval(run: RunRecord, name: str, unit: str) -> str:
    if name not in run.intervals:
        return ""
    low, high = run.intervals[name]
    return f'<br><span class="soft">{escape(shown(low, unit))} to {escape(shown(high, unit))}</span>'


def _before(run: RunRecord, name: str, unit: str) -> str:
    if name not in run.input_metrics:
        return ""
    return f'<br><span class="soft">before: {escape(shown(run.input_metrics[name], unit))}</span>'


def _goal(goal: Judgement) -> str:
    kind, mark = ("good", "\u2713") if goal.met else ("bad", "\u2717")
    told = f"{mark} {goal.number} {number(goal.value)}: {goal}"
    return f'<span class="{kind}">{escape(told)}</span>'


def _pareto(metrics: Sequence[MetricFacts]) -> str:
    second = metrics[1] if len(metrics) > 1 else metrics[0]

    def choice(id: str, label: str, chosen: MetricFacts) -> str:
        options = "".join(
            f"<option{' selected' if each is chosen else ''}>{escape(each.name)}</option>" for each in metrics
        )
        return f'<div><label for="{id}">{label}</label><select id="{id}">{options}</select></div>'

    return _section(
        "What was traded for what",
        '<div class="tools">'
        + choice("pareto-x", "Across", second)
        + choice("pareto-y", "Up", metrics[0])
        + "</div>"
        + _plot("pareto", "Candidates by two numbers; each is in the table below, too")
        + '<p class="soft" id="pareto-told" role="status"></p>',
    )


def _made_again(run: RunRecord) -> str:
    """What is needed to do it again."""
    settings = "".join(f" --set {setting}" for setting in run.settings)
    command = f"modelpress run {run.workflow}{settings}" if run.workflow else "modelpress.run({...})"
    libraries = {name: version for step in run.steps for name, version in step.libraries.items()}
    facts = {
        "modelpress": run.modelpress,
        "Python": run.python,
        "platform": run.platform,
        "seed": str(run.seed),
        "input model": ", ".join(f"{name} {value}" for name, value in run.input_model.items()),
        **dict(sorted(libraries.items())),
    }
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return _section("Made with", f"{_pre(command)}<dl>{listed}</dl>")


def _has(metrics: object, metric: MetricFacts) -> bool:
    return isinstance(metrics, dict) and isinstance(metrics.get(metric.name), int | float)


def _section(title: str, content: str, kind: str = "") -> str:
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{content}</section>'


def _plot(id: str, told: str, *, low: bool = False) -> str:
    return f'<div class="plot{" low" if low else ""}" id="{id}" role="img" aria-label="{escape(told)}"></div>'


def _pre(text: str) -> str:
    return f'<pre tabindex="0">{escape(text)}</pre>'
