"""Images and files by address, through the whole application: fetched once and put in where a provider takes only
bytes, handed on where it fetches them itself, refused by name where they cannot be had."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient

from dev.serve import Backends
from dev.simulated_providers.server import Running
from headgate.routing.media import MediaFetcher
from headgate.settings import Settings
from headgate.web import chat_completions, messages, responses
from headgate.web.app import build_app
from headgate.web.services import Services
from tests.gateway import Origin
from tests.media_server import PDF, PNG, MediaServer, media_server

PNG_DATA, PDF_DATA = base64.b64encode(PNG).decode(), base64.b64encode(PDF).decode()
PATHS = {"responses": "/v1/responses", "chat_completions": "/v1/chat/completions", "messages": "/v1/messages"}


class Gateway:
    """The application in this process, allowed to fetch from the loopback under the name ``media.example``."""

    def __init__(self, client: TestClient, key: str, media: MediaServer, simulated: Running) -> None:
        self.client = client
        self.media = media
        self.simulated = simulated
        self._headers = {"authorization": f"Bearer {key}"}

    def post(self, frontend: str, body: dict[str, Any]) -> Any:
        return self.client.post(PATHS[frontend], json=body, headers=self._headers)

    def get(self, path: str) -> Any:
        return self.client.get(path, headers=self._headers)

    def at(self, path: str) -> str:
        return f"http://media.example:{self.media.port}{path}"

    def sent(self, mark: str) -> list[Any]:
        """What the vendors were sent."""
        return [each.body for each in self.simulated.recorded(marker=mark)]


@contextlib.contextmanager
def running(backends: Backends, media: MediaServer, environment: dict[str, str]) -> Iterator[Gateway]:
    environ = {**backends.environment, **environment}
    services = Services(Settings.from_env(environ), environ)

    async def names(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"] if host == "media.example" else []

    services.media = MediaFetcher(services.transport.tls, names=names, permit=lambda address, port: True)
    app = build_app(responses.router, chat_completions.router, messages.router, services=services)
    with TestClient(app) as client:
        yield Gateway(client, backends.create_key(), media, backends.simulated)


@pytest.fixture(scope="module")
def server() -> Iterator[MediaServer]:
    with media_server() as media:
        yield media


@pytest.fixture(scope="module")
def started(gateway_backends: Backends, server: MediaServer) -> Iterator[Gateway]:
    with running(gateway_backends, server, {}) as gateway:
        yield gateway


@pytest.fixture
def gateway(started: Gateway) -> Gateway:
    started.media.asked.clear()
    return started


@pytest.fixture
def chat_only(gateway_backends: Backends, server: MediaServer) -> Iterator[Gateway]:
    server.asked.clear()
    with running(gateway_backends, server, {"HEADGATE_OPENAI_PROTOCOLS": "chat_completions"}) as gateway:
        yield gateway


def asking(frontend: str, model: str, text: str, *media: tuple[str, str], **fields: Any) -> dict[str, Any]:
    """A request with ``media`` as (kind, address)."""
    parts: list[dict[str, Any]] = []
    for kind, url in media:
        match frontend, kind:
            case "responses", "image":
                parts.append({"type": "input_image", "image_url": url, "detail": "auto"})
            case "responses", _:
                parts.append({"type": "input_file", "file_url": url})
            case "chat_completions", _:
                parts.append({"type": "image_url", "image_url": {"url": url}})
            case _:
                block = "image" if kind == "image" else "document"
                parts.append({"type": block, "source": {"type": "url", "url": url}})
    if frontend == "responses":
        said = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}, *parts]}]
        return {"model": model, "input": said, **fields}
    said = [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}]
    return {"model": model, "max_tokens": 200, "messages": said, **fields}


def blocks(protocol: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of the last turn that was sent to a vendor."""
    match protocol:
        case "gemini":
            return body["contents"][-1]["parts"]
        case "responses":
            return body["input"][-1]["content"]
        case _:
            return body["messages"][-1]["content"]


IMAGE = {
    "bedrock/claude-haiku-4-5": ("converse", {"image": {"format": "png", "source": {"bytes": PNG_DATA}}}),
    "vertex/gemini-2.5-flash": ("gemini", {"inlineData": {"mimeType": "image/png", "data": PNG_DATA}}),
    # Anthropic fetches over https alone.
    "anthropic/claude-haiku-4-5": (
        "messages",
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG_DATA}},
    ),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "frontend"), [(model, frontend) for model in IMAGE for frontend in PATHS if frontend != IMAGE[model][0]]
)
def test_an_image_by_address_goes_to_the_vendor_as_data(gateway: Gateway, model: str, frontend: str, stream: bool):
    protocol, expected = IMAGE[model]
    mark = f"image-{model}-{frontend}-{stream}"
    twice = ("image", gateway.at("/cat.png"))
    answer = gateway.post(frontend, asking(frontend, model, f"{mark} [[say:ok]]", twice, twice, stream=stream))
    assert answer.status_code == 200, answer.text
    (sent,) = gateway.sent(mark)
    assert blocks(protocol, sent)[1:] == [expected, expected]
    assert gateway.media.asked == ["/cat.png"]


