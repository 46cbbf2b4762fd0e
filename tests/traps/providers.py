"""The providers of these tests: which model of each is asked, what it can do, and who answers for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Offer:
    """One model at one provider.

    ``model``: our slug. ``vendor``: how the simulation's directives address whoever answers (``[[@openai …]]``).
    ``native``: the upstream protocols that the provider has, preferred first. ``can``: ``think`` (reasons and shows
    it), ``sign`` (hands out reasoning that has to come back unchanged), ``mark`` (takes cache marks on blocks),
    ``key`` (takes a prompt cache key), ``sampling`` (takes a temperature), ``parallel_off`` (can be held to one call),
    ``effort`` (is told how much to reason), ``image`` (sees pictures).
    """

    provider: str
    model: str
    vendor: str
    native: tuple[str, ...]
    can: frozenset[str]

    @property
    def name(self) -> str:
        """What a client asks for."""
        return f"{self.provider}/{self.model}"

    def spoken(self, frontend: str) -> str:
        """The protocol that the gateway speaks to the provider for a client of ``frontend``."""
        return frontend if frontend in self.native else self.native[0]

    def relayed(self, frontend: str) -> bool:
        """Whether client and provider speak the same protocol."""
        return frontend in self.native

    def __str__(self) -> str:
        return (
            self.provider if self.vendor != "anthropic" or self.provider == "anthropic" else f"{self.provider}-claude"
        )


def _offer(provider: str, model: str, vendor: str, native: str, can: str) -> Offer:
    return Offer(provider, model, vendor, tuple(native.split()), frozenset(can.split()))


_CLAUDE = "think sign mark sampling effort image parallel_off"

OFFERS: tuple[Offer, ...] = (
    _offer(
        "openai",
        "gpt-5-mini",
        "openai",
        "responses chat_completions",
        "think sign effort image parallel_off key",
    ),
    _offer("anthropic", "claude-sonnet-4-5", "anthropic", "messages", _CLAUDE),
    _offer("vertex", "gemini-3.5-flash", "gemini", "gemini", "think sign sampling effort image"),
    _offer("bedrock", "claude-sonnet-4-5", "bedrock", "converse", _CLAUDE),
    _offer("azure", "gpt-5-mini", "azure", "responses chat_completions", "think sign effort image parallel_off key"),
    _offer("azure", "claude-sonnet-4-5", "anthropic", "messages", _CLAUDE),
    _offer("vertex", "claude-sonnet-4-5", "anthropic", "messages", _CLAUDE),
    _offer("cohere", "command-a-reasoning", "cohere", "cohere", "think sampling effort"),
    _offer("xai", "grok-4.3", "xai", "responses chat_completions", "think sign sampling effort image parallel_off key"),
    _offer("mistral", "mistral-medium-2604", "mistral", "chat_completions", "think sampling effort parallel_off key"),
    _offer("cloudflare", "gpt-oss-120b", "cloudflare", "chat_completions", "think sampling effort key parallel_off"),
    _offer("huggingface", "gpt-oss-120b", "huggingface", "chat_completions", "think sampling effort parallel_off"),
)

FRONTENDS = ("responses", "chat_completions", "messages")


def offers(*abilities: str, without: tuple[str, ...] = ()) -> list[Offer]:
    """The offers that have all of ``abilities``, and none of ``without``."""
    return [each for each in OFFERS if set(abilities) <= each.can and not set(without) & each.can]


def pairs(*abilities: str, without: tuple[str, ...] = ()) -> list[tuple[str, Offer]]:
    """Every frontend with every such offer."""
    return [(frontend, each) for frontend in FRONTENDS for each in offers(*abilities, without=without)]


def pair_id(value: object) -> str | None:
    """Readable ids of parametrized tests."""
    if isinstance(value, bool):
        return "stream" if value else "json"
    return str(value) if isinstance(value, Offer | str) else None
