"""OpenAI Responses: ``/v1/responses`` and what belongs to it, with stored conversations.

Where a request goes: ``create`` validates and puts stored history in, ``web.exchange.answer`` finds the routes, relays
(OpenAI) or translates (everyone else), and stores the turn before the closing event. To add a provider, add a row to
``headgate/providers/rows.py`` and its models to the catalogue.
"""

from mangum import Mangum

from headgate.web import explain, models, responses
from headgate.web.app import build_app

app = build_app(responses.router, explain.router, models.router)

# For runtimes that buffer (``sam local``); on Lambda the streaming loop of ``layers/runtime`` serves ``app`` itself.
handler = Mangum(app)
