"""The journal of a search: a JSON object for each candidate that is done, in the cache's `searches/ID/`.

A run that is killed loses no more than the candidate that it was at. The last line of each number counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from modelpress.engine.search.record import CandidateRecord
from modelpress.records import VERSION, from_json, to_json
from modelpress.secrets import redact

FILE = "candidates.jsonl"


class Journal:
    """Candidates by number. folder: of this search alone; the caller holds its lock."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._path = folder / FILE
        self._known: dict[int, CandidateRecord] = {}
        self.has_ended = False
        """Whether the search had come to its end when it was last written."""
        self._read()

    @property
    def records(self) -> Sequence[CandidateRecord]:
        """In the order of their numbers."""
        return [self._known[number] for number in sorted(self._known)]

    def add(self, record: CandidateRecord) -> None:
        """Keep a candidate: it is on the disk when this returns."""
        self._known[record.number] = record
        self.has_ended = False
        self._append({"version": VERSION, "candidate": to_json(record)})

    def end(self) -> None:
        """Note that no more is to be tried."""
        if not self.has_ended:
            self.has_ended = True
            self._append({"version": VERSION, "ended": True})

    def forget_failures(self) -> None:
        """What failed is tried again: after a search that ended, it may have been mended."""
        for number in [n for n, record in self._known.items() if record.status == "failed"]:
            del self._known[number]

    def _read(self) -> None:
        if not self._path.exists():
            return
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]  # a run was killed while it wrote the rest
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))
        for line in whole.splitlines():
            try:
                values = json.loads(line)
                if values["version"] != VERSION:
                    continue
                if "candidate" in values:
                    record = from_json(CandidateRecord, values["candidate"])
                    self._known[record.number] = record
                self.has_ended = values.get("ended", False) is True
            except (ValueError, KeyError, TypeError):
                continue  # damaged: that candidate is done again

    def _append(self, values: object) -> None:
        with self._path.open("ab") as file:
            file.write(redact(json.dumps(values)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
