"""The tests that every data container has to stand.

class TestAcmeLines(DataContract):
    data_name = "AcmeLines"

    def make_options(self, folder):
        folder.mkdir()
        (folder / "lines.txt").write_text("one\\ntwo\\n")
        return {"data_files": str(folder / "lines.txt")}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest
from pydantic import JsonValue

from modelpress.context import DataContext, DataFacts
from modelpress.engine.process import child_environment, import_path
from modelpress.registry import Registered, Registry
from modelpress.samples import DataSource, Sample
from modelpress.specs import DataContainerSpec
from modelpress.testing.context import RecordingPlan, options_class
from modelpress.testing.contract import Contract
from modelpress.testing.libraries import undeclared
from modelpress.testing.watch import Watch

_ELSEWHERE = "import sys; from modelpress.testing.data import read_elsewhere; read_elsewhere(*sys.argv[1:])"


class Characters:
    """A tokenizer that knows the ASCII characters and needs no library; enough for most containers."""

    bos_token_id, eos_token_id, pad_token_id = 1, 2, 2
    all_special_ids = (1, 2)
    chat_template = None
    is_fast = True

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        ids = self.encode(text)
        return {"input_ids": ids, "attention_mask": [1] * len(ids)}

    def encode(self, text: str, **_: object) -> list[int]:
        return [ord(character) for character in text]

    def decode(self, token_ids: Iterable[int], **_: object) -> str:
        return "".join(chr(token) for token in token_ids)

    def __len__(self) -> int:
        return 128


class Elsewhere(NamedTuple):
    """What another process saw when it opened the data and read every row.

    libraries: top-level modules that the container imported; written: files that were made or opened for
    writing, but for those in the folder where it may keep what it converts
    """

    digest: str
    libraries: list[str]
    written: list[str]


class DataContract(Contract[DataContainerSpec]):
    """Subclass it in a test module and make some data; pytest does the rest."""

    data_name: ClassVar[str] = ""

    def make_options(self, folder: Path) -> Mapping[str, JsonValue]:
        """Options that name a little data, made in the folder (which does not exist yet)."""
        return self.options

    def tokenizer(self) -> object:
        """What `samples` is given. A transformers tokenizer where the container needs one."""
        return Characters()

    def find(self, registry: Registry) -> Registered[DataContainerSpec]:
        return registry.find(DataContainerSpec, self.data_name)

    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return self.kept("options", lambda: self.make_options(folder / "data"))

    @pytest.fixture
    def opened(self, registered: Registered[DataContainerSpec], place: Path, libraries: None) -> DataSource:
        return self._open(registered, place)

    def _open(self, registered: Registered[DataContainerSpec], place: Path) -> DataSource:
        options = self.parsed(registered, self.some_options(place))
        (place / "converted").mkdir(exist_ok=True)
        return registered.resolve(registered.spec.open)(options, DataContext(place / "converted"))

    def _samples(self, source: DataSource) -> list[Sample]:
        return list(source.samples(self.tokenizer()))

    def test_it_has_a_name_and_rows(self, opened: DataSource) -> None:
        assert opened.name
        assert any(True for _ in opened.records()), "there are no rows"

    def test_its_samples_are_whole(self, opened: DataSource) -> None:
        samples = self._samples(opened)
        assert samples
        for sample in samples:
            assert len(sample.input_ids) == len(sample.labels) > 0
            assert all(isinstance(number, int) and number >= 0 for number in sample.input_ids)
            assert all(
                label in (-100, token) for label, token in zip(sample.labels, sample.input_ids, strict=True)
            ), "a label is its token, or -100 where no loss is taken"
            assert sample.attention_mask is None or len(sample.attention_mask) == len(sample.input_ids)

    def test_it_gives_the_same_every_time(
        self, registered: Registered[DataContainerSpec], opened: DataSource, place: Path
    ) -> None:
        again = self._open(registered, place)
        assert self._samples(opened) == self._samples(opened), "a source can be read twice"
        assert self._samples(again) == self._samples(opened)

    @pytest.fixture
    def elsewhere(self, registered: Registered[DataContainerSpec], place: Path, libraries: None) -> Elsewhere:
        """With another hash seed and working folder."""
        return self.kept("elsewhere", lambda: self._read_elsewhere(place))

    def _read_elsewhere(self, place: Path) -> Elsewhere:
        values = json.dumps(dict(self.some_options(place)))
        around = place / "another working folder"
        for name in ("converted", "temporary"):
            (around / name).mkdir(parents=True, exist_ok=True)
        temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(around / "temporary"))
        environment = {**os.environ, **temporary, "PYTHONPATH": import_path(), "PYTHONHASHSEED": "7"}
        done = subprocess.run(
            [sys.executable, "-c", _ELSEWHERE, self.data_name, values, str(around / "converted")],
            cwd=around, env=child_environment(environment), capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Elsewhere(*json.loads(done.stdout.splitlines()[-1]))

    def test_it_gives_the_same_in_another_process(self, opened: DataSource, elsewhere: Elsewhere) -> None:
        assert elsewhere.digest == _digest(opened)

    def test_it_requires_the_libraries_that_it_imports(
        self, registered: Registered[DataContainerSpec], elsewhere: Elsewhere
    ) -> None:
        found = undeclared(elsewhere.libraries, registered.spec.requires, registered.distribution)
        assert found == [], "name their distributions in `requires`: versions are part of the cache key"

    def test_it_keeps_what_it_converts_in_the_folder_it_is_given(self, elsewhere: Elsewhere) -> None:
        assert elsewhere.written == [], "write to data.folder: others may not be there, or be read at once"

    def test_what_it_says_before_is_true(
        self, registered: Registered[DataContainerSpec], opened: DataSource, place: Path
    ) -> None:
        """Columns and rows as the plan is told them are those of the rows."""
        if not registered.spec.describe:
            pytest.skip("nothing is said before")
        context = RecordingPlan(place)
        options = self.parsed(registered, self.some_options(place))
        facts: DataFacts = registered.resolve(registered.spec.describe)(options, context) or DataFacts()
        assert context.problems == []
        rows = list(opened.records())
        assert facts.rows in (None, len(rows))
        if facts.columns is not None:
            assert all(set(row) <= set(facts.columns) for row in rows)

    def test_a_cut_leaves_nothing_on_both_sides(self, opened: DataSource) -> None:
        rows = [_text(row) for row in opened.records()]
        if len(set(rows)) < 2:
            pytest.skip("too few rows to cut")
        one, other = opened.split(0.5, 0)
        first, second = ({_text(row) for row in part.records()} for part in (one, other))
        assert not first & second
        assert first | second == set(rows)


def _digest(source: DataSource) -> str:
    return sha256("\n".join(_text(row) for row in source.records()).encode()).hexdigest()


def _text(row: Mapping[str, object]) -> str:
    return json.dumps(dict(row), sort_keys=True, default=str)


def read_elsewhere(name: str, values: str, folder: str) -> None:
    """What the other process does: open the data, read its rows, and print what it saw."""
    registered = Registry.load().find(DataContainerSpec, name)
    watch = Watch({path.stem for path in registered.provider.folders} - {"modelpress"})
    watch.start()
    options = options_class(registered).parse(json.loads(values))
    digest = _digest(registered.resolve(registered.spec.open)(options, DataContext(Path(folder))))
    written = sorted(path for path in list(watch.written) if not _is_own(path, folder))
    print("\n" + json.dumps(Elsewhere(digest, sorted(watch.libraries), written)))


def _is_own(path: str, folder: str) -> bool:
    """Whether a file may be written: converted data, what Python compiled, what is gone again."""
    return (
        path.startswith((folder, tempfile.gettempdir())) or "__pycache__" in path or not os.path.exists(path)
    )
