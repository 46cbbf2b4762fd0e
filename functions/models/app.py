"""The model catalogue: ``GET /v1/models`` and below. No key needed."""

from mangum import Mangum

from headgate.web import models
from headgate.web.app import build_app

app = build_app(models.router)

# For runtimes that buffer (``sam local``); on Lambda the streaming loop of ``layers/runtime`` serves ``app`` itself.
handler = Mangum(app)
