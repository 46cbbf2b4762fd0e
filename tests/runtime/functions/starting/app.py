"""Says that it could not start."""


async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no table named headgate"})
