"""Simulated providers: a test double of the vendors that speaks their wire formats.

It decides by itself what to answer (brain.py documents the directives), checks requests as strictly as the vendors do,
records what it received and misbehaves on demand. It shares no code with the gateway on purpose: it is the second
reading of the formats, against which a mistake in the first shows up.
"""

from .server import Running, create_app, serve

__all__ = ["Running", "create_app", "serve"]
