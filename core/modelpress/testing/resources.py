"""The tests that every kind of resource has to stand.

class TestAcmeShare(ResourceContract):
    resource_name = "acme_share"

    def make_options(self, folder):
        ...  # put something to fetch there
        return {"path": str(folder / "file.txt")}

    def change(self, folder):
        (folder / "file.txt").write_text("other content")
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import JsonValue

from modelpress.registry import Registered, Registry
from modelpress.specs import ResourceSpec
from modelpress.testing.contract import Contract, content


class ResourceContract(Contract[ResourceSpec]):
    """Subclass it in a test module and make something to fetch; pytest does the rest."""

    resource_name: ClassVar[str] = ""

    def make_options(self, folder: Path) -> Mapping[str, JsonValue]:
        """Options that name something small, put in the folder (which does not exist yet)."""
        raise NotImplementedError(f"{type(self).__name__} has to define make_options(folder)")

    def change(self, folder: Path) -> None:
        """Change the content of what make_options put in that folder."""
        raise NotImplementedError(f"{type(self).__name__} has to define change(folder)")

    def find(self, registry: Registry) -> Registered[ResourceSpec]:
        return registry.find(ResourceSpec, self.resource_name)

    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return self.kept("options", lambda: self.make_options(folder / "there"))

    def _identity(self, registered: Registered[ResourceSpec], values: Mapping[str, JsonValue]) -> str:
        return registered.resolve(registered.spec.identity)(self.parsed(registered, values))

    def _fetch(
        self, registered: Registered[ResourceSpec], values: Mapping[str, JsonValue], folder: Path
    ) -> Path:
        folder.mkdir()
        return registered.resolve(registered.spec.fetch)(self.parsed(registered, values), folder)

    @pytest.fixture
    def values(self, place: Path, libraries: None) -> Mapping[str, JsonValue]:
        return self.some_options(place)

    def test_its_identity_is_the_same_every_time(
        self, registered: Registered[ResourceSpec], values: Mapping[str, JsonValue]
    ) -> None:
        identity = self._identity(registered, values)
        assert identity
        assert isinstance(identity, str)
        assert self._identity(registered, values) == identity

    def test_its_identity_changes_with_the_content(
        self, registered: Registered[ResourceSpec], tmp_path: Path, libraries: None
    ) -> None:
        values = self.make_options(tmp_path / "there")
        before = self._identity(registered, values)
        self.change(tmp_path / "there")
        assert self._identity(registered, values) != before, "an old result would be taken for the new one"

    def test_it_is_brought_below_the_folder(
        self, registered: Registered[ResourceSpec], values: Mapping[str, JsonValue], tmp_path: Path
    ) -> None:
        path = self._fetch(registered, values, tmp_path / "here")
        assert path.exists()
        assert path.resolve().is_relative_to((tmp_path / "here").resolve())

    def test_the_same_content_is_brought_every_time(
        self, registered: Registered[ResourceSpec], values: Mapping[str, JsonValue], tmp_path: Path
    ) -> None:
        paths = [self._fetch(registered, values, tmp_path / name) for name in ("one", "other")]
        first, second = (content([tmp_path / name]) for name in ("one", "other"))
        assert first == second
        assert first
        assert paths[0].name == paths[1].name
