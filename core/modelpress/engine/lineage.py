"""What a model was made from and how, as short texts by name: for whoever keeps models with tags."""

from __future__ import annotations

import json
from collections.abc import Mapping

from modelpress.engine.record import RunRecord, StepRecord
from modelpress.secrets import redact


def lineage(record: RunRecord) -> dict[str, str]:
    """Of the model that a run ends with."""
    told = {
        "modelpress": record.modelpress,
        "modelpress.workflow": record.workflow_id,
        "modelpress.run": record.id,
        "modelpress.seed": str(record.seed),
    }
    told |= {f"modelpress.input.{name}": value for name, value in record.input_model.items()}
    for number, step in enumerate((step for step in record.steps if step.kind == "pass"), start=1):
        told[f"modelpress.pass.{number}"] = _pass(step)
        told |= {f"modelpress.data.{role}": _short(value) for role, value in step.data.items()}
    told |= {f"modelpress.metric.{name}": f"{value:.6g}" for name, value in record.metrics.items()}
    return {name: redact(value) for name, value in told.items() if value}


def _pass(step: StepRecord) -> str:
    return f"{step.type} of {step.provider}, {_short(step.options)}"


def _short(value: Mapping[str, object] | object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
