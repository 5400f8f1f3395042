"""A real Azurite over TLS, with accounts of our own."""

from __future__ import annotations

import base64
import contextlib
import datetime
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)

from azure_emulator.certificates import Certificates


class Missing(Exception):
    """What the emulator needs is not on this machine."""


def find_azurite() -> Path:
    """azurite-blob's script. Raises Missing with what to do."""
    if shutil.which("node") is None:
        raise Missing("node is not installed (Azurite, the emulator of Azure storage, needs it)")
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "modelpress-ci" / "azurite"
    folder = Path(os.environ.get("MODELPRESS_AZURITE", default))
    script = folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not script.is_file():
        raise Missing(f"Azurite is not installed in {folder}: .ci/services installs it")
    return script


@dataclass(frozen=True)
class Place:
    """A folder or blob: account, container, path."""

    account: str
    container: str
    path: str = ""

    def under(self, path: str) -> Place:
        return Place(self.account, self.container, f"{self.path}/{path}".strip("/"))


class Storage:
    """accounts: names; each gets a key. suffix: of their host names."""

    def __init__(self, folder: Path, accounts: tuple[str, ...], certificates: Certificates) -> None:
        self.keys = {name: base64.b64encode(f"key-of-{name}".encode() * 4).decode() for name in accounts}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._log = (folder / "azurite.log").open("wb")
        self._authority = certificates.authority
        command = [
            "node", str(find_azurite()), "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
            "--cert", str(certificates.certificate), "--key", str(certificates.key), "--oauth", "basic",
            "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence", "--silent",
        ]  # fmt: skip
        known = ";".join(f"{name}:{key}" for name, key in self.keys.items())
        self._process = subprocess.Popen(
            command, cwd=folder, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "AZURITE_ACCOUNTS": known},
        )  # fmt: skip

    def wait(self, seconds: float = 60) -> None:
        """Until it answers."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"Azurite did not start; see {self._log.name}")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def reach(self, proxy: str, suffix: str) -> None:
        """From now on through the proxy, as everybody else."""
        self._proxies = {"https": proxy, "http": proxy}
        self.suffix = suffix

    def url(self, place: Place, suffix: str = "") -> str:
        host = f"https://{place.account}.blob.{suffix or self.suffix}/{place.container}"
        return f"{host}/{place.path}" if place.path else host

    def container(self, place: Place) -> ContainerClient:
        service = BlobServiceClient(
            f"https://{place.account}.blob.{self.suffix}",
            credential=self.keys[place.account],
            proxies=self._proxies,
            connection_verify=str(self._authority),
        )
        return service.get_container_client(place.container)

    def make(self, place: Place) -> None:
        client = self.container(place)
        if not client.exists():
            client.create_container()

    def sas(self, place: Place) -> str:
        return generate_container_sas(
            place.account,
            place.container,
            account_key=self.keys[place.account],
            permission=ContainerSasPermissions(read=True, write=True, list=True, delete=True, create=True),
            expiry=datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2),
        )

    def put(self, place: Place, content: bytes | Path | Mapping[str, bytes]) -> None:
        """A blob of bytes or of a file; a folder, or a mapping of names, as blobs below the place."""
        client = self.container(place)
        for path, data in _blobs(place, content):
            client.upload_blob(path, data, overwrite=True)

    def names(self, place: Place) -> list[str]:
        """Paths of all blobs at or below the place, from the container's root."""
        below = f"{place.path}/" if place.path else ""
        found = self.container(place).list_blob_names(name_starts_with=place.path)
        return [name for name in found if name == place.path or name.startswith(below)]

    def read(self, place: Place) -> bytes:
        return self.container(place).download_blob(place.path).readall()

    def get(self, place: Place, target: Path) -> None:
        """To a file where the place is a blob, else to a folder."""
        client = self.container(place)
        for name in self.names(place):
            file = target if name == place.path else target / name[len(place.path) :].lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as sink:
                client.download_blob(name, max_concurrency=2).readinto(sink)


def _blobs(place: Place, content: bytes | Path | Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    if isinstance(content, bytes):
        yield place.path, content
    elif isinstance(content, Path):
        if content.is_file():
            yield place.path, content.read_bytes()
        for file in sorted(content.rglob("*")) if content.is_dir() else ():
            if file.is_file():
                yield place.under(file.relative_to(content).as_posix()).path, file.read_bytes()
    else:
        for name, data in content.items():
            yield place.under(name).path, data
