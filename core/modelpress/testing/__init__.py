"""What a plugin's author tests with: a contract to subclass for each kind, and the pieces they are made of.

Importing it needs pytest; `make_tiny_model` needs torch and transformers when it is called.
"""

from __future__ import annotations

import pytest

# Before they are imported: a failed assert in a contract shows both sides, as one in a test does.
pytest.register_assert_rewrite("modelpress.testing.contract", "modelpress.testing.passes")

from modelpress.testing.context import (  # noqa: E402
    RecordingPlan,
    input_artifact,
    model_facts,
    pass_context,
    run_metric,
    run_pass,
)
from modelpress.testing.contract import Contract  # noqa: E402
from modelpress.testing.models import make_tiny_model  # noqa: E402
from modelpress.testing.passes import PassContract  # noqa: E402

__all__ = [
    "Contract",
    "PassContract",
    "RecordingPlan",
    "input_artifact",
    "make_tiny_model",
    "model_facts",
    "pass_context",
    "run_metric",
    "run_pass",
]
