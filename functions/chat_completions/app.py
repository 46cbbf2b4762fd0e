"""OpenAI Chat Completions: ``POST /v1/chat/completions``."""

from mangum import Mangum

from headgate.web import chat_completions, explain, models
from headgate.web.app import build_app

app = build_app(chat_completions.router, explain.router, models.router)

# For runtimes that buffer (``sam local``); on Lambda the streaming loop of ``layers/runtime`` serves ``app`` itself.
handler = Mangum(app)
