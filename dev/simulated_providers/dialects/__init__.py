"""The vendors that speak OpenAI's protocols in a way of their own, one module each."""

from ..dialect import OPENAI, Dialect
from .cloudflare import CLOUDFLARE
from .mistral import MISTRAL

DIALECTS: tuple[Dialect, ...] = (OPENAI, CLOUDFLARE, MISTRAL)

__all__ = ["DIALECTS"]
