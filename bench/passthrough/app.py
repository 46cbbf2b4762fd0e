"""The yardstick: the least that a FastAPI function can do between a client and a provider.

No key, no validation, no log, no limits, no state: the request's bytes go to the same path of ``UPSTREAM`` and the
answer's bytes come back as they arrive.
"""

import os

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from mangum import Mangum
from starlette.background import BackgroundTask

app = FastAPI()
upstream = httpx.AsyncClient(base_url=os.environ["UPSTREAM"], timeout=60)


@app.post("/{path:path}")
async def forward(path: str, request: Request) -> StreamingResponse:
    """Hand one request on."""
    headers = {"content-type": "application/json", "authorization": "Bearer simulated", "x-api-key": "simulated"}
    headers |= {name: value for name, value in request.headers.items() if name.startswith("anthropic-")}
    headers["accept-encoding"] = "identity"
    call = upstream.build_request("POST", path, headers=headers, content=await request.body())
    answer = await upstream.send(call, stream=True)
    return StreamingResponse(
        answer.aiter_raw(),
        status_code=answer.status_code,
        media_type=answer.headers.get("content-type"),
        background=BackgroundTask(answer.aclose),
    )


handler = Mangum(app)
