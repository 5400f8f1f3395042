"""Files of jobs in a datastore of the workspace: brought there once by content, read back when wanted.

modelpress/inputs/DIGEST/…      an input, by what it is
modelpress/code/DIGEST.zip      modelpress and plugins
modelpress/jobs/ID/job/         job.json, the checkpoint to go on from
modelpress/jobs/ID/done/        what the job gives
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from azure.core.exceptions import ResourceNotFoundError

from modelpress.api import Log, Tell, UserError, size
from modelpress_plugins.azureml.blobs import Blob, Blobs
from modelpress_plugins.azureml.client import asking
from modelpress_plugins.azureml.config import ClientOptions
from modelpress_plugins.azureml.resources import datastore_blobs

_ROOT = "modelpress"
_WHOLE = ".modelpress-whole"
"""A blob beside an input: all of its files are there."""


@dataclass(frozen=True, slots=True)
class Put:
    """An input that lies there. folder: whether it is one."""

    address: str
    folder: bool


class Store:
    """The folder `modelpress` of a datastore."""

    def __init__(self, client: ClientOptions, datastore: str) -> None:
        self._client, self._datastore = client, datastore
        self._blobs = datastore_blobs(client, datastore, _ROOT)
        self._container = self._blobs.container

    def address(self, path: str) -> str:
        """What jobs call a path of it."""
        return f"azureml://datastores/{self._datastore}/paths/{_ROOT}/{path}"

    def put_input(self, identity: str, name: str, source: Path, tell: Tell) -> Put:
        """Bring an input there, unless it is: what an earlier try brought is gone on with."""
        place = f"inputs/{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
        folder = source.is_dir()
        file_name = "" if folder else source.name  # a loader may go by its suffix
        put = Put(self.address(place if folder else f"{place}/{file_name}"), folder)
        whole = f"{_ROOT}/{place}{_WHOLE}"
        files = list(_files(source, file_name))
        with asking(f"the upload of {name!r} to the datastore {self._datastore!r}"):
            if self._container.get_blob_client(whole).exists():
                return put
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
        return put

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

    def put_job(self, path: str, folder: Path, node: Path) -> str:
        """The address of a job's own files: job.json, its checkpoint, and what runs it."""
        files = [("job.json", folder / "job.json"), ("on_node.py", node)]
        files += [(f"checkpoint/{name}", file) for name, file in _files(folder / "checkpoint", "")]
        with asking("the upload of the job"):
            for name, file in files:
                with file.open("rb") as data:
                    self._container.upload_blob(f"{_ROOT}/{path}/job/{name}", data, overwrite=True)
        return self.address(f"{path}/job")

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

    def read(self, path: str, offset: int) -> bytes:
        """What has come to a file since; empty when it is not there, or nothing has."""
        with asking("the job's events"):
            blob = self._container.get_blob_client(f"{_ROOT}/{path}")
            try:
                length = blob.get_blob_properties().size
                if length <= offset:
                    return b""
                return bytes(blob.download_blob(offset=offset, length=length - offset).readall())
            except ResourceNotFoundError:
                return b""

    def _below(self, path: str) -> Blobs:
        return Blobs(self._container, f"{_ROOT}/{path}", f"{path!r} of the datastore {self._datastore!r}")

    def _listed(self, path: str) -> list[Blob]:
        try:
            return self._below(path).found()
        except UserError:
            return []


def _files(source: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Path below the source -> file, in one order; the source itself under that name where it is a file."""
    if source.is_file():
        yield name, source
        return
    for file in sorted(source.rglob("*")):
        if file.is_file():
            yield file.relative_to(source).as_posix(), file
