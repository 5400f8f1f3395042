"""Files in Azure's blob storage: what is there, known by their etags; and brought here, resumed, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, cast

from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import ContainerClient, ExponentialRetry

from modelpress.api import HostError, UserError, did_you_mean
from modelpress_plugins.azureml.client import asking
from modelpress_plugins.azureml.config import ClientOptions

_PART = ".modelpress-part"
_CONNECT = 10


class _Listed(Protocol):
    """What the SDK says of a blob."""

    name: str
    size: int
    etag: str
    metadata: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class Blob:
    """path: below its folder; empty for a file that was named itself."""

    name: str
    path: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Blobs:
    """The blobs at a path of a container: one file, or a folder."""

    container: ContainerClient
    path: str
    words: str
    """What it is called in messages."""
    address: str = ""
    """By which a job has it as an input."""
    asset: str = ""
    """What Azure says that it is, of a registered model."""

    def found(self) -> list[Blob]:
        """By path. Raises UserError where there is none."""
        with asking(self.words):
            try:
                found = sorted(self._listed(), key=lambda blob: blob.path)
            except ResourceNotFoundError:
                raise UserError(f"{self._subject} does not exist: its container is not there.") from None
            if not found:
                near = did_you_mean(PurePosixPath(self.path).name, self._siblings())
                what = f"{self._subject} does not exist: nothing lies at {self.path!r}."
                raise UserError(what, near or "Look for it in the studio, under Data, Datastores.")
        return found

    @property
    def _subject(self) -> str:
        return f"{self.words[0].upper()}{self.words[1:]}"

    def _listed(self) -> Iterator[Blob]:
        path = self.path.strip("/")
        for listed in self.container.list_blobs(name_starts_with=path, include=["metadata"]):
            blob = cast("_Listed", listed)
            if (blob.metadata or {}).get("hdi_isfolder") == "true" or blob.name.endswith("/"):
                continue
            if blob.name == path:
                yield Blob(blob.name, "", blob.size, blob.etag)
            elif not path or blob.name.startswith(f"{path}/"):
                yield Blob(blob.name, blob.name[len(path) :].lstrip("/"), blob.size, blob.etag)

    def _siblings(self) -> list[str]:
        folder = str(PurePosixPath(self.path.strip("/")).parent)
        start = "" if folder == "." else f"{folder}/"
        listed = self.container.walk_blobs(name_starts_with=start, delimiter="/")
        return [PurePosixPath(each.name).name for _, each in zip(range(500), listed, strict=False)]

    def identity(self) -> str:
        """What the content is, told by etags alone."""
        told = hashlib.sha256()
        for blob in self.found():
            told.update(f"{blob.path}\0{blob.size}\0{blob.etag}\n".encode())
        return told.hexdigest()

    def fetch(self, folder: Path) -> Path:
        """Bring them below the folder, going on with what an earlier try left there."""
        blobs = self.found()
        root = folder / (PurePosixPath(self.path.strip("/")).name or "content")
        for blob in blobs:
            parts = PurePosixPath(blob.path).parts
            if ".." in parts or PurePosixPath(blob.path).is_absolute():
                raise HostError(
                    f"{self._subject} has a file whose name leads out of its folder: {blob.name!r}."
                )
            self._fetch(blob, root.joinpath(*parts))
        self._check(blobs, root)
        return root

    def _fetch(self, blob: Blob, target: Path) -> None:
        if target.is_file() and target.stat().st_size == blob.size:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}{_PART}")
        have = part.stat().st_size if part.exists() else 0
        if have > blob.size:
            part.unlink()
            have = 0
        with asking(f"{blob.name!r} of {self.words}"), part.open("ab") as sink:
            if have < blob.size:
                for chunk in self._chunks(blob, have):
                    sink.write(chunk)
        if part.stat().st_size != blob.size:
            raise HostError(
                f"{blob.name!r} is {blob.size} bytes there, {part.stat().st_size} arrived.",
                "Run the same command again: it goes on where it was.",
            )
        part.rename(target)

    def _chunks(self, blob: Blob, offset: int) -> Iterator[bytes]:
        try:
            yield from self.container.download_blob(
                blob.name, offset=offset, length=blob.size - offset, etag=blob.etag,
                match_condition=MatchConditions.IfNotModified, max_concurrency=1,
            ).chunks()  # fmt: skip
        except ResourceModifiedError:
            what = f"{blob.name!r} changed while it was fetched."
            raise HostError(what, "Run the same command again.") from None

    def _check(self, blobs: list[Blob], root: Path) -> None:
        files = [root] if root.is_file() else [file for file in root.rglob("*") if file.is_file()]
        size, wanted = sum(file.stat().st_size for file in files), sum(blob.size for blob in blobs)
        if (len(files), size) != (len(blobs), wanted):
            raise HostError(
                f"{self._subject} is {len(blobs)} files of {wanted} bytes there, "
                f"but {len(files)} of {size} here.",
                "Run the same command again.",
            )


def container_at(
    url: str, credential: str | TokenCredential | None, options: ClientOptions
) -> ContainerClient:
    """url: of the container, with a SAS or without. What fails for a passing reason is tried again, a name
    that does not resolve or a refusal is told within seconds."""
    retry = ExponentialRetry(
        initial_backoff=1, increment_base=2, retry_total=options.max_operation_retries, random_jitter_range=1
    )
    return ContainerClient.from_container_url(
        url, credential, retry_policy=retry, connection_timeout=_CONNECT,
        read_timeout=options.read_timeout or 60,
    )  # fmt: skip
