"""A CONNECT proxy that knows where each emulated host is, and refuses every other: what a client asked of it
is what it would have asked of the internet."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """port_of(host): the loopback port that stands for a host; None for any other."""

    port_of: Callable[[str], int | None]
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    cut: bool = False
    """While true, nothing gets through: the network is down."""

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.close()

    def cut_off(self, seconds: float = 0.0) -> None:
        """Refuse from now on, for so long if that is said, and break what is open."""
        self.cut = True
        if seconds:
            threading.Timer(seconds, self._come_back).start()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _come_back(self) -> None:
        self.cut = False

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                part = client.recv(4096)
                if not part:
                    return
                head += part
            method, target, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            host = target.removeprefix("http://").split("/")[0].rsplit(":", 1)[0].lower()
            self.asked.append(host)
            port = self.port_of(host)
            if port is None:
                self.refused.append(host)
            if method != "CONNECT" or port is None or self.cut:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", port)) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._open |= {client, server}
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()
                self._open -= {client, server}


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
