"""A file of text that a command line names (`--data FILE`), as the data config that reads it."""

from __future__ import annotations

from pathlib import Path

from modelpress.api import JSONValue, UserError

READERS = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet", ".txt": "text"}
"""Ending of a file -> what data sets of this kind are called."""


def data_of_file(name: str, file: Path, text_template: str | None = None) -> dict[str, JSONValue]:
    """The data config called name. Raises UserError when the file's ending is of no known kind.

    text_template: how a row becomes text: `'{question} {answer}'`; None: the columns are recognized
    """
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise UserError(f"{file} is of no known kind; expected {', '.join(READERS)}.")
    source: dict[str, JSONValue] = {
        "data_name": reader,
        "data_files": str(file.expanduser().absolute()),
        "split": "train",
    }
    template: dict[str, JSONValue] = {"text_template": text_template} if text_template else {}
    return {
        "name": name,
        "type": "HuggingfaceContainer",
        "load_dataset_config": source,
        "pre_process_data_config": template,
    }