@pytest.mark.parametrize("frontend", ["responses", "messages"])
@pytest.mark.parametrize("model", ["bedrock/claude-haiku-4-5", "vertex/gemini-2.5-flash"])
def test_a_pdf_by_address_goes_to_the_vendor_as_data(gateway: Gateway, model: str, frontend: str):
    mark = f"pdf-{model}-{frontend}"
    answer = gateway.post(frontend, asking(frontend, model, f"{mark} [[say:ok]]", ("file", gateway.at("/paper"))))
    assert answer.status_code == 200, answer.text
    (sent,) = gateway.sent(mark)
    if model.startswith("bedrock"):
        document = {"format": "pdf", "name": "paper", "source": {"bytes": PDF_DATA}}
        assert {"document": document} in blocks("converse", sent)
    else:
        assert {"inlineData": {"mimeType": "application/pdf", "data": PDF_DATA}} in blocks("gemini", sent)
    assert gateway.media.asked == ["/paper"]


@pytest.mark.parametrize("frontend", ["responses", "messages"])
def test_chat_completions_takes_addresses_of_images_and_data_of_files(chat_only: Gateway, frontend: str):
    mark = f"chat-only-media-{frontend}"
    media = (("image", chat_only.at("/cat.png")), ("file", chat_only.at("/paper")))
    answer = chat_only.post(frontend, asking(frontend, "gpt-4o-mini", f"{mark} [[say:ok]]", *media))
    assert answer.status_code == 200, answer.text
    (sent,) = chat_only.sent(mark)
    _, image, file = blocks("chat_completions", sent)
    assert image["image_url"]["url"] == chat_only.at("/cat.png")
    assert file["file"] == {"filename": "paper", "file_data": f"data:application/pdf;base64,{PDF_DATA}"}
    assert chat_only.media.asked == ["/paper"]


def test_text_files_by_address(gateway: Gateway):
    """Cohere has documents to cite, Anthropic documents of plain text; neither fetches them."""
    notes = ("file", gateway.at("/notes.txt"))
    for model in ("command-a", "anthropic/claude-haiku-4-5"):
        answer = gateway.post("responses", asking("responses", model, f"notes-{model} [[say:ok]]", notes))
        assert answer.status_code == 200, answer.text
    (cohere,) = gateway.sent("notes-command-a")
    assert cohere["documents"][0]["data"] == {"title": "notes.txt", "text": "The cat is called Tom."}
    (claude,) = gateway.sent("notes-anthropic")
    source = {"type": "text", "media_type": "text/plain", "data": "The cat is called Tom."}
    assert blocks("messages", claude)[1]["source"] == source
    assert gateway.media.asked == ["/notes.txt"] * 2


@pytest.mark.parametrize(
    ("frontend", "model", "protocol", "part"),
    [
        ("chat_completions", "anthropic/claude-haiku-4-5", "messages", {"type": "url", "url": "https://a.example/x"}),
        ("messages", "vertex/gemini-2.5-flash", "gemini", {"mimeType": "image/jpeg", "fileUri": "https://a.example/x"}),
        ("messages", "gpt-4o-mini", "responses", "https://a.example/x"),
    ],
)
def test_what_the_vendor_fetches_itself_is_handed_on(gateway: Gateway, frontend, model, protocol, part):
    mark = f"handed-on-{frontend}-{model}"
    answer = gateway.post(frontend, asking(frontend, model, f"{mark} [[say:ok]]", ("image", "https://a.example/x")))
    assert answer.status_code == 200, answer.text
    (sent,) = gateway.sent(mark)
    assert part in blocks(protocol, sent)[1].values()


def test_a_relay_changes_nothing(gateway: Gateway):
    body = asking("messages", "anthropic/claude-haiku-4-5", "relayed [[say:ok]]", ("image", gateway.at("/cat.png")))
    assert gateway.post("messages", body).status_code == 200
    (sent,) = gateway.sent("relayed")
    assert blocks("messages", sent) == body["messages"][0]["content"] and gateway.media.asked == []


