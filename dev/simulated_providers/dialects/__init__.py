"""The vendors that speak OpenAI's protocols in a way of their own, one module each."""

from ..dialect import OPENAI, Dialect
from .azure import AZURE
from .cloudflare import CLOUDFLARE
from .mistral import MISTRAL
from .vertex_openai import VERTEX

DIALECTS: tuple[Dialect, ...] = (OPENAI, AZURE, CLOUDFLARE, MISTRAL, VERTEX)

__all__ = ["DIALECTS"]
