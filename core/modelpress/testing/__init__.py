"""What a plugin's author tests with: a contract to subclass for each kind, and the pieces they are made of.

The contracts need pytest; `make_tiny_model` needs torch and transformers when it is called. Each is imported
when it is asked for: a process that runs a plugin for its test has neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelpress.testing.commands import CommandContract
    from modelpress.testing.context import (
        RecordingPlan,
        input_artifact,
        model_facts,
        pass_context,
        run_metric,
        run_pass,
    )
    from modelpress.testing.contract import Contract
    from modelpress.testing.data import DataContract
    from modelpress.testing.formats import FormatContract
    from modelpress.testing.input_models import ModelContract
    from modelpress.testing.known_libraries import LibraryContract
    from modelpress.testing.metrics import MetricContract
    from modelpress.testing.models import make_tiny_model
    from modelpress.testing.observers import ObserverContract
    from modelpress.testing.passes import PassContract
    from modelpress.testing.resources import ResourceContract
    from modelpress.testing.samplers import SamplerContract
    from modelpress.testing.systems import SystemContract

__all__ = [
    "CommandContract",
    "Contract",
    "DataContract",
    "FormatContract",
    "LibraryContract",
    "MetricContract",
    "ModelContract",
    "ObserverContract",
    "PassContract",
    "RecordingPlan",
    "ResourceContract",
    "SamplerContract",
    "SystemContract",
    "input_artifact",
    "make_tiny_model",
    "model_facts",
    "pass_context",
    "run_metric",
    "run_pass",
]

_CONTRACTS = {
    "CommandContract": "commands",
    "Contract": "contract",
    "DataContract": "data",
    "FormatContract": "formats",
    "LibraryContract": "known_libraries",
    "MetricContract": "metrics",
    "ModelContract": "input_models",
    "ObserverContract": "observers",
    "PassContract": "passes",
    "ResourceContract": "resources",
    "SamplerContract": "samplers",
    "SystemContract": "systems",
}
_PIECES = {"make_tiny_model": "models"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'modelpress.testing' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - nothing here is imported before it is asked for

    if name in _CONTRACTS:
        import pytest  # noqa: PLC0415

        # Before they are imported: a failed assert in a contract shows both sides, as one in a test does.
        pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _CONTRACTS.values()))
    home = {**_CONTRACTS, **_PIECES}.get(name, "context")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
