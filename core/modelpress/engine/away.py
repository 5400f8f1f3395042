"""Artifacts that stay on the system that made them, if it keeps them; known here by what was listed.

`away/KEY.json` in the cache. The bytes are fetched when another place needs them, or the user.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modelpress.artifact import Artifact
from modelpress.disk import megabytes
from modelpress.engine.cache import Cache
from modelpress.engine.job import Result
from modelpress.engine.job_runner import check_whole, gone
from modelpress.engine.shared_cache import SharedCache
from modelpress.engine.systems import OpenSystems, PlaceRecord
from modelpress.errors import ArtifactGone
from modelpress.events import Log
from modelpress.files import flush_to_disk
from modelpress.json_types import JSONValue
from modelpress.records import read_record, write_record
from modelpress.system import Handle, Tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """One artifact. handle: of the job that made it, whose `out` it is; made_by: for its manifest."""

    key: str
    place: PlaceRecord
    handle: Handle
    result: Result
    made_by: Mapping[str, JSONValue]


class AwayArtifacts:
    """Those that a cache knows of."""

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "away"

    def find(self, key: str) -> Away | None:
        """None also for a record that is damaged: it is made again."""
        try:
            found = read_record(Away, self._folder / f"{key}.json")
        except (OSError, ValueError):
            return None
        return found if found.key == key else None

    def keep(self, artifact: Away) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_record(self._folder / f"{artifact.key}.json", artifact)
        flush_to_disk(self._folder)

    def forget(self, key: str) -> None:
        (self._folder / f"{key}.json").unlink(missing_ok=True)


class Reach:
    """Which artifacts a system can read where they are, and those that it cannot brought here."""

    def __init__(self, cache: Cache, systems: OpenSystems, shared: SharedCache, tell: Tell) -> None:
        self._cache = cache
        self._systems = systems
        self._shared = shared
        self._tell = tell
        self.away = AwayArtifacts(cache.folder)

    def kept(self, key: str, system: str) -> Handle | None:
        """The handle of the job of that very system which made the artifact, where it has stayed there."""
        found = self.away.find(key)
        return found.handle if found and found.place == self._systems.record(system) else None

    def within(self, model: Artifact, system: str) -> Artifact:
        """The model and its base, so that each is on this machine or kept by the system."""
        base = self.within(model.base, system) if model.base else None
        model = replace(model, base=base)
        return model if self.kept(model.key, system) is not None else self.here(model)

    def here(self, model: Artifact) -> Artifact:
        """The model on this machine, its base not looked at. Raises HostError when it is there no more."""
        found = self.away.find(model.key)
        if found is None:
            self._shared.bring(model.key, self._tell)
            return model
        with self._cache.lock(f"fetch-{model.key}", lambda: None):
            if self._cache.artifact_folder(model.key).exists():
                self.away.forget(model.key)
                return model
            folder = self._cache.folder / "fetched" / model.key
            folder.mkdir(parents=True, exist_ok=True)
            size = sum(facts.size for facts in found.result.files.values())
            self._tell(Log("info", f"Fetching {megabytes(size)} from {found.place.name!r}."))
            try:
                self._systems.at(found.place).collect(found.handle, ("out",), folder)
                if not (folder / "out").exists():
                    raise gone(f"The result {model.key[:12]}", found.place.name)
                check_whole(folder / "out", found.result.files)
            except ArtifactGone:
                self.away.forget(model.key)
                raise
            made = self._cache.commit(folder / "out", replace(model, path=folder / "out"), found.made_by)
            shutil.rmtree(folder, ignore_errors=True)
            self.away.forget(model.key)
            return made

    def forget(self, model: Artifact) -> None:
        """The model and its base are where they were no more."""
        self.away.forget(model.key)
        if model.base:
            self.forget(model.base)
