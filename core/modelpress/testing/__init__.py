"""What a plugin's author tests with: `PassContract` to subclass, and the pieces that it is made of.

Importing it needs pytest; `make_tiny_model` needs torch and transformers when it is called.
"""

from __future__ import annotations

from modelpress.testing.context import RecordingPlan, input_artifact, model_facts, pass_context, run_pass
from modelpress.testing.contract import PassContract
from modelpress.testing.models import make_tiny_model

__all__ = [
    "PassContract",
    "RecordingPlan",
    "input_artifact",
    "make_tiny_model",
    "model_facts",
    "pass_context",
    "run_pass",
]