PARAMS = {
    "responses": "input[0].content[1].image_url",
    "chat_completions": "messages[0].content[1].image_url.url",
    "messages": "messages[0].content[1].source.url",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("frontend", PATHS)
@pytest.mark.parametrize(
    ("path", "why"), [("/gone.png", "status 404"), ("/login", "is text/html, not image"), ("/paper", "not image")]
)
def test_what_cannot_be_had_is_named_and_no_vendor_is_asked(
    gateway: Gateway, path: str, why: str, frontend: str, stream: bool
):
    mark = f"failed{path}-{frontend}-{stream}"
    # Several routes: none of them would do.
    body = asking(frontend, "bedrock/claude-haiku-4-5", mark, ("image", gateway.at(path)), stream=stream)
    answer = gateway.post(frontend, body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error" and why in error["message"]
    if frontend == "messages":
        assert PARAMS[frontend] in answer.text
    else:
        assert (error["param"], error["code"]) == (PARAMS[frontend], "invalid_media_url")
    assert gateway.sent(mark) == [] and gateway.media.asked == [path]


def test_what_a_model_lacks_is_named_where_the_client_wrote_it(gateway: Gateway):
    """Audio for Claude, a PDF for Cohere, behind an item that only the client counts."""
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRgAAAABXQVZF", "format": "wav"}}
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF_DATA}"}}
    for model, part in (
        ("anthropic/claude-haiku-4-5", sound),
        ("bedrock/claude-haiku-4-5", sound),
        ("command-a", file),
    ):
        said = [{"type": "text", "text": "lacking"}, part]
        turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": said}]
        answer = gateway.post("chat_completions", {"model": model, "messages": turns})
        error = answer.json()["error"]
        assert answer.status_code == 400 and error["code"] == "unsupported_content"
        assert error["param"] == "messages[1].content[1]"
    document = {"type": "base64", "media_type": "application/pdf", "data": PDF_DATA}
    turn = {"role": "user", "content": [{"type": "document", "source": document}]}
    answer = gateway.post("messages", {"model": "command-a", "max_tokens": 9, "messages": [turn]})
    assert answer.status_code == 400 and "takes pdf input" in answer.text
    assert gateway.sent("lacking") == []


def test_several_choices_and_routes_fetch_once(gateway: Gateway):
    image = ("image", gateway.at("/cat.png"))
    body = asking("chat_completions", "bedrock/claude-haiku-4-5", "three-choices [[say:ok]]", image, n=3)
    answer = gateway.post("chat_completions", body)
    assert answer.status_code == 200 and len(answer.json()["choices"]) == 3
    assert "x-headgate-losses" not in answer.headers
    assert len(gateway.sent("three-choices")) == 3 and gateway.media.asked == ["/cat.png"]
    gateway.media.asked.clear()

    gateway.simulated.behave("[[fail:529]]", path="/anthropic", marker="two-routes")
    body = asking("chat_completions", "anthropic/claude-haiku-4-5", "two-routes [[say:ok]]", image)
    answer = gateway.post("chat_completions", body)
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["x-headgate-attempts"]) == len(gateway.sent("two-routes")) == 2
    assert gateway.media.asked == ["/cat.png"]


def test_a_stored_turn_keeps_the_address(gateway: Gateway):
    url = gateway.at("/cat.png")
    body = asking("responses", "bedrock/claude-haiku-4-5", "stored-one [[say:ok]]", ("image", url))
    first = gateway.post("responses", body).json()
    items = gateway.get(f"/v1/responses/{first['id']}/input_items")
    assert url in items.text and PNG_DATA not in items.text
    more = {"model": "bedrock/claude-haiku-4-5", "input": "stored-two [[say:ok]]", "previous_response_id": first["id"]}
    assert gateway.post("responses", more).status_code == 200
    (sent,) = gateway.sent("stored-two")
    assert sent["messages"][0]["content"][1]["image"]["source"] == {"bytes": PNG_DATA}
    assert gateway.media.asked == ["/cat.png"] * 2


def test_an_image_in_a_tools_result(gateway: Gateway):
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    image = {"type": "image", "source": {"type": "url", "url": gateway.at("/cat.png")}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [image]}
    body = {
        "model": "bedrock/claude-haiku-4-5",
        "max_tokens": 100,
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "tool-result-image [[say:ok]]"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ],
    }
    answer = gateway.post("messages", body)
    assert answer.status_code == 200, answer.text
    (sent,) = gateway.sent("tool-result-image")
    (block,) = blocks("converse", sent)
    assert block["toolResult"]["content"][0]["image"]["source"] == {"bytes": PNG_DATA}


def test_the_gateway_as_it_is_deployed_fetches_nothing_from_the_loopback(gateway_origin: Origin, gateway: Gateway):
    for host in ("127.0.0.1", "localhost", "[::1]", "2130706433", "[::ffff:127.0.0.1]"):
        url = f"http://{host}:{gateway.media.port}/cat.png"
        body = asking("messages", "bedrock/claude-haiku-4-5", "private-address", ("image", url))
        answer = gateway_origin.post("/v1/messages", body)
        assert answer.status_code == 400 and "not at a public address" in answer.text
    assert gateway.media.asked == [] and gateway.sent("private-address") == []
