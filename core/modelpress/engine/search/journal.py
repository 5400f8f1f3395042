"""The journal of a search: a JSON object a line, in the cache's `searches/ID/`: what was proposed, before it
is begun, and each candidate that is done.

A run that is killed loses no more than the candidates that it was at, and these are the first that the next
one does. The last line of each number counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelpress.disk import disk_full, is_disk_full
from modelpress.engine.search.record import CandidateRecord
from modelpress.json_types import Scalar
from modelpress.records import VERSION, from_json, to_json
from modelpress.search import Candidate
from modelpress.secrets import redact

FILE = "candidates.jsonl"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a sampler asked for. number: of the candidate; a later stage may come to it again."""

    number: int
    stage: int
    choices: dict[str, Scalar]


class Journal:
    """Candidates by number. folder: of this search alone; the caller holds its lock."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._path = folder / FILE
        self._known: dict[int, CandidateRecord] = {}
        self._proposals: list[Proposal] = []
        self._numbers: dict[str, int] = {}
        self.has_ended = False
        """Whether the search had come to its end when it was last written."""
        self._read()

    @property
    def records(self) -> Sequence[CandidateRecord]:
        """In the order of their numbers."""
        return [self._known[number] for number in sorted(self._known)]

    def find(self, number: int) -> CandidateRecord | None:
        return self._known.get(number)

    @property
    def count(self) -> int:
        """How many candidates were proposed."""
        return len(set(self._numbers.values()))

    def proposals(self, stage: int) -> list[Proposal]:
        """In the order in which they were made."""
        return [each for each in self._proposals if each.stage == stage]

    def number_of(self, choices: Candidate) -> int:
        """Of the candidate that was proposed with these choices, or of the next one."""
        known = self._numbers.get(_text(choices))
        return known or max(self._numbers.values(), default=0) + 1

    def propose(self, proposal: Proposal) -> None:
        """Note what is begun next: it is on the disk when this returns."""
        self._take(proposal)
        self.has_ended = False
        self._append({"version": VERSION, "proposed": to_json(proposal)})

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
                if "proposed" in values:
                    self._take(from_json(Proposal, values["proposed"]))
                if "candidate" in values:
                    record = from_json(CandidateRecord, values["candidate"])
                    self._known[record.number] = record
                self.has_ended = values.get("ended", False) is True
            except (ValueError, KeyError, TypeError):
                continue  # damaged: that candidate is done again
        self._heal()

    def _heal(self) -> None:
        """A line was damaged: what was done was proposed, too."""
        for record in self.records:
            if record.number not in self._numbers.values():
                self._take(Proposal(record.number, record.stage, dict(record.choices)))

    def _take(self, proposal: Proposal) -> None:
        self._proposals.append(proposal)
        self._numbers.setdefault(_text(proposal.choices), proposal.number)

    def _append(self, values: object) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(redact(json.dumps(values)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if is_disk_full(error, self.folder):
                raise disk_full(self.folder) from error
            raise


def _text(choices: Candidate) -> str:
    return json.dumps(dict(choices), sort_keys=True)
