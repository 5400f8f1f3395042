"""The tables of the page, whole in its text: they are read, sorted and searched without a plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from modelpress.api import SearchRecord, StepRecord, duration, number, size
from modelpress_plugins.report.facts import CandidateFacts, Facts, MetricFacts


def candidates_table(search: SearchRecord, facts: Facts) -> str:
    """A row for each candidate, with tools to sort and filter."""
    heads = ["candidate", "status", *(_short(axis) for axis in facts.axes)]
    heads += [metric.name for metric in facts.metrics]
    rows = "".join(
        _candidate(each, facts, nearest=each.number in search.nearest) for each in facts.candidates
    )
    states = "".join(f"<option>{state}</option>" for state in sorted({c.status for c in facts.candidates}))
    tools = (
        '<div class="tools"><div><label for="filter">Filter</label>'
        '<input id="filter" type="search" placeholder="bits 4" autocomplete="off"></div>'
        '<div><label for="status">Status</label><select id="status"><option value="">all</option>'
        f'{states}</select></div><p id="count" class="soft" role="status"></p></div>'
    )
    return tools + _table("candidates", "All candidates", [*heads, "why"], rows)


def _candidate(candidate: CandidateFacts, facts: Facts, *, nearest: bool) -> str:
    chosen = candidate.number == facts.winner
    mark = " (chosen)" if chosen else " (nearest)" if nearest else ""
    index = candidate.number
    link = f'<button type="button" class="link" data-candidate="{index}">{index}</button>{mark}'
    cells = [f'<td data-value="{candidate.number}">{link}</td>', _status(candidate)]
    cells += [_cell(candidate.choices.get(axis)) for axis in facts.axes]
    cells += [_measured(candidate, metric) for metric in facts.metrics]
    missed = ", ".join(goal.number for goal in candidate.goals if not goal.met)
    why = candidate.error.splitlines()[0] if candidate.error else f"misses {missed}" if missed else ""
    cells.append(f'<td class="why">{escape(why)}</td>')
    return f'<tr data-status="{candidate.status}"{" class=winner" if chosen else ""}>{"".join(cells)}</tr>'


def _status(candidate: CandidateFacts) -> str:
    if candidate.status != "finished":
        kind, told = ("bad" if candidate.status == "failed" else "warn"), candidate.status
    else:
        kind, told = ("warn", "misses goals") if candidate.miss else ("good", "finished")
    return f'<td><span class="{kind}">{told}</span></td>'


def _measured(candidate: CandidateFacts, metric: MetricFacts) -> str:
    value = candidate.metrics.get(metric.name)
    missing = "no number" if metric.name in candidate.metrics else ""
    return _cell(value, shown=shown(value, metric.unit) if value is not None else "", missing=missing)


def shown(value: float, unit: str) -> str:
    """A number as people read it: `8.1 MB`, `7.9 ms`."""
    return size(int(value)) if unit == "bytes" else f"{number(value)} {unit}".rstrip()


def steps_table(steps: Sequence[StepRecord]) -> str:
    """A row for each pass and measurement."""
    rows = "".join(
        "<tr>"
        f"<td>{escape(step.name)}</td><td>{escape(step.type)}</td><td>{escape(step.system)}</td>"
        + _cell(step.seconds, shown=duration(step.seconds) + (" (cached)" if step.cached else ""))
        + _cell(step.peak_memory or None, shown=size(step.peak_memory))
        + _cell(step.size or None, shown=size(step.size))
        + f'<td class="wrap">{escape(_told(step))}</td></tr>'
        for step in steps
    )
    return _table(
        "steps", "All steps", ["step", "type", "system", "took", "peak memory", "size", "told"], rows
    )


def _told(step: StepRecord) -> str:
    values = {**step.reports, **step.metrics}
    told = [f"{name} {number(value)}" for name, value in values.items() if isinstance(value, int | float)]
    return "; ".join([*told, *step.notes])


def _cell(value: object, *, shown: str = "", missing: str = "") -> str:
    if value is None:
        return f'<td data-value="">{missing}</td>'
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td class="number" data-value="{value}">{escape(shown or number(value))}</td>'
    return f"<td>{escape(str(value).lower() if isinstance(value, bool) else str(value))}</td>"


def _table(id: str, told: str, heads: Iterable[str], rows: str) -> str:
    head = "".join(f'<th scope="col"><button type="button">{escape(each)}</button></th>' for each in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(told)}">'
        f'<table class="sorts" id="{id}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _short(axis: str) -> str:
    return ".".join(axis.split(".")[-2:])
