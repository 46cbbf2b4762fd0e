"""A server that exchanges credentials for tokens, as Google's and Entra's do."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


@contextmanager
def token_server(answer: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives the same token to everyone; the forms it was sent."""
    forms: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            forms.append(self.rfile.read(int(self.headers["content-length"])).decode())
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", forms
    finally:
        server.shutdown()
        server.server_close()


def service_account(token_uri: str) -> str:
    """The JSON of a Google service account with a fresh key, of the project ``from-file``."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "from-file",
            "private_key_id": "1",
            "private_key": pem,
            "client_email": "gateway@from-file.iam.gserviceaccount.com",
            "token_uri": token_uri,
        }
    )
