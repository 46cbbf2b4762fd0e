"""Where Claude is offered: Anthropic itself, Google Vertex AI and Microsoft Azure, and what they do differently.

Vertex (``…/publishers/anthropic/models/{model}:rawPredict``): the model stands in the path and must not stand in the
body, the version stands in the body, tokens are counted by the pseudo-model ``count-tokens`` with the model in the
body, and Google's own errors (credentials, unknown model, quota) come in Google's envelope, as a list of one where a
stream was asked for. Azure (``/anthropic/v1/messages``): deployment names, ``x-api-key``, ``api-key`` or an Entra
token. Both know fewer betas than Anthropic and refuse the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from . import anthropic_common as anthropic
from . import gemini_common as google
from .anthropic_common import Refused, invalid
from .delivery import packed

VERTEX_VERSION = "vertex-2023-10-16"

_SHARED_BETAS = frozenset(
    {
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "context-management-2025-06-27",
        "interleaved-thinking-2025-05-14",
        "web-search-2025-03-05",
    }
)
_VERTEX_BETAS = _SHARED_BETAS | {"compact-2026-01-12", "tool-search-tool-2025-10-19"}
_AZURE_BETAS = _SHARED_BETAS | {
    "advanced-tool-use-2025-11-20",
    "code-execution-2025-08-25",
    "effort-2025-11-24",
    "files-api-2025-04-14",
    "mcp-client-2025-04-04",
    "mcp-client-2025-11-20",
    "prompt-caching-scope-2026-01-05",
    "skills-2025-10-02",
    "structured-outputs-2025-11-13",
    "web-fetch-2025-09-10",
}
_NOT_AT_VERTEX = ("container", "mcp_servers", "service_tier", "inference_geo", "speed")


@dataclass(frozen=True)
class Place:
    """One offer of the Messages API. ``vendor``: whose directives count besides Anthropic's. ``mark`` stands in its
    ids. ``caller`` finds the caller's key or raises. ``read`` takes (request, body) and gives (body as Anthropic would
    get it, version). ``known`` says whether the model exists. ``betas`` None: any. ``fronted`` are the statuses that
    the platform answers itself, with ``envelope``."""

    caller: Callable[[Request], str]
    read: Callable[[Request, dict[str, Any]], tuple[dict[str, Any], str]]
    known: Callable[[str, tuple[str, ...]], bool]
    mark: str = ""
    betas: frozenset[str] | None = None
    fronted: frozenset[int] = frozenset()
    envelope: Callable[[Request, Refused], bytes] | None = None

    def new_id(self, prefix: str) -> str:
        """``msg_01…`` or, at Vertex, ``msg_vrtx_01…``."""
        return anthropic.new_id(f"{prefix}_{self.mark}" if self.mark else prefix)

    def check_betas(self, betas: set[str], *, counting: bool) -> None:
        """Refuses betas that the place does not know."""
        if self.betas is None:
            return
        known = self.betas - {"web-search-2025-03-05"} if counting and self.mark else self.betas
        unknown = sorted(betas - known)
        if unknown:
            quoted = ", ".join(f"`{beta}`" for beta in unknown)
            text = f"Unexpected value(s) {quoted} for the `anthropic-beta` header. Please consult our documentation at "
            raise Refused(400, f"{text}docs.anthropic.com or try again without the header.")


def _by_header(request: Request, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    return body, anthropic.version_of(request)


def _google_caller(request: Request) -> str:
    try:
        return google.key_of(request, vertex=True)
    except google.Refused as refused:
        raise Refused(refused.status, refused.message) from None


def _vertex_read(request: Request, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    model, _, method = request.path_params["call"].rpartition(":")
    if method not in ("rawPredict", "streamRawPredict"):
        raise Refused(404, f"Unknown method: {method}")
    if "anthropic_version" not in body:
        raise invalid("anthropic_version", "Field required")
    # Its own version is the documented one; Anthropic's client for Vertex has come to send Anthropic's newest.
    version = anthropic.NEW_VERSION if body["anthropic_version"] == anthropic.NEW_VERSION else anthropic.OLD_VERSION
    if body["anthropic_version"] not in (VERTEX_VERSION, anthropic.NEW_VERSION):
        raise invalid("anthropic_version", f'"{body["anthropic_version"]}" is not a valid version')
    for name in _NOT_AT_VERTEX:
        if name in body:
            raise invalid(name, "Extra inputs are not permitted")
    rest = {name: value for name, value in body.items() if name != "anthropic_version"}
    if model == "count-tokens":
        return rest, version
    if "model" in body:
        raise invalid("model", "Extra inputs are not permitted")
    searches = any(str(tool.get("type", "")).startswith("web_search") for tool in rest.get("tools") or [])
    if searches and "web-search-2025-03-05" not in anthropic.betas_of(request):
        raise invalid("tools", "Input tag 'web_search_20250305' does not match any of the expected tags")
    return {**rest, "model": model}, version


def _vertex_known(model: str, extra: tuple[str, ...]) -> bool:
    # Versions stand behind an @; Anthropic's own spelling of a dated model does not exist there.
    return anthropic.known(model, extra) and not anthropic.bare(model).rpartition("-")[2].startswith("20")


def _googles(request: Request, refused: Refused) -> bytes:
    model, _, method = request.path_params["call"].rpartition(":")
    message = refused.message
    if refused.status == 404 and model:
        at = request.path_params
        name = f"projects/{at['project']}/locations/{at['location']}/publishers/anthropic/models/{model}"
        message = f"Publisher Model `{name}` was not found or your project does not have access to it."
    return google.Refused(refused.status, message, html=refused.html).body(listed=method == "streamRawPredict")


def _azure_caller(request: Request) -> str:
    key = request.headers.get("api-key") or request.headers.get("x-api-key") or ""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = key or (token.strip() if scheme.lower() == "bearer" else "")
    if not given or "invalid" in given:
        text = "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key "
        raise Refused(401, f"{text}for an active subscription and use a correct regional API endpoint.")
    return given


def _azures(request: Request, refused: Refused) -> bytes:
    code = {401: "401", 404: "DeploymentNotFound", 429: "RateLimitReached"}[refused.status]
    message = refused.message
    if refused.status == 404:
        message = (
            "The API deployment for this resource does not exist. If you created the deployment within the last 5 "
            "minutes, please wait a moment and try again."
        )
    return packed({"error": {"code": code, "message": message}})


ANTHROPIC = Place(anthropic.key_of, _by_header, anthropic.known)
VERTEX = Place(
    _google_caller,
    _vertex_read,
    _vertex_known,
    mark="vrtx",
    betas=_VERTEX_BETAS,
    fronted=frozenset({401, 403, 404, 429}),
    envelope=_googles,
)
AZURE = Place(
    _azure_caller, _by_header, anthropic.known, betas=_AZURE_BETAS, fronted=frozenset({401, 404, 429}), envelope=_azures
)
