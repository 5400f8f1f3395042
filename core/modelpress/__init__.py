"""modelpress presses AI models for the hardware they will run on.

`modelpress.run("workflow.yaml")` runs a workflow; plugins import `modelpress.api`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelpress.engine.runner import RunResult as RunResult
    from modelpress.engine.runner import run as run

__version__ = "0.1.0"
__all__ = ["RunResult", "__version__", "run"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `import modelpress` is on the path of every command and every worker.
    if name in ("run", "RunResult"):
        from modelpress.engine import runner  # noqa: PLC0415

        return getattr(runner, name)
    raise AttributeError(f"module 'modelpress' has no attribute {name!r}")
