"""A FastAPI application in the form that the product's functions have."""

import asyncio
import contextlib
import os
from pathlib import Path

from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse
from mangum import Mangum

starts = 0


def record(file, text):
    Path(file).write_text(text)


@contextlib.asynccontextmanager
async def lifespan(_app):
    global starts
    starts += 1
    yield {"from_lifespan": "state"}
    if path := os.environ.get("STOPPED_FILE"):
        record(path, "stopped")


app = FastAPI(lifespan=lifespan)


@app.get("/state")
async def state(request: Request):
    return {"state": request.state.from_lifespan, "starts": starts}


@app.get("/stream")
async def stream():
    async def events():
        for number in range(3):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/background")
async def background(file: str, tasks: BackgroundTasks):
    async def work():
        await asyncio.sleep(0.2)
        record(file, "done")

    tasks.add_task(work)
    return {}


@app.get("/error")
async def error():
    raise LookupError("inside a route")


handler = Mangum(app, lifespan="off")
