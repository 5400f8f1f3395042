"""A real Azurite over TLS, with accounts of our own."""

from __future__ import annotations

import base64
import contextlib
import datetime
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

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

    def __init__(
        self, folder: Path, accounts: tuple[str, ...], suffix: str, certificates: Certificates
    ) -> None:
        self.suffix = suffix
        self.keys = {name: base64.b64encode(f"key-of-{name}".encode() * 4).decode() for name in accounts}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._log = (folder / "azurite.log").open("wb")
        self._authority = certificates.authority
        self._clients: dict[tuple[str, str], ContainerClient] = {}
        command = [
            "node", str(find_azurite()), "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
            "--cert", str(certificates.certificate), "--key", str(certificates.key), "--oauth", "basic",
            "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence",
        ]  # fmt: skip
        known = ";".join(f"{name}:{key}" for name, key in self.keys.items())
        self._process = subprocess.Popen(
            command, cwd=folder, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "AZURITE_ACCOUNTS": known},
        )  # fmt: skip

    def wait(self, seconds: float = 240) -> None:
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

    @property
    def carried(self) -> list[tuple[str, str]]:
        """(`up` or `down`, path) of each blob that clients have carried, by Azurite's log. The emulator
        itself, for its nodes, asks in another way: see `container`."""
        found = []
        for line in Path(self._log.name).read_text(encoding="utf-8", errors="replace").splitlines():
            asked = re.search(r'"(GET|PUT) /([^ ?]*)(\?[^ ]*)? HTTP[^"]*" 20', line)
            if asked is None or asked[2].split("/")[0] in self.keys:
                continue
            query = asked[3] or ""
            if not re.search("restype=|comp=(?!block)", query):
                found.append(("up" if asked[1] == "PUT" else "down", unquote(asked[2]).partition("/")[2]))
        return found

    def url(self, place: Place, suffix: str = "") -> str:
        host = f"https://{place.account}.blob.{suffix or self.suffix}/{place.container}"
        return f"{host}/{place.path}" if place.path else host

    def container(self, place: Place) -> ContainerClient:
        """By the account's path on loopback, and not by its host as a client does."""
        if (place.account, place.container) not in self._clients:
            service = BlobServiceClient(
                f"https://127.0.0.1:{self.port}/{place.account}",
                credential={"account_name": place.account, "account_key": self.keys[place.account]},
                connection_verify=str(self._authority),
            )
            self._clients[place.account, place.container] = service.get_container_client(place.container)
        return self._clients[place.account, place.container]

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
            if isinstance(data, bytes):
                client.upload_blob(path, data, overwrite=True)
                continue
            with data.open("rb") as file:
                client.upload_blob(path, file, overwrite=True)

    def names(self, place: Place) -> list[str]:
        """Paths of all blobs at or below the place, from the container's root."""
        below = f"{place.path}/" if place.path else ""
        found = self.container(place).list_blob_names(name_starts_with=place.path)
        return [name for name in found if name == place.path or name.startswith(below)]

    def remove(self, place: Place) -> None:
        for name in self.names(place):
            self.container(place).delete_blob(name)

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


def _blobs(place: Place, content: bytes | Path | Mapping[str, bytes]) -> Iterator[tuple[str, bytes | Path]]:
    if isinstance(content, bytes):
        yield place.path, content
    elif isinstance(content, Path):
        if content.is_file():
            yield place.path, content
        for file in sorted(content.rglob("*")) if content.is_dir() else ():
            if file.is_file():
                yield place.under(file.relative_to(content).as_posix()).path, file
    else:
        for name, data in content.items():
            yield place.under(name).path, data
