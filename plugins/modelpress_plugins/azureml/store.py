"""Files of jobs in a datastore of the workspace: brought there once by content, read back when wanted.

modelpress/inputs/DIGEST/…      an input, by what it is
modelpress/code/DIGEST.zip      modelpress and plugins
modelpress/jobs/ID/job/         layout.json; N/job.json and N/checkpoint/, for the Nth job of it
modelpress/jobs/ID/done/N/      what that job gives
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from modelpress.api import Log, Tell, UserError, size
from modelpress_plugins.azureml.blobs import Blob, Blobs
from modelpress_plugins.azureml.client import asking
from modelpress_plugins.azureml.config import ClientOptions
from modelpress_plugins.azureml.resources import datastore_blobs

_ROOT = "modelpress"
_WHOLE = ".modelpress-whole"
"""A blob beside an input: all of its files are there."""


class Store:
    """The folder `modelpress` of a datastore."""

    def __init__(self, client: ClientOptions, datastore: str) -> None:
        self._client, self._datastore = client, datastore
        self._blobs = datastore_blobs(client, datastore, _ROOT)
        self._container = self._blobs.container

    def address(self, path: str) -> str:
        """What jobs call a path of it."""
        return f"azureml://datastores/{self._datastore}/paths/{_ROOT}/{path}"

    def put_input(self, identity: str, name: str, source: Path, tell: Tell) -> str:
        """Bring an input there, unless it is: what an earlier try brought is gone on with. Returns a
        folder's address; a file lies in it by its own name, since a loader may go by its suffix."""
        what = identity if source.is_dir() else f"{identity} {source.name}"
        place = f"inputs/{hashlib.sha256(what.encode()).hexdigest()[:32]}"
        address = self.address(place)
        whole = f"{_ROOT}/{place}{_WHOLE}"
        files = list(_files(source, source.name))
        with asking(f"the upload of {name!r} to the datastore {self._datastore!r}"):
            if self._container.get_blob_client(whole).exists():
                return address
            there = {blob.path: blob.size for blob in self._listed(place)}
            missing = [(path, file) for path, file in files if there.get(path) != file.stat().st_size]
            total = sum(file.stat().st_size for _, file in missing)
            tell(Log("info", f"Uploading {name}: {size(total)} in {len(missing)} files."))
            for path, file in missing:
                with file.open("rb") as data:
                    self._container.upload_blob(
                        f"{_ROOT}/{place}/{path}", data, overwrite=True, max_concurrency=4
                    )
            self._container.upload_blob(whole, b"", overwrite=True)
        return address

    def put_code(self, code: Path) -> str:
        """The address of a zip file of the folder, the same bytes for the same content."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, file in _files(code, ""):
                archive.writestr(zipfile.ZipInfo(path), file.read_bytes(), zipfile.ZIP_DEFLATED)
        content = buffer.getvalue()
        path = f"code/{hashlib.sha256(content).hexdigest()[:32]}.zip"
        with asking("the upload of the code"):
            blob = self._container.get_blob_client(f"{_ROOT}/{path}")
            if not blob.exists():
                blob.upload_blob(content, overwrite=True)
        return self.address(path)

    def put_jobs(self, path: str, folders: Sequence[Path], layout: bytes, node: Path) -> str:
        """The address of a submission's own files: how it is laid out, what runs it, and of each job job.json
        and its checkpoint."""
        files: list[tuple[str, Path]] = []
        for number, folder in enumerate(folders):
            files.append((f"{number}/job.json", folder / "job.json"))
            kept = _files(folder / "checkpoint", "")
            files += [(f"{number}/checkpoint/{name}", file) for name, file in kept]
        with asking("the upload of the job"):
            self._put(f"{path}/job/layout.json", layout)
            for name, file in [(node.name, node), *files]:
                with file.open("rb") as data:
                    self._put(f"{path}/job/{name}", data)
        return self.address(f"{path}/job")

    def _put(self, path: str, data: bytes | IO[bytes]) -> None:
        self._container.upload_blob(f"{_ROOT}/{path}", data, overwrite=True)

    def remove(self, path: str) -> None:
        """Take away what lies below a path."""
        with asking("the datastore"):
            for blob in self._listed(path):
                self._container.delete_blob(blob.name)

    def has(self, path: str) -> bool:
        with asking("the datastore"):
            return next(iter(self._listed(path)), None) is not None

    def fetch(self, path: str, folder: Path) -> bool:
        """Bring a file or folder here, whole or not at all; what an earlier try brought is gone on with.
        False when it is not there."""
        name = path.rpartition("/")[2]
        part = folder / f".{name}.part"
        part.mkdir(parents=True, exist_ok=True)
        try:
            found = self._below(path).fetch(part)
        except UserError:
            shutil.rmtree(part, ignore_errors=True)
            return False
        target = folder / name
        if target.is_dir():
            shutil.rmtree(target)
        found.replace(target)
        shutil.rmtree(part)
        return True

    def sizes(self, path: str) -> dict[str, int]:
        """Of the files right in a folder, by name."""
        start = f"{_ROOT}/{path}/"
        with asking("the job's answer"):
            there = self._container.walk_blobs(name_starts_with=start, delimiter="/")
            return {each.name[len(start) :]: each.size for each in there if not each.name.endswith("/")}

    def read(self, path: str, offset: int) -> bytes:
        """What has come to a file since; empty when it is not there, or nothing has."""
        with asking("the job's events"):
            try:
                blob = self._container.get_blob_client(f"{_ROOT}/{path}")
                return bytes(blob.download_blob(offset=offset).readall())
            except (ResourceNotFoundError, ResourceModifiedError):
                return b""  # the node replaces it just now

    def _below(self, path: str) -> Blobs:
        return Blobs(self._container, f"{_ROOT}/{path}", f"{path!r} of the datastore {self._datastore!r}")

    def _listed(self, path: str) -> list[Blob]:
        try:
            return self._below(path).found()
        except UserError:
            return []


def folder_digest(folder: Path) -> str:
    """What is in a folder of this machine."""
    told = hashlib.sha256()
    for path, file in _files(folder, ""):
        told.update(f"{path}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return told.hexdigest()


def _files(source: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Path below the source -> file, in one order; the source itself under that name where it is a file."""
    if source.is_file():
        yield name, source
        return
    for file in sorted(source.rglob("*")):
        if file.is_file():
            yield file.relative_to(source).as_posix(), file
