"""Has restore hooks of both kinds."""

import json
import os
from types import SimpleNamespace

from headgate_runtime.hooks import on_restore

log = ["imported"]


@on_restore
async def reconnect():
    log.append("registered hook")


def refresh():
    if "FAIL_RESTORE" in os.environ:
        raise ConnectionError("nothing to connect to")
    log.append("hook on the application")


class Application:
    state = SimpleNamespace(on_restore=[refresh])

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(log).encode()})


app = Application()
