"""The vendors that speak OpenAI's protocols in a way of their own, one module each."""

from ..dialect import OPENAI, Dialect
from .azure import AZURE
from .cloudflare import CLOUDFLARE
from .compatible import COMPATIBLE
from .huggingface import HUGGING_FACE
from .mistral import MISTRAL
from .vertex_openai import VERTEX
from .xai import XAI

DIALECTS: tuple[Dialect, ...] = (OPENAI, AZURE, CLOUDFLARE, HUGGING_FACE, MISTRAL, VERTEX, XAI, *COMPATIBLE)

__all__ = ["DIALECTS"]
