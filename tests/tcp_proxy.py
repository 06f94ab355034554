"""What stands before a server of any protocol, and stops passing anything on."""

from __future__ import annotations

import contextlib
import socket
import threading


class TcpProxy:
    """Passes connections on to a port, until it is frozen: then both ends hear nothing more.

    Args:
        upstream: port of the server.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listening.getsockname()[1])
        self.passing = threading.Event()
        self.passing.set()
        self.ends: list[socket.socket] = []

    def __enter__(self) -> TcpProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.passing.set()
        for end in (self.listening, *self.ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def freeze(self) -> None:
        """Pass nothing on, and keep every connection open."""
        self.passing.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self.listening.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.upstream))
                self.ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=[source, sink], daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                self.passing.wait()
                sink.sendall(content)
            self.passing.wait()
            sink.shutdown(socket.SHUT_RDWR)
