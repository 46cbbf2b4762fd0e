"""A handler for events that are not HTTP requests, and no application."""

import asyncio


def handler(event, context):
    if "fail" in event:
        raise ArithmeticError("as told")

    async def work():
        return {"event": event, "request_id": context.aws_request_id, "function": context.function_name}

    return asyncio.run(work())
