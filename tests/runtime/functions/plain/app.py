"""A bare ASGI application with one path for each thing that the runtime has to get right."""

import asyncio
import contextvars
import hashlib
import json
import os
import time
from pathlib import Path
from urllib.parse import parse_qsl

SEEN = contextvars.ContextVar("SEEN", default="nothing")
served = 0


async def app(scope, receive, send):
    global served
    if scope["type"] == "lifespan":
        raise NotImplementedError
    served += 1
    query = dict(parse_qsl(scope["query_string"].decode()))
    await PATHS[scope["path"]](scope, receive, send, query)


async def answer(send, value, status=200, headers=()):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    kind = b"application/octet-stream" if isinstance(value, bytes) else b"application/json"
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), *headers]})
    await send({"type": "http.response.body", "body": body})


def record(file, text):
    """Written under another name first, so that whoever waits for the file finds it complete."""
    Path(f"{file}.new").write_text(text)
    Path(f"{file}.new").rename(file)


async def whole_body(receive):
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            return body


async def echo(scope, receive, send, query):
    body = await whole_body(receive)
    event = dict(scope["aws.event"])
    event.pop("body", None)
    await answer(
        send,
        {
            "method": scope["method"],
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode(),
            "query": query,
            "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "event": event,
            "pid": os.getpid(),
            "served": served,
            "deadline": scope["headgate.deadline"],
            "remaining": scope["aws.context"].get_remaining_time_in_millis(),
            "request_id": scope["aws.context"].aws_request_id,
            "variables": sorted(os.environ),
        },
    )


async def stream(scope, receive, send, query):
    mark = query.get("mark", "-")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for number in range(int(query["n"])):
        event = json.dumps({"mark": mark, "number": number, "pid": os.getpid(), "sent": time.time()})
        await send({"type": "http.response.body", "body": f"data: {event}\n\n".encode(), "more_body": True})
        await asyncio.sleep(float(query.get("delay", "0")))
    await send({"type": "http.response.body", "body": b""})


async def late_first_event(scope, receive, send, query):
    await send({"type": "http.response.start", "status": 203, "headers": [(b"content-type", b"text/event-stream")]})
    await asyncio.sleep(0.5)
    await send({"type": "http.response.body", "body": b"data: late\n\n"})


async def cookies(scope, receive, send, query):
    headers = [(b"set-cookie", b"a=1; Expires=Wed, 09 Jun 2030 10:18:14 GMT"), (b"Set-Cookie", b"b=2; Path=/")]
    await answer(send, {}, 201, [*headers, (b"x-many", b"one"), (b"x-many", b"two"), (b"connection", b"close")])


async def empty(scope, receive, send, query):
    await send({"type": "http.response.start", "status": 204, "headers": [(b"x-empty", b"yes")]})
    await send({"type": "http.response.body"})


async def binary(scope, receive, send, query):
    await answer(send, await whole_body(receive) or bytes(range(256)))


async def big(scope, receive, send, query):
    left = int(query["bytes"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while left:
        piece = b"x" * min(left, 50_000)
        left -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def fail_before(scope, receive, send, query):
    raise LookupError("before the first byte")


async def fail_at_once(scope, receive, send, query):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise LookupError("between the head and the first byte")


async def fail_after(scope, receive, send, query):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"partial", "more_body": True})
    await asyncio.sleep(0.05)
    raise LookupError("after the first byte")


async def fail_when_done(scope, receive, send, query):
    await answer(send, {"fine": True})
    raise LookupError("after the last byte")


async def silent(scope, receive, send, query):
    return


async def unfinished(scope, receive, send, query):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"partial", "more_body": True})


async def cancelled(scope, receive, send, query):
    raise asyncio.CancelledError


async def crash(scope, receive, send, query):
    print("about to crash", flush=True)
    if "after" in query:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"partial", "more_body": True})
        await asyncio.sleep(0.05)
    os._exit(3)


async def sleep(scope, receive, send, query):
    await asyncio.sleep(float(query["seconds"]))
    await answer(send, {})


async def work_after(scope, receive, send, query):
    await answer(send, {"pid": os.getpid()})
    disconnected = await receive()
    while disconnected["type"] == "http.request":
        disconnected = await receive()
    await asyncio.sleep(float(query["seconds"]))
    record(query["file"], disconnected["type"])


async def record_at_end(scope, receive, send, query):
    """Streams as ``stream`` does and then says in a file that it came to its end, and what it heard meanwhile."""
    await whole_body(receive)
    heard = asyncio.create_task(receive())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(20):
        await send({"type": "http.response.body", "body": b"data: x\n\n" * 2000, "more_body": True})
        await asyncio.sleep(0.02)
    state = "disconnected" if heard.done() else "undisturbed"
    await send({"type": "http.response.body"})
    record(query["file"], state)


async def context(scope, receive, send, query):
    before = SEEN.get()
    SEEN.set("an earlier request")
    await answer(send, {"before": before, "pid": os.getpid()})


PATHS = {
    "/echo": echo,
    "/echo me": echo,
    "/stream": stream,
    "/late-first-event": late_first_event,
    "/cookies": cookies,
    "/empty": empty,
    "/binary": binary,
    "/big": big,
    "/fail-before": fail_before,
    "/fail-at-once": fail_at_once,
    "/fail-after": fail_after,
    "/fail-when-done": fail_when_done,
    "/silent": silent,
    "/unfinished": unfinished,
    "/cancelled": cancelled,
    "/crash": crash,
    "/sleep": sleep,
    "/work-after": work_after,
    "/record-at-end": record_at_end,
    "/context": context,
}
