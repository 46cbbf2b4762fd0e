"""The vendors that speak OpenAI's protocols in a way of their own, one module each."""

from ..dialect import OPENAI, Dialect
from .cloudflare import CLOUDFLARE
from .huggingface import HUGGING_FACE
from .mistral import MISTRAL
from .xai import XAI

DIALECTS: tuple[Dialect, ...] = (OPENAI, CLOUDFLARE, HUGGING_FACE, MISTRAL, XAI)

__all__ = ["DIALECTS"]
