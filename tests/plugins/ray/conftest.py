"""One cluster on this machine, started once for all of these tests: what a user starts with `ray start`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from modelpress_plugins.ray.client import Bridged
from modelpress_plugins.ray.config import RayOptions


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Its address. It has two processors."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        own = Bridged(RayOptions(num_cpus=2))
        assert own.ask(lambda asked: asked.nodes())
        yield own.address
        own.close()
