"""Bedrock's binary event stream, encoded; and its errors, models and callers."""

from __future__ import annotations

import secrets
import uuid
import zlib
from dataclasses import dataclass, field

from starlette.requests import Request

from .delivery import packed
from .reading import Faults
from .shapes import Problem

_NAMES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_MESSAGES = {
    403: "You don't have access to the model with the specified model ID.",
    404: "Could not resolve the foundation model from the provided model identifier.",
    408: "The model timed out.",
    424: "The model returned an error.",
    429: "Too many requests, please wait before trying again.",
    500: "The system encountered an unexpected error during processing. Try your request again.",
    503: "Bedrock is unable to process your request.",
}
MAKERS = ("anthropic.", "amazon.", "meta.", "mistral.", "openai.", "deepseek.", "cohere.", "qwen.", "moonshot")


@dataclass
class Refused(Exception):
    """An error answer; ``name`` of the exception, from the status where not given."""

    status: int
    message: str
    name: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    html: bool = False

    def body(self) -> bytes:
        """The answer's body."""
        if self.html:
            return f"<html><body><h1>{self.status}</h1>{self.message}</body></html>".encode()
        return packed({"message": self.message})

    def all_headers(self) -> dict[str, str]:
        """Its headers, the exception's name among them."""
        name = self.name or _NAMES.get(self.status, "InternalServerException")
        own = {} if self.html else {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
        return {**headers(), **own, **self.headers}


def headers() -> dict[str, str]:
    """The headers of every answer."""
    return {"x-simulated": "1", "x-amzn-requestid": str(uuid.uuid4())}


def invalid(message: str) -> Refused:
    """A 400."""
    return Refused(400, message)


def worded(problem: Problem) -> Refused:
    """Bedrock's words for a Problem."""
    where = ".".join(str(step) for step in problem.path)
    facts = {key: value for key, value in problem.facts.items() if key in ("expected", "allowed", "limit", "pattern")}
    told = ", ".join(f"{key} {value}" for key, value in facts.items())
    text = f"1 validation error detected: Value at '{where}' failed to satisfy constraint: {problem.kind}"
    return invalid(f"{text} ({told})" if told else text)


def caller(request: Request) -> str:
    """Who asks: an access key id of a SigV4 signature, or a Bedrock API key. Raises Refused."""
    given = request.headers.get("authorization", "")
    if not given:
        raise Refused(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
    scheme, _, rest = given.partition(" ")
    if "invalid" in rest or scheme not in ("AWS4-HMAC-SHA256", "Bearer"):
        raise Refused(403, "The security token included in the request is invalid.", "UnrecognizedClientException")
    if scheme == "Bearer":
        return rest
    if "/bedrock/aws4_request" not in rest or not request.headers.get("x-amz-date"):
        raise Refused(403, "The request signature we calculated does not match.", "InvalidSignatureException")
    return rest.partition("Credential=")[2].partition("/")[0]


def check_model(model: str, extra: tuple[str, ...]) -> None:
    """Raises Refused for a model that Bedrock does not have."""
    known = model in extra or model.startswith("arn:aws:bedrock:") or any(maker in model for maker in MAKERS)
    if not known or "does-not-exist" in model:
        raise invalid("The provided model identifier is invalid.")


def family(model: str) -> str:
    """Whose model it is: claude, nova, or the rest."""
    return "claude" if "anthropic." in model else "nova" if "amazon.nova" in model else "other"


def failure(faults: Faults) -> Refused:
    """The error that ``[[fail:…]]`` asks for."""
    status, options = faults.status or 500, faults.status_options
    more = {"retry-after": options["retry-after"]} if "retry-after" in options else {}
    message = options.get("message", _MESSAGES.get(status, "Something went wrong"))
    return Refused(status, message, options.get("type", ""), more, "html" in options)


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of the stream; all headers are strings."""
    written = bytearray()
    for name, value in headers.items():
        held = value.encode()
        written += bytes([len(name)]) + name.encode() + b"\x07" + len(held).to_bytes(2, "big") + held
    total = 12 + len(written) + len(payload) + 4
    prelude = total.to_bytes(4, "big") + len(written).to_bytes(4, "big")
    whole = prelude + zlib.crc32(prelude).to_bytes(4, "big") + bytes(written) + payload
    return whole + zlib.crc32(whole).to_bytes(4, "big")


def event(kind: str, payload: dict[str, object]) -> bytes:
    """An event; the vendor pads its payload with ``p`` against guessing from sizes."""
    named = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return message(named, packed({**payload, "p": alphabet[: len(packed(payload)) * 7 % 40 + 1]}))


def exception(kind: str, payload: dict[str, object]) -> bytes:
    """An exception in the stream."""
    named = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(named, packed(payload))


def new_id() -> str:
    """A tool use id."""
    return f"tooluse_{secrets.token_urlsafe(16)}"
