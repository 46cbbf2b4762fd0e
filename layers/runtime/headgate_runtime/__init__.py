"""A Lambda runtime for ASGI applications that streams, which the managed Python runtime does not.

``headgate-runtime`` (the exec wrapper beside this package) starts ``python -m headgate_runtime`` in place of the stock
loop. It speaks the Lambda Runtime API directly, keeps one asyncio loop for the life of the process, and hands every
message of the application to Lambda the moment the application sends it. ``api`` is the wire, ``response`` turns ASGI
messages into the streamed answer, ``application`` loads the function and builds scopes, ``loop`` joins them, and
``hooks`` lets other code run something after a SnapStart restore.
"""
