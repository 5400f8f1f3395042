"""PythonEnvironment keeps the contract of every system: the environment is that of this very Python."""

from __future__ import annotations

import sys
from typing import ClassVar

from modelpress.testing import SystemContract


class TestPythonEnvironment(SystemContract):
    system_name = "PythonEnvironment"
    options: ClassVar[dict[str, str]] = {"python_environment_path": sys.prefix}
