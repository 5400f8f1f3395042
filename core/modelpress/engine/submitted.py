"""Jobs that were given to a system, as the cache keeps them: `handles/KEY.json`, beside the job's folder.

Written before the job is submitted and again with its handle, before anything waits for it: a run that was
killed, at whatever moment, is followed by one that attaches to the job, or knows that it never began.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelpress.engine.systems import PlaceRecord
from modelpress.errors import UserError
from modelpress.files import flush_to_disk
from modelpress.nearest import did_you_mean
from modelpress.records import read_record, write_record
from modelpress.system import Handle


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """One job.

    key:      of the task that it does, and the name of its folder
    id:       of this try
    name, type: of the pass or metric
    handle:   None while it is being submitted
    at:       when, Unix seconds; boot: when this machine was started, as seen then
    workflow: the file; empty for one that was given as values
    joined:   the keys of all jobs of its submission, in their order; empty where it is alone
    """

    key: str
    id: str
    name: str
    type: str
    place: PlaceRecord
    attachable: bool
    handle: Handle | None
    at: float
    boot: float
    workflow: str = ""
    joined: tuple[str, ...] = ()

    @property
    def leads(self) -> bool:
        """Whether it can be submitted by itself: what comes after others is submitted with them."""
        return self.joined[:1] in ((), (self.key,))

    @property
    def rest(self) -> tuple[str, ...]:
        """It, and what its submission does after it."""
        return self.joined[self.joined.index(self.key) :] if self.joined else (self.key,)


class SubmittedJobs:
    """Those of a cache."""

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "handles"

    def find(self, key: str) -> Submitted | None:
        """None also for a record that is damaged: a job that cannot be found again."""
        try:
            return read_record(Submitted, self._folder / f"{key}.json")
        except (OSError, ValueError):
            return None

    def keep(self, job: Submitted) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_record(self._folder / f"{job.key}.json", job)
        flush_to_disk(self._folder)

    def forget(self, *keys: str) -> None:
        for key in keys:
            (self._folder / f"{key}.json").unlink(missing_ok=True)

    def all(self) -> Iterator[Submitted]:
        """The last one first."""
        found = [self.find(path.stem) for path in self._folder.glob("*.json")]
        yield from sorted((job for job in found if job), key=lambda job: -job.at)

    def get(self, name: str) -> Submitted:
        """The job whose key or id begins so. Raises UserError."""
        jobs = list(self.all())
        fitting = [job for job in jobs if job.key.startswith(name) or job.id.startswith(name)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            listed = ", ".join(job.id for job in fitting[:5])
            raise UserError(f"{len(fitting)} jobs begin with {name!r}.", f"Give more of it: {listed}.")
        hint = did_you_mean(name, [job.id for job in jobs], what="There are")
        raise UserError(f"There is no job {name!r} under way.", hint if jobs else "")
