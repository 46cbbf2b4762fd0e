"""Error answers in vendors' own words, as the codes that this gateway acts on."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LONGEST = 2000

# Each is a vendor's answer to what OpenAI refuses with 401 or 404; as a plain 400 it would pass for the caller's fault.
_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    # xAI: 400 for a key that it does not know.
    (re.compile(r"^Incorrect API key provided"), "invalid_api_key"),
    # xAI: 400.
    (re.compile(r"^Model not found: "), "model_not_found"),
    # Hugging Face's router: 400, code model_not_supported.
    (re.compile(r"is not supported by any provider you have enabled"), "model_not_found"),
)


def known_code(message: str, code: str | None) -> str | None:
    """The code for a vendor's ``message``; ``code``, the vendor's own, where it says nothing that matters here."""
    return next((ours for words, ours in _WORDS if words.search(message)), code)


def plain_text(status: int, body: bytes, headers: Mapping[str, str]) -> str | None:
    """The message of a refusal that came as plain text: xAI words what it cannot read of a body like this. None for
    anything else: a page, a proxy's words about a server that is down, what is too long to be a message."""
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if status not in (400, 413, 415, 422) or not kind.lower().startswith("text/plain") or len(body) > _LONGEST:
        return None
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return None
    return text if text and "<" not in text[:1] else None
