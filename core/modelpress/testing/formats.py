"""The tests that every format has to stand.

class TestAcmeFormat(FormatContract):
    format_name = "acme-model"

    def make_model(self, folder):
        ...  # write a small model into the folder
        return input_artifact(folder, "acme-model")
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import pytest

from modelpress.artifact import Artifact, artifact_files
from modelpress.errors import UserError
from modelpress.registry import Registered, Registry
from modelpress.specs import FormatSpec
from modelpress.testing.contract import Contract, content


class FormatContract(Contract[FormatSpec]):
    """Subclass it in a test module and make a model; pytest does the rest."""

    format_name: ClassVar[str] = ""
    needed_files: ClassVar[Iterable[str]] = ()
    """Files without which, or cut to half, no model of this format is whole. Left out: the largest file."""

    def make_model(self, folder: Path) -> Artifact:
        """A small model of this format, made in the folder (which does not exist yet)."""
        raise NotImplementedError(f"{type(self).__name__} has to define make_model(folder)")

    def find(self, registry: Registry) -> Registered[FormatSpec]:
        return registry.find(FormatSpec, self.format_name)

    @pytest.fixture
    def model(self, place: Path) -> Artifact:
        return self.kept("model", lambda: self.make_model(place / "model"))

    @pytest.fixture
    def copied(self, model: Artifact, tmp_path: Path) -> Path:
        """A copy of its folder, to be spoiled."""
        return Path(shutil.copytree(model.path, tmp_path / "copy"))

    def _needed(self, model: Artifact) -> list[str]:
        files = [path.relative_to(model.path).as_posix() for path in artifact_files(model.path)]
        return list(self.needed_files) or [max(files, key=lambda name: (model.path / name).stat().st_size)]

    def test_its_check_accepts_a_whole_model(
        self, registered: Registered[FormatSpec], model: Artifact
    ) -> None:
        before = content([model.path])
        registered.resolve(registered.spec.check)(model.path)
        assert content([model.path]) == before, "a check reads only"

    def test_its_check_refuses_an_empty_folder(
        self, registered: Registered[FormatSpec], tmp_path: Path
    ) -> None:
        with pytest.raises(UserError):
            registered.resolve(registered.spec.check)(tmp_path)

    def test_its_check_names_a_file_that_is_missing(
        self, registered: Registered[FormatSpec], model: Artifact, tmp_path: Path
    ) -> None:
        for number, name in enumerate(self._needed(model)):
            folder = Path(shutil.copytree(model.path, tmp_path / str(number)))
            (folder / name).unlink()
            with pytest.raises(UserError):
                registered.resolve(registered.spec.check)(folder)

    def test_its_check_refuses_a_file_that_is_cut(
        self, registered: Registered[FormatSpec], model: Artifact, tmp_path: Path
    ) -> None:
        for number, name in enumerate(self._needed(model)):
            folder = Path(shutil.copytree(model.path, tmp_path / str(number)))
            data = (folder / name).read_bytes()
            (folder / name).write_bytes(data[: len(data) // 2])
            with pytest.raises(UserError):
                registered.resolve(registered.spec.check)(folder)

    def test_it_opens_and_closes(
        self, registered: Registered[FormatSpec], model: Artifact, libraries: None
    ) -> None:
        if not registered.spec.load:
            pytest.skip("the format cannot run by itself")
        before = content([model.path])
        registered.resolve(registered.spec.load)(model, "cpu").close()
        assert content([model.path]) == before, "opening a model must not change it"

    def test_its_tokenizer_gives_text(
        self, registered: Registered[FormatSpec], model: Artifact, libraries: None
    ) -> None:
        if not registered.spec.tokenizer:
            pytest.skip("the format has no tokenizer")
        tokenizer = registered.resolve(registered.spec.tokenizer)(model)
        assert isinstance(tokenizer.decode([0, 1, 2]), str)

    def test_what_its_card_tells_names_nothing_of_this_machine(
        self, registered: Registered[FormatSpec], model: Artifact
    ) -> None:
        if not registered.spec.usage:
            pytest.skip("the format tells nothing of how its models are used")
        usage = registered.call(registered.spec.usage, model)
        assert not usage.try_it or usage.try_it.format("X") != usage.try_it, "`{}` is where the folder goes"
        assert str(model.path) not in usage.text
