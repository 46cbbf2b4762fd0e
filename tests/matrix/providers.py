"""The ten providers: which model is asked for what, how the vendor says it, and what the vendor itself does not have.

``lacks`` is for what a vendor lacks at its best model, never for what this gateway does not do. The README's table and
the tests are made of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.matrix.facts import FRONTENDS

Manner = Literal["refused", "announced", "absent"]


@dataclass(frozen=True)
class Lack:
    """What a vendor does not have. ``reason``: one sentence with the fact. ``manner``: what the client gets: a 400
    that names the content (``refused``), the answer with the loss in ``x-headgate-losses`` (``announced``), or the
    answer without it, because nothing that was asked for is lost (``absent``). ``frontends``: for whose requests."""

    reason: str
    manner: Manner
    frontends: tuple[str, ...] = FRONTENDS


@dataclass(frozen=True)
class Vendor:
    """A provider of the matrix.

    plain: a model that does not think by itself. thinker: one that does when asked. models: others by capability.
    speaks: frontend to upstream protocol, where it is not ``protocol``. effort: what ``high`` is called there.
    caching: how a prompt is cached there: by the client's marks, by a key, or by itself. results_media: where the
    picture of a tool's result goes: into the result, or beside it into a user message. takes_urls: whether it fetches
    pictures by itself, papers_by_url: whether PDFs. hides_thoughts: frontends whose API at this vendor shows no
    reasoning text. counts_thoughts: whether its usage tells reasoning apart. replays_thoughts: whether it takes
    unsigned thoughts back. stop_word: what it says of a stop sequence that was met: which one, that there was one, or
    nothing. fixed_errors: statuses of which it always says the same. announces: the paths of the losses that go with a
    capability; any other loss is a fault. notes: what is special, by capability, for the README.
    """

    slug: str
    name: str
    plain: str
    thinker: str
    protocol: str
    effort: Any = "high"
    caching: Literal["marks", "key", "automatic"] = "automatic"
    results_media: Literal["inside", "beside"] = "inside"
    takes_urls: bool = True
    papers_by_url: bool = False
    hides_thoughts: tuple[str, ...] = ()
    counts_thoughts: bool = True
    replays_thoughts: bool = True
    stop_word: Literal["named", "said", "silent"] = "named"
    fixed_errors: Mapping[int, str] = field(default_factory=dict[int, str])
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    speaks: Mapping[str, str] = field(default_factory=dict[str, str])
    lacks: Mapping[str, tuple[Lack, ...]] = field(default_factory=dict[str, tuple[Lack, ...]])
    announces: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    notes: Mapping[str, str] = field(default_factory=dict[str, str])

    def model(self, capability: str) -> str:
        """The model that is asked for ``capability``, as ``provider/slug``."""
        thinks = capability in ("reasoning", "signatures", "usage")
        return f"{self.slug}/{self.models.get(capability, self.thinker if thinks else self.plain)}"

    def spoken(self, frontend: str) -> str:
        """The upstream protocol for requests of ``frontend``."""
        return self.speaks.get(frontend, self.protocol)

    def lack(self, capability: str, frontend: str) -> Lack | None:
        """What is lacking of ``capability`` for ``frontend``."""
        return next((each for each in self.lacks.get(capability, ()) if frontend in each.frontends), None)


_CHAT_HIDES = Lack(
    "Chat Completions gives neither reasoning text nor sealed reasoning, only its token count.",
    "absent",
    ("chat_completions",),
)
_RESPONSES_STOP = Lack("The Responses API has no stop sequences.", "announced", ("responses", "messages"))
_NO_SWITCH = "There is no switch against parallel calls; `parallel_tool_calls: false` is announced as lost."
_SUMMARIES = "Chat Completions tells the number of reasoning tokens; the summaries are given by Responses alone."
_OWN_CHAT = {"chat_completions": "chat_completions"}

VENDORS: tuple[Vendor, ...] = (
    Vendor(
        "openai",
        "OpenAI",
        plain="gpt-4.1-mini",
        thinker="gpt-5-mini",
        papers_by_url=True,
        protocol="responses",
        speaks=_OWN_CHAT,
        caching="key",
        hides_thoughts=("chat_completions",),
        lacks={"signatures": (_CHAT_HIDES,), "stop": (_RESPONSES_STOP,)},
        notes={"reasoning": _SUMMARIES},
    ),
    Vendor(
        "anthropic",
        "Anthropic",
        plain="claude-sonnet-4-6",
        thinker="claude-sonnet-4-6",
        papers_by_url=True,
        protocol="messages",
        caching="marks",
    ),
    Vendor(
        "vertex",
        "Google Vertex AI",
        plain="gemini-2.5-flash",
        thinker="gemini-3-flash-preview",
        papers_by_url=True,
        protocol="gemini",
        models=dict.fromkeys(("tool_result_images", "structured_output"), "gemini-3-flash-preview"),
        stop_word="silent",
        announces={"parallel_tools": ("parallel_tool_calls",)},
        notes={"parallel_tools": _NO_SWITCH},
    ),
    Vendor(
        "bedrock",
        "Amazon Bedrock",
        plain="claude-sonnet-4-6",
        thinker="claude-sonnet-4-6",
        protocol="converse",
        takes_urls=False,
        caching="marks",
        counts_thoughts=False,
    ),
    Vendor(
        "azure",
        "Microsoft Azure",
        plain="gpt-4.1-mini",
        thinker="gpt-5.1",
        papers_by_url=True,
        protocol="responses",
        speaks=_OWN_CHAT,
        caching="key",
        hides_thoughts=("chat_completions",),
        fixed_errors={401: "Access denied due to invalid subscription key"},
        models={"structured_output": "gpt-5.4-mini"},
        lacks={"signatures": (_CHAT_HIDES,), "stop": (_RESPONSES_STOP,)},
        notes={"reasoning": _SUMMARIES},
    ),
    Vendor(
        "xai",
        "xAI",
        plain="grok-4.20-non-reasoning",
        thinker="grok-4.3",
        papers_by_url=True,
        protocol="responses",
        speaks=_OWN_CHAT,
        caching="key",
        lacks={
            "pdf": (
                Lack("xAI reads files from an address or from its own store, none that are sent along.", "refused"),
            ),
            "signatures": (_CHAT_HIDES,),
            "stop": (_RESPONSES_STOP,),
        },
        notes={"pdf": "By address they are read, for clients of Responses and Messages."},
    ),
    Vendor(
        "cohere",
        "Cohere",
        plain="command-a",
        thinker="command-a-reasoning",
        protocol="cohere",
        effort=4096,
        counts_thoughts=False,
        stop_word="said",
        models={"images": "command-a-vision", "tool_result_images": "command-a-plus"},
        results_media="beside",
        announces={"parallel_tools": ("parallel_tool_calls",), "structured_output": ("text.format",)},
        notes={
            "parallel_tools": _NO_SWITCH,
            "structured_output": "Beside tools the answer is a call of a tool made for it, given as content.",
        },
        lacks={
            "pdf": (Lack("No file parts in Cohere's chat; documents are text.", "refused"),),
            "signatures": (Lack("Cohere's thinking has no signature.", "absent"),),
        },
    ),
    Vendor(
        "mistral",
        "Mistral AI",
        plain="mistral-large-2512",
        thinker="mistral-small-2603",
        protocol="chat_completions",
        counts_thoughts=False,
        papers_by_url=True,
        caching="key",
        results_media="beside",
        stop_word="silent",
    ),
    Vendor(
        "cloudflare",
        "Cloudflare",
        plain="llama-4-scout",
        thinker="kimi-k2.6",
        protocol="chat_completions",
        caching="key",
        results_media="beside",
        takes_urls=False,
        counts_thoughts=False,
        stop_word="silent",
        models={"structured_output": "kimi-k2.6", "caching": "kimi-k2.6"},
        lacks={
            "pdf": (Lack("The chat models of Workers AI take text and images.", "refused"),),
            "signatures": (Lack("The open models give their thoughts as text, unsigned.", "absent"),),
        },
    ),
    Vendor(
        "huggingface",
        "Hugging Face",
        plain="llama-3.3-70b-instruct",
        thinker="gpt-oss-120b",
        protocol="chat_completions",
        results_media="beside",
        counts_thoughts=False,
        replays_thoughts=False,
        stop_word="silent",
        models=dict.fromkeys(("images", "tool_result_images"), "kimi-k2.5"),
        lacks={
            "pdf": (Lack("The router's chat models take text and images.", "refused"),),
            "signatures": (Lack("The open models give their thoughts as text, unsigned.", "absent"),),
        },
    ),
)
BY_SLUG = {vendor.slug: vendor for vendor in VENDORS}
