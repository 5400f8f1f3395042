"""modelpress presses AI models for the hardware they will run on.

`modelpress.run("workflow.yaml")` runs a workflow, `plan` and `validate` look at one. Plugins import
`modelpress.api`.
"""

# No import from the future: it would be the first file that `python -m` looks for in the current folder.
import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    # `python -m modelpress` (argv says so while the package is looked for): Python has put the current folder
    # first on the import path, and a model's folder may hold a `queue.py`.
    del sys.path[0]

from typing import TYPE_CHECKING

from modelpress.version import VERSION as __version__

if TYPE_CHECKING:
    from modelpress.engine.plan import Plan as Plan
    from modelpress.engine.runner import RunResult as RunResult
    from modelpress.errors import Problem as Problem
    from modelpress.from_python import plan as plan
    from modelpress.from_python import run as run
    from modelpress.from_python import validate as validate

__all__ = ["Plan", "Problem", "RunResult", "__version__", "plan", "run", "validate"]


def __getattr__(name: str) -> object:
    # Loaded on first use: `import modelpress` is on the path of every command and every worker.
    if name in __all__:
        from modelpress import from_python  # noqa: PLC0415

        return getattr(from_python, name)
    raise AttributeError(f"module 'modelpress' has no attribute {name!r}")
