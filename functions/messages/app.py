"""Anthropic Messages: ``POST /v1/messages`` and ``/v1/messages/count_tokens``, with message threads."""

from mangum import Mangum

from headgate.web import explain, messages, models
from headgate.web.app import build_app

app = build_app(messages.router, explain.router, models.router)

# For runtimes that buffer (``sam local``); on Lambda the streaming loop of ``layers/runtime`` serves ``app`` itself.
handler = Mangum(app)
