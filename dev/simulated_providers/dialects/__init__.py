"""The vendors that speak OpenAI's protocols in a way of their own, one module each."""

from ..dialect import OPENAI, Dialect
from .huggingface import HUGGING_FACE
from .xai import XAI

DIALECTS: tuple[Dialect, ...] = (OPENAI, XAI, HUGGING_FACE)

__all__ = ["DIALECTS"]
