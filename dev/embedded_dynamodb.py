"""A DynamoDB, S3 and SSM API server in a child process, for `make run` and the tests.

moto's server answers it: in memory, threaded, gone with the process. It is for one machine only and knows no
credentials; ``environment`` therefore hands out dummies together with the address, never one without the other.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

REGION = "us-east-1"
_READY = "listening on "


class EmbeddedDynamoDB:
    """The server, as a context manager.

    ``port`` 0 takes a free one. ``log``: where the server's own output goes, None drops it. Raises RuntimeError when
    the server does not come up within ``patience`` seconds.
    """

    def __init__(self, port: int = 0, *, log: Path | None = None, patience: float = 30.0) -> None:
        self._wanted_port = port
        self._log = log
        self._patience = patience
        self._process: subprocess.Popen[str] | None = None
        self._clients: dict[str, Any] = {}
        self.url = ""

    def start(self) -> EmbeddedDynamoDB:
        """Start the child and wait until it listens."""
        with open(self._log or os.devnull, "ab") as sink:
            process = subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), str(self._wanted_port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        self._process = process
        assert process.stdout is not None
        alarm = threading.Timer(self._patience, process.kill)
        alarm.start()
        try:
            line = process.stdout.readline()
        finally:
            alarm.cancel()
        if not line.startswith(_READY):
            self.stop()
            raise RuntimeError("the embedded DynamoDB server did not start; is moto[dynamodb,s3,ssm,server] installed?")
        self.url = line.removeprefix(_READY).strip()
        return self

    def stop(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        self._clients.clear()
        if process is None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> EmbeddedDynamoDB:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment so that every AWS client in it talks to this server only."""
        return {
            "AWS_ENDPOINT_URL_DYNAMODB": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ENDPOINT_URL_SSM": self.url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """A botocore client of this server, for set-up code. Made once: making one takes longer than what it does."""
        if service not in self._clients:
            from botocore.session import get_session

            self._clients[service] = get_session().create_client(
                service,
                region_name=REGION,
                endpoint_url=self.url,
                aws_access_key_id="local",
                aws_secret_access_key="local",
            )
        return self._clients[service]

    def create_tables(self, prefix: str | None = None) -> dict[str, str]:
        """Make the four tables and say their names by role. ``prefix`` None makes up a new one."""
        from headgate.storage import schema

        prefix = prefix if prefix is not None else f"t{uuid.uuid4().hex[:12]}-"
        names = {role: f"{prefix}{role}" for role in schema.TABLES}
        schema.create_tables(self.client("dynamodb"), names)
        return names

    def create_bucket(self, name: str | None = None) -> str:
        """Make a bucket and say its name."""
        name = name or f"b{uuid.uuid4().hex[:12]}"
        self.client("s3").create_bucket(Bucket=name)
        return name


def table_settings(names: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that name the tables of ``create_tables``."""
    return {f"HEADGATE_{role.upper()}_TABLE": name for role, name in names.items()}


def one_at_a_time(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """A WSGI app that is never in two threads at once.

    moto checks a condition and then writes, with no lock around the two: under load it lets several conditional
    updates of one item through. A request is read before its turn comes, so a slow client holds nobody up.
    """
    lock = threading.Lock()

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        source = environ["wsgi.input"]
        chunked = environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
        body = source.read() if chunked else source.read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        with lock:
            answer = app(environ, start_response)
            try:
                return [b"".join(answer)]
            finally:
                close = getattr(answer, "close", None)
                if close is not None:
                    close()

    return serve


def _serve(port: int) -> None:
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # A new connection for each call would cost more than the call.
    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    app = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", port, app, threaded=True)
    print(f"{_READY}http://127.0.0.1:{server.server_port}", flush=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server.serve_forever()


def _end_with_parent() -> None:
    """The parent holds the other end of stdin and never writes to it: end of file means that it is gone."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
