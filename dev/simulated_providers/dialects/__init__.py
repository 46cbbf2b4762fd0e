"""The vendors that speak OpenAI's protocols in a way of their own, one module each."""

from ..dialect import OPENAI, Dialect

DIALECTS: tuple[Dialect, ...] = (OPENAI,)

__all__ = ["DIALECTS"]
