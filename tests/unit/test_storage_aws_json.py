"""The gateway's own client of AWS's JSON protocol: signatures, connections, repetitions.

What calls mean is in test_storage_table.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dev.embedded_dynamodb import EmbeddedDynamoDB
from headgate.storage.aws import StoreFault, StoreUnavailable
from headgate.storage.aws_json import AccessKey, AwsJson, Signer
from headgate.storage.secrets import Secrets
from headgate.storage.table import Table

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret/example"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Counts connections and requests, and hands each request's number to ``answer``."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.url = ""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                self.requests.append((headers, body))
                await self.answer(len(self.requests), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[Server, AwsJson]]:
    server = Server(answer)
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    client = AwsJson("dynamodb", server.url, "us-east-1", AccessKey("a", "b"), timeout=0.5, connect_timeout=0.5)
    try:
        yield server, client
    finally:
        client.recreate()
        listening.close()


async def fine(number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


@pytest.mark.parametrize("token", ["", "FwoGZXIvYXdzEXAMPLE//token=="])
def test_signatures_are_those_of_botocore(token: str) -> None:
    body = '{"TableName":"t","Key":{"pk":{"S":"é"}}}'.encode()
    headers = {"content-type": "application/x-amz-json-1.0", "host": "dynamodb.eu-west-1.amazonaws.com"}
    headers["x-amz-target"] = "DynamoDB_20120810.GetItem"
    signer = Signer(AccessKey("AKIDEXAMPLE", "secret/example", token), "eu-west-1", "dynamodb")
    for now in (1_790_000_000.5, 1_790_086_400.0):  # the second is of another day, which has another key
        ours = signer.sign(headers, body, now)

        request = AWSRequest("POST", "https://dynamodb.eu-west-1.amazonaws.com/", dict(headers), body)
        request.context["timestamp"] = request.headers["x-amz-date"] = ours["x-amz-date"]
        if token:
            request.headers["x-amz-security-token"] = token
        theirs = SigV4Auth(Credentials("AKIDEXAMPLE", "secret/example", token or None), "dynamodb", "eu-west-1")
        signature = theirs.signature(theirs.string_to_sign(request, theirs.canonical_request(request)), request)
        assert ours["authorization"].endswith(f"Signature={signature}")
        assert f"SignedHeaders={theirs.signed_headers(theirs.headers_to_sign(request))}," in ours["authorization"]
        assert f"Credential={theirs.scope(request)}," in ours["authorization"]
        assert ours.get("x-amz-security-token", "") == token


@pytest.mark.parametrize(
    "unusual",
    [
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_PROFILE": "work"},
        {"https_proxy": "http://proxy"},
        {"AWS_USE_FIPS_ENDPOINT": "true"},
        {"AWS_CA_BUNDLE": "/ca.pem"},
        {"AWS_ENDPOINT_URL": "http://localhost:4566"},
    ],
)
def test_what_is_unusual_is_left_to_botocore(unusual: dict[str, str]) -> None:
    assert AwsJson.from_env("dynamodb", KEYS, "eu-central-1") is not None
    assert AwsJson.from_env("dynamodb", KEYS | unusual, "eu-central-1") is None


@pytest.mark.parametrize(("region", "ours"), [("us-gov-west-1", True), ("cn-north-1", False), ("us-iso-east-1", False)])
def test_regions_with_another_domain_are_left_to_botocore(region: str, ours: bool) -> None:
    assert (AwsJson.from_env("dynamodb", KEYS, region) is not None) is ours
    assert AwsJson.from_env("dynamodb", KEYS, None) is None


async def test_calls_say_what_aws_wants_and_share_a_connection() -> None:
    async with serving(fine) as (server, client):
        for _ in range(3):
            await client.call("update_item", {"TableName": "t", "Key": {"pk": {"B": b"\x00\xff"}}})
        headers, body = server.requests[0]
    assert server.connections == 1
    assert headers["x-amz-target"] == "DynamoDB_20120810.UpdateItem"
    assert headers["host"] == server.url.removeprefix("http://")
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=a/")
    assert body == {"TableName": "t", "Key": {"pk": {"B": "AP8="}}}


async def test_calls_at_once_have_a_connection_each() -> None:
    async def slow(number: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(OK)

    async with serving(slow) as (server, client):
        await asyncio.gather(*(client.call("get_item", {"number": number}) for number in range(5)))
        await client.call("get_item", {})
    assert server.connections == 5


async def test_a_kept_connection_that_died_is_replaced_without_a_failure() -> None:
    async def twice_then_gone(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 2:
            writer.transport.abort()
        else:
            writer.write(OK)

    async with serving(twice_then_gone) as (server, client):
        await client.call("get_item", {})
        await client.call("get_item", {})
    assert (server.connections, len(server.requests)) == (2, 3)


async def test_a_connection_of_before_a_long_freeze_is_not_used() -> None:
    now = 1000.0
    async with serving(fine) as (server, _):
        client = AwsJson("dynamodb", server.url, "us-east-1", AccessKey("a", "b"), clock=lambda: now)
        await client.call("get_item", {})
        now += 3600
        await client.call("get_item", {})
        client.recreate()
    assert server.connections == 2


@pytest.mark.parametrize(
    "refusal",
    [
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy",
        b'HTTP/1.1 400 Bad Request\r\nContent-Length: 48\r\n\r\n{"__type":"com.amazonaws.x#ThrottlingException"}',
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    ],
)
async def test_what_may_pass_is_tried_again_and_at_last_unavailable(refusal: bytes) -> None:
    async def refuse(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if number == 3 else refusal)

    async def always(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(refusal)

    async with serving(refuse) as (server, client):
        assert await client.call("get_item", {}) == {}
    assert len(server.requests) == 3
    async with serving(always) as (server, client):
        with pytest.raises(StoreUnavailable):
            await client.call("get_item", {})
    assert len(server.requests) == 3


async def test_what_cannot_pass_is_not_tried_again() -> None:
    content = b'{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no table"}'

    async def missing(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content))

    async with serving(missing) as (server, client):
        with pytest.raises(StoreFault, match="ResourceNotFoundException: no table"):
            await client.call("get_item", {})
    assert len(server.requests) == 1


async def test_a_silent_store_is_unavailable_and_its_late_answer_is_nobodys() -> None:
    async def late(number: int, writer: asyncio.StreamWriter) -> None:
        if number <= 3:
            await asyncio.sleep(0.7)
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"n": 1}')
        else:
            writer.write(OK)

    async with serving(late) as (_, client):
        with pytest.raises(StoreUnavailable):
            await client.call("get_item", {})
        assert await client.call("get_item", {}) == {}


async def test_a_store_out_of_reach_is_unavailable() -> None:
    async with serving(fine) as (server, _):
        pass
    with pytest.raises(StoreUnavailable):
        await AwsJson("dynamodb", server.url, "us-east-1", AccessKey("a", "b")).call("get_item", {})


async def test_a_certificate_is_checked(tmp_path: Path) -> None:
    certificate, key = self_signed("localhost")
    (tmp_path / "certificate.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    secure = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secure.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    server = Server(fine)
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0, ssl=secure)
    port = listening.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context(cadata=certificate.decode())
    async with listening:
        for host, context, passes in [
            ("localhost", trusting, True),
            ("127.0.0.1", trusting, False),  # another name than the certificate's
            ("localhost", ssl.create_default_context(), False),
        ]:
            url, key = f"https://{host}:{port}", AccessKey("a", "b")
            client = AwsJson("dynamodb", url, "us-east-1", key, tls=partial(identity, context))
            if passes:
                assert await client.call("get_item", {}) == {}
            else:
                with pytest.raises(StoreUnavailable, match="certificate verify failed"):
                    await client.call("get_item", {})
            client.recreate()
    assert len(server.requests) == 1


def identity(context: ssl.SSLContext) -> ssl.SSLContext:
    return context


def self_signed(name: str) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


async def test_an_answer_in_chunks_is_read_whole() -> None:
    async def chunked(number: int, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b'9\r\n{"Item":{\r\n4;x=1\r\n"pk"\r\n')
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b'e\r\n:{"B":"AP8="}}\r\n1\r\n}\r\n0\r\n\r\n')

    async with serving(chunked) as (server, client):
        for _ in range(2):
            assert await client.call("get_item", {}) == {"Item": {"pk": {"B": b"\x00\xff"}}}
    assert server.connections == 1


async def test_a_repeated_transaction_is_known_as_the_same() -> None:
    async def lost(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if number > 1 else b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")

    async with serving(lost) as (server, client):
        await client.call("transact_write_items", {"TransactItems": []})
        await client.call("transact_write_items", {"TransactItems": []})
    tokens = [body["ClientRequestToken"] for _, body in server.requests]
    assert tokens[0] == tokens[1] != tokens[2]


async def test_an_attribute_named_b_is_not_taken_for_binary(dynamodb: EmbeddedDynamoDB) -> None:
    client = AwsJson.from_env("dynamodb", dynamodb.environment(), "us-east-1")
    assert client is not None
    table = Table(client, dynamodb.create_tables()["state"])
    item = {"pk": "a", "sk": "b", "B": "AP8=", "map": {"B": "AP8="}, "bytes": b"\x00", "deep": {"B": {"B": b"\xff"}}}
    await table.put(item)
    assert await table.get(("a", "b")) == item
    client.recreate()


def test_each_event_loop_has_connections_of_its_own() -> None:
    async def two() -> int:
        async with serving(fine) as (server, client):
            await client.call("get_item", {})
            left.append((server, client))
            return server.connections

    left: list[tuple[Server, AwsJson]] = []
    assert asyncio.run(two()) == 1
    client = left[0][1]
    with pytest.raises(StoreUnavailable):
        asyncio.run(client.call("get_item", {}))  # the old loop's server is gone; no connection of it is touched


async def test_parameters_are_read_over_the_same_protocol(dynamodb: EmbeddedDynamoDB) -> None:
    client = AwsJson.from_env("ssm", dynamodb.environment(), "us-east-1")
    assert client is not None
    dynamodb.client("ssm").put_parameter(Name="/headgate/key", Value="sk-1\n", Type="SecureString", Overwrite=True)
    secrets = Secrets(client)
    assert await secrets.read("/headgate/key") == "sk-1"
    assert await secrets.read("/headgate/absent") is None
    client.recreate()
