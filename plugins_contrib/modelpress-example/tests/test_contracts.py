"""Each of the eleven plugins stands the contract of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from modelpress_example.files import FILE, count_letters, write_counts
from modelpress_example.lines import Lines

from modelpress.api import Artifact
from modelpress.testing import (
    CommandContract,
    DataContract,
    FormatContract,
    LibraryContract,
    MetricContract,
    ModelContract,
    ObserverContract,
    PassContract,
    ResourceContract,
    SamplerContract,
    SystemContract,
    input_artifact,
)

POEM = "Tyger Tyger, burning bright,\nIn the forests of the night;\nWhat immortal hand or eye\n"


def make_model(folder: Path) -> Artifact:
    folder.mkdir(parents=True)
    write_counts(folder, count_letters(POEM))
    return input_artifact(folder, "bigram")


class TestBigramModel(ModelContract):
    model_name = "BigramModel"

    def make_options(self, folder: Path) -> Mapping[str, str]:
        return {"model_path": str(make_model(folder).path)}


class TestBigramFormat(FormatContract):
    format_name = "bigram"
    needed_files = (FILE,)

    def make_model(self, folder: Path) -> Artifact:
        return make_model(folder)


class TestPruneBigram(PassContract):
    pass_name = "PruneBigram"
    options = {"min_count": 2}  # noqa: RUF012 - pytest never changes it
    bad_options = {"min_count": 0}  # noqa: RUF012
    golden = Path(__file__).parent / "golden"

    def make_input(self, folder: Path) -> Artifact:
        return make_model(folder)


class TestTextLines(DataContract):
    data_name = "TextLines"

    def make_options(self, folder: Path) -> Mapping[str, str]:
        folder.mkdir()
        (folder / "poem.txt").write_text(POEM, encoding="utf-8")
        return {"data_files": str(folder / "poem.txt")}


class TestBitsPerCharacter(MetricContract):
    metric_name = "bits_per_character"
    options = {"data_config": "poem"}  # noqa: RUF012
    data = {"text": Lines("poem", POEM.splitlines())}  # noqa: RUF012

    def make_input(self, folder: Path) -> Artifact:
        return make_model(folder)


class TestExampleStore(ResourceContract):
    resource_name = "example_store"

    def make_options(self, folder: Path) -> Mapping[str, str]:
        folder.mkdir()
        (folder / "poem.txt").write_text(POEM, encoding="utf-8")
        return {"store": str(folder), "name": "poem.txt"}

    def change(self, folder: Path) -> None:
        (folder / "poem.txt").write_text(POEM.upper(), encoding="utf-8")


class TestFreshProcess(SystemContract):
    system_name = "FreshProcess"
    options = {"threads": 1}  # noqa: RUF012


class TestEveryChoice(SamplerContract):
    sampler_name = "every_choice"


class TestExampleDiary(ObserverContract):
    observer_name = "ExampleDiary"


class TestExampleLetters(LibraryContract):
    library_name = "example-letters"


class TestBigramCommand(CommandContract):
    command_name = "bigram"

    def make_arguments(self, folder: Path) -> Sequence[str]:
        if not folder.exists():
            make_model(folder)
        return [str(folder), "T"]
