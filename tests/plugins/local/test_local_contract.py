"""LocalSystem keeps the contract of every system."""

from __future__ import annotations

from modelpress.testing import SystemContract


class TestLocalSystem(SystemContract):
    system_name = "LocalSystem"
