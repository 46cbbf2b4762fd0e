"""A web server on the loopback with a few files, which counts what is asked of it."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
FILES = {
    "/cat.png": ("image/png", PNG),
    "/paper": ("application/pdf", PDF),
    "/notes.txt": ("text/plain", b"The cat is called Tom."),
    "/login": ("text/html", b"<html>Please log in</html>"),
}


class MediaServer:
    """``url`` is its origin, ``asked`` the paths in the order in which they were asked for."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.asked: list[str] = []


@contextlib.contextmanager
def media_server() -> Iterator[MediaServer]:
    """The server, for as long as the context lasts."""

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running.asked.append(self.path)
            status = 200 if self.path in FILES else 404
            media_type, content = FILES.get(self.path, ("text/plain", b"nothing here"))
            self.send_response(status)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        running = MediaServer(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True, name="media").start()
        try:
            yield running
        finally:
            server.shutdown()
