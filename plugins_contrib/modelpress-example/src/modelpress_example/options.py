"""What users may write, for each of the plugins that have options."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelpress.api import DataRole, LocalPath, Options, ResourcePath


class BigramModelOptions(Options):
    """Where the model is."""

    model_path: str = Field(description="A folder with bigram.json, from the workflow's folder.")


class PruneOptions(Options):
    """Which pairs go."""

    min_count: int = Field(default=2, ge=1, description="Pairs that were seen less often are dropped.")


class LinesOptions(Options):
    """Where the text is."""

    data_files: ResourcePath = Field(description="A text file in UTF-8, or a resource.")


class BitsOptions(Options):
    """What is foretold."""

    data_config: Annotated[str | None, DataRole("text")] = Field(
        default=None, description="The text. Unset: an English sentence."
    )


class StoreOptions(Options):
    """A file in the store."""

    store: Annotated[str, LocalPath()] = Field(description="The folder that stands for the store.")
    name: str = Field(description="The file's name in it.")


class DiaryOptions(Options):
    """Where it is written."""

    file: str = Field(default="diary.txt", description="The file, from the workflow's folder.")


class FreshOptions(Options):
    """How each process is started."""

    threads: int = Field(default=1, ge=1, description="Threads of the libraries for numbers.")


class ChoicesOptions(Options):
    """How much is tried."""

    most: int | None = Field(default=None, ge=1, description="Most candidates. Unset: all there are.")
