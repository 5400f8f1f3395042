"""`modelpress compare A B`: measure two models the same way, and say where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import click

from modelpress.api import (
    JSONValue,
    MetricSpec,
    Registry,
    Verbosity,
    examples,
    execute_workflow,
    json_option,
    number,
    offline_option,
    print_json,
    print_table,
    verbosity_options,
)
from modelpress_plugins.hf.command_line import (
    cache_option,
    data_option,
    max_samples_option,
    text_template_option,
    trust_option,
)
from modelpress_plugins.hf.data_file import data_of_file

from .evaluate import DATA, defaults, defaults_of, input_model, metrics_option


class Row(NamedTuple):
    """One number of both models. intervals: within which it lies by 95 %, where that is known of both."""

    name: str
    one: float
    other: float
    intervals: tuple[tuple[float, float], tuple[float, float]] | None

    @property
    def verdict(self) -> str:
        """`differs` where the intervals have nothing in common; without them only what is not equal is."""
        if self.one == self.other:
            return "the same"
        if self.intervals is None:
            return (
                f"{number(self.other - self.one)} more"
                if self.other > self.one
                else (f"{number(self.one - self.other)} less")
            )
        (low, high), (other_low, other_high) = self.intervals
        return "differs" if other_low > high or low > other_high else "no difference shown"


@click.command(
    "compare",
    epilog=examples("modelpress compare phi3 phi3-int4 --data test.json"),
)
@click.argument("one")
@click.argument("other")
@metrics_option
@data_option
@text_template_option
@max_samples_option
@trust_option
@cache_option
@offline_option
@verbosity_options
@json_option
def command(
    one: str,
    other: str,
    names: tuple[str, ...],
    data: Path | None,
    text_template: str | None,
    max_samples: int | None,
    trust_remote_code: bool,
    cache_dir: Path | None,
    offline: bool,
    verbosity: Verbosity,
    as_json: bool,
) -> None:
    """Measure ONE and OTHER (folders of any format, or ids of models on the hub) the same way, side by side.

    Where a metric says how sure it is, two numbers differ when their intervals have nothing in common.
    """
    registry = Registry.load()
    chosen = [registry.find(MetricSpec, name) for name in names] or defaults(registry, data, text_template)
    metrics: list[JSONValue] = [
        {"type": entry.spec.name, **defaults_of(entry, data, max_samples, few=not names)} for entry in chosen
    ]
    results = []
    for model in (one, other):
        workflow: dict[str, JSONValue] = {
            "input_model": input_model(registry, model, None, trust_remote_code=trust_remote_code),
            "evaluators": {"compare": {"metrics": metrics}},
            "evaluator": "compare",
        }
        if data is not None:
            workflow["data_configs"] = [data_of_file(DATA, data, text_template)]
        results.append(
            execute_workflow(
                workflow,
                output_dir=None,
                cache_dir=cache_dir,
                offline=offline,
                verbosity=verbosity,
                as_json=as_json,
                show_result=False,
            )
        )
    first, second = results
    rows = compared(first.metrics, second.metrics, first.intervals, second.intervals)
    if as_json:
        print_json([{**row._asdict(), "verdict": row.verdict} for row in rows])
    else:
        body = [[row.name, number(row.one), number(row.other), row.verdict] for row in rows]
        print_table(["NUMBER", one, other, ""], body, right=(one, other))


def compared(
    one: Mapping[str, float],
    other: Mapping[str, float],
    of_one: Mapping[str, tuple[float, float]],
    of_other: Mapping[str, tuple[float, float]],
) -> list[Row]:
    """What was measured of both."""
    both = [name for name in one if name in other]
    sure = {name: (of_one[name], of_other[name]) for name in both if name in of_one and name in of_other}
    return [Row(name, one[name], other[name], sure.get(name)) for name in both]
