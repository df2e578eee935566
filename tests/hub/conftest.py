"""A file server on 127.0.0.1 that misbehaves as told, and weights for it to serve."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Served:
    """What the server does for one path."""

    content: bytes = b""
    status: int | None = None
    """Answer with this error instead of the content."""
    redirect_to: str | None = None
    knows_ranges: bool = True
    is_chunked: bool = False
    """Send no Content-Length."""
    announced_bytes: int | None = None
    """Announce this length instead of the real one."""
    bytes_per_connection: int | None = None
    """Hang up after so many bytes."""
    go_on: threading.Event | None = None
    """Send nothing before this is set."""


@dataclass
class FileServer:
    url: str
    served: dict[str, Served] = field(default_factory=dict)
    ranges: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range header of every request, in order."""
    has_request: threading.Event = field(default_factory=threading.Event)

    def serve(self, path: str, content: bytes = b"", **behaviour: Any) -> None:
        self.served[path] = Served(content=content, **behaviour)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def do_GET(self) -> None:
        self.close_connection = True
        self.files.ranges.append((self.path, self.headers["Range"]))
        self.files.has_request.set()
        served = self.files.served[self.path]
        if served.status is not None:
            self.send_error(served.status)
        elif served.redirect_to is not None:
            self.send_response(302)
            self.send_header("Location", served.redirect_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send_content(served)

    def _send_content(self, served: Served) -> None:
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if not served.knows_ranges:
            start = 0
        if start and start >= len(served.content):
            self.send_error(416)
            return
        body = served.content[start:]
        self.send_response(206 if start else 200)
        if start:
            last = len(served.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        if served.is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            self.send_header("Content-Length", str(served.announced_bytes or len(body)))
        self.end_headers()
        if served.go_on is not None:
            served.go_on.wait(timeout=20)
        self.wfile.write(body[: served.bytes_per_connection])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    http_server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    files = FileServer(url=f"http://127.0.0.1:{http_server.server_port}")
    http_server.RequestHandlerClass = type("Handler", (_Handler,), {"files": files})
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield files
    http_server.shutdown()
    http_server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("ODISE_CACHE", str(folder))
    return folder
