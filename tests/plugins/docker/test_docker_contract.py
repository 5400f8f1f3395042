"""Docker keeps the contract of every system, in real containers."""

from __future__ import annotations

from typing import ClassVar

import pytest

from modelpress.testing import SystemContract


class TestDocker(SystemContract):
    system_name = "Docker"
    options: ClassVar = {"image_name": "localhost/modelpress-test:latest", "max_jobs": 4}
    isolated = True

    @pytest.fixture(autouse=True)
    def there(self, engine) -> None:
        """The engine that DOCKER_HOST names, for the processes that a test starts, too."""
