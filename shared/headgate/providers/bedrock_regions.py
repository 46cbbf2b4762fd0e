"""Which of Bedrock's inference profiles can be called from a region.

A profile's name is the model's id behind a geography: ``eu.anthropic.claude-…``. It is called from the regions of that
geography; ``global`` from every commercial region. Source: the regional availability in the model cards of the Bedrock
user guide.
"""

from __future__ import annotations

import re
from collections.abc import Collection

GLOBAL = "global"
GEOGRAPHIC = "geographic"
NONE = "none"

# The narrowest first: data that may be kept in Japan is.
_GEOGRAPHIES = (
    ("us-gov", r"us-gov-.+"),
    ("us", r"us-(east|west)-\d|ca-(central|west)-\d"),
    ("eu", r"eu-.+"),
    ("jp", r"ap-northeast-[13]"),
    ("au", r"ap-southeast-[246]"),
    ("in", r"ap-south-\d"),
    ("apac", r"ap-.+"),
)
PROFILES = (GLOBAL, *(name for name, _ in _GEOGRAPHIES))
PREFERENCES = (*PROFILES, GEOGRAPHIC, NONE)


def geographies(region: str) -> list[str]:
    """The geographies that ``region`` belongs to, the narrowest first; none for regions that have only ``global``
    (South America, the Middle East, Africa)."""
    return [name for name, pattern in _GEOGRAPHIES if re.fullmatch(pattern, region)]


def callable_from(profile: str, region: str) -> bool:
    """Whether ``profile`` can be called from ``region``."""
    if profile == GLOBAL:
        return not region.startswith("us-gov-")
    return profile in geographies(region)


def choose(offered: Collection[str], preferred: str, region: str) -> str | None:
    """The profile to call of those that a model is ``offered`` by; None: its plain id, which stays in the region.

    preferred ``global``: that, else the region's own geography. ``geographic`` or a geography's name: never beyond
    the geography. ``none``: no profile."""
    if preferred == NONE:
        return None
    if preferred == GLOBAL and GLOBAL in offered and callable_from(GLOBAL, region):
        return GLOBAL
    wanted = geographies(region) if preferred in (GLOBAL, GEOGRAPHIC) else [preferred]
    return next((name for name in wanted if name in offered), None)
