"""A server that stands before another one, and goes wrong as told."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """Stands before a server, and passes calls on until something goes wrong.

    Args:
        upstream: port of the server.
        fault: what it does with a call: nothing (``silent``), an ``error``, ``garbage``, a closed
            connection (``drop``), what is asked and then no answer (``lose``), or nobody is there
            (``closed``). A number is of seconds that each call takes.
        after: calls that it answers well before.
        only: how the path of a call ends that it does so with; any by default.
    """

    def __init__(self, upstream: int, fault: str | float, after: int = 0, only: str = "") -> None:
        self.upstream, self.fault, self.after, self.only = upstream, fault, after, only
        self.port, self.calls, self.under_way = free_port(), 0, 0
        self.healed = threading.Event()
        self.lock = threading.Lock()
        self.http: ThreadingHTTPServer | None = None
        if fault != "closed" or after:
            self.open()

    def open(self) -> None:
        self.http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.http.daemon_threads, self.http.proxy = True, self
        threading.Thread(target=self.http.serve_forever, args=[0.05], daemon=True).start()

    def close(self) -> None:
        if self.http is not None:
            self.http.shutdown()
            self.http.server_close()
            self.http = None

    def heal(self) -> None:
        """Pass on every call from now on; what was under way has arrived."""
        self.healed.set()
        if self.http is None:
            self.open()
        while self.under_way:
            time.sleep(0.05)

    def next_fault(self, path: str) -> str | float:
        if not path.endswith(self.only):
            return "none"
        with self.lock:
            self.calls += 1
            broken = self.calls > self.after and not self.healed.is_set()
        return self.fault if broken else "none"


class Handler(BaseHTTPRequestHandler):
    """Answers the calls of one connection."""

    def answer(self) -> None:
        proxy: Proxy = self.server.proxy
        proxy.under_way += 1
        try:
            self.answer_with(proxy, proxy.next_fault(self.path))
        except OSError:
            pass  # the client has gone
        finally:
            proxy.under_way -= 1

    def answer_with(self, proxy: Proxy, fault: str | float) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match fault:
            case "closed":
                threading.Thread(target=proxy.close).start()
            case "silent":
                proxy.healed.wait(60)
            case "error":
                self.send_error(500)
            case "garbage":
                self.wfile.write(os.urandom(500))
            case float(seconds):
                time.sleep(seconds)
                self.pass_on(proxy.upstream, body)
            case "none":
                self.pass_on(proxy.upstream, body)
            case "lose":
                self.ask(proxy.upstream, body)

    def ask(self, port: int, body: bytes) -> tuple[int, str, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as upstream:
            headers = dict(self.headers) | {"Host": f"127.0.0.1:{port}", "Connection": "close"}
            upstream.request(self.command, self.path, body, headers)
            response = upstream.getresponse()
            kind = response.headers.get("Content-Type", "text/plain")
            return response.status, kind, response.read()

    def pass_on(self, port: int, body: bytes) -> None:
        status, kind, content = self.ask(port, body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
