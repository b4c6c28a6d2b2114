"""Every way of being let in; and credentials that nobody gets to see."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.errors import ActionRequired, BadResponse
from connectors.request_parts import PageRequest


def reply(data: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=data)


async def ask(vendor: Any) -> Any:
    entity = vendor.spec.entities["item"]
    page = await vendor.ask("item", entity, await vendor.variables(), PageRequest())
    return page.data


@pytest.mark.parametrize(
    ("auth", "secrets", "header", "value"),
    [
        ({"kind": "bearer"}, {"token": "abc"}, "authorization", "Bearer abc"),
        ({"kind": "bearer", "prefix": "token "}, {"token": "abc"}, "authorization", "token abc"),
        ({"kind": "api_key", "name": "X-Api-Token"}, {"api_key": "k"}, "x-api-token", "k"),
        (
            {"kind": "basic", "username": "{email}/token", "password": "{api_token}"},
            {"email": "a@b.c", "api_token": "t"},
            "authorization",
            "Basic " + base64.b64encode(b"a@b.c/token:t").decode(),
        ),
    ],
)
def test_keys_in_headers(fake: Any, run: Any, auth: Any, secrets: Any, header: str, value: str) -> None:
    fake.credentials.values = secrets
    run(ask(fake.vendor(lambda _: reply([]), auth=auth, auth_type=None)))
    assert fake.seen[0].headers[header] == value


def test_a_key_in_the_query(fake: Any, run: Any) -> None:
    fake.credentials.values = {"api_key": "k&=1"}
    auth = {"kind": "api_key", "in": "query", "name": "key"}
    run(ask(fake.vendor(lambda _: reply([]), auth=auth, auth_type=None)))
    assert str(fake.seen[0].url) == "https://api.acme.example/v1/items?key=k%26%3D1"


def test_of_several_ways_the_first_with_all_credentials(fake: Any, run: Any) -> None:
    fake.credentials.values = {"username": "u", "password": "p"}
    vendor = fake.vendor(lambda _: reply([]), auth=[{"kind": "bearer"}, {"kind": "basic"}], auth_type=None)
    run(ask(vendor))
    assert fake.seen[0].headers["authorization"].startswith("Basic ")
    assert vendor.auth == "basic"


def test_missing_credentials_are_named(fake: Any) -> None:
    fake.credentials.values = {}
    with pytest.raises(ActionRequired) as caught:
        fake.vendor(lambda _: reply([]), auth=[{"kind": "bearer"}, {"kind": "basic"}], auth_type=None)
    assert caught.value.fix == "add bearer: token or basic: password, username"


class TokenServer:
    """Gives numbered tokens that `limit` requests may use."""

    def __init__(self, **answer: Any) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.answer = answer
        self.valid = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            self.forms.append(parse_qs(request.content.decode()))
            self.valid = f"a{len(self.forms)}"
            return reply({"access_token": self.valid, "expires_in": 3600, **self.answer})
        ok = request.headers.get("authorization") == f"Bearer {self.valid}"
        return reply([{"id": 1}]) if ok else reply({"error": "expired"}, 401)


OAUTH = {"kind": "oauth2", "token_url": "https://login.acme.example/token"}


def test_client_credentials(fake: Any, run: Any) -> None:
    fake.credentials.values = {"client_id": "c", "client_secret": "s"}
    server = TokenServer()
    auth = OAUTH | {"grant": "client_credentials", "scopes": ["a", "b"]}
    vendor = fake.vendor(server, auth=auth, auth_type=None)
    assert run(ask(vendor)) == [{"id": 1}]
    assert server.forms == [
        {"grant_type": ["client_credentials"], "scope": ["a b"], "client_id": ["c"], "client_secret": ["s"]}
    ]


def test_a_token_is_got_once_and_again_before_it_ends(fake: Any, run: Any) -> None:
    fake.credentials.values = {"client_id": "c", "client_secret": "s"}
    server = TokenServer()
    vendor = fake.vendor(server, auth=OAUTH | {"grant": "client_credentials", "client_auth": "basic"}, auth_type=None)

    async def work() -> None:
        await ask(vendor)
        await ask(vendor)
        assert len(server.forms) == 1
        fake.clock.at += 3_590
        await ask(vendor)
        assert len(server.forms) == 2

    run(work())
    assert fake.seen[0].headers["authorization"].startswith("Basic ")


def test_a_refused_token_is_replaced_once(fake: Any, run: Any) -> None:
    fake.credentials.values = {"client_id": "c", "client_secret": "s"}
    server = TokenServer()
    vendor = fake.vendor(server, auth=OAUTH | {"grant": "client_credentials"}, auth_type=None)

    async def work() -> None:
        await ask(vendor)
        server.valid = "revoked"
        assert await ask(vendor) == [{"id": 1}]

    run(work())
    assert len(server.forms) == 2


def test_a_rotated_refresh_token_is_kept(fake: Any, run: Any) -> None:
    fake.credentials.values = {"client_id": "c", "client_secret": "s", "refresh_token": "r1"}
    server = TokenServer(refresh_token="r2")
    vendor = fake.vendor(server, auth=OAUTH | {"grant": "refresh_token"}, auth_type=None)

    async def work() -> None:
        await ask(vendor)
        fake.clock.at += 4_000
        await ask(vendor)

    run(work())
    assert fake.credentials.kept == [("refresh_token", "r2")]
    assert [form["refresh_token"] for form in server.forms] == [["r1"], ["r2"]]


def test_a_signed_assertion(fake: Any, run: Any) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    fake.credentials.values = {"private_key": pem, "client_email": "robot@x"}
    server = TokenServer()
    assertion = {"issuer": "{client_email}", "claims": {"scope": "read"}}
    vendor = fake.vendor(server, auth=OAUTH | {"grant": "jwt_assertion", "jwt": assertion}, auth_type=None)
    run(ask(vendor))
    claims = jwt.decode(
        server.forms[0]["assertion"][0],
        key.public_key(),
        algorithms=["RS256"],
        audience="https://login.acme.example/token",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (claims["iss"], claims["scope"], claims["exp"] - claims["iat"]) == ("robot@x", "read", 3600)


def test_a_key_that_cannot_sign(fake: Any, run: Any) -> None:
    fake.credentials.values = {"private_key": "s3cret-no-pem"}
    vendor = fake.vendor(TokenServer(), auth=OAUTH | {"grant": "jwt_assertion", "jwt": {"issuer": "x"}}, auth_type=None)
    with pytest.raises(ActionRequired) as caught:
        run(ask(vendor))
    assert "s3cret" not in f"{caught.value}{caught.value.fix}"


def test_the_host_may_come_from_the_login(fake: Any, run: Any) -> None:
    fake.credentials.values = {"client_id": "c", "client_secret": "s"}
    server = TokenServer(instance_url="https://acme.my.example")
    auth = OAUTH | {"grant": "client_credentials", "variables": {"instance_url": "instance_url"}}
    vendor = fake.vendor(server, auth=auth, auth_type=None, api_base_url="{instance_url}/services/data")
    run(ask(vendor))
    assert str(fake.seen[-1].url) == "https://acme.my.example/services/data/items"


def test_a_base_url_of_a_connection_replaces_every_host(fake: Any, run: Any) -> None:
    fake.credentials.values = {"client_id": "c", "client_secret": "s"}
    server = TokenServer(instance_url="https://acme.my.example")
    auth = OAUTH | {"grant": "client_credentials", "variables": {"instance_url": "instance_url"}}

    def sandboxed(request: httpx.Request) -> httpx.Response:
        url = str(request.url).replace("/sand", "")
        return server(httpx.Request(request.method, url, headers=request.headers, content=request.content))

    base_url = "http://127.0.0.1:8200/sand"
    vendor = fake.vendor(sandboxed, auth=auth, auth_type=None, api_base_url="{instance_url}/data", base_url=base_url)
    run(ask(vendor))
    urls = [str(request.url) for request in fake.seen]
    assert urls == ["http://127.0.0.1:8200/sand/token", "http://127.0.0.1:8200/sand/data/items"]


def test_a_session_login(fake: Any, run: Any) -> None:
    fake.credentials.values = {"username": "u", "password": "p"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/login":
            assert json.loads(request.content) == {"username": "u", "password": "p"}
            return reply({"session": {"key": "s1"}})
        return reply([{"id": 1}]) if request.headers.get("x-session") == "s1" else reply({}, 401)

    auth = {
        "kind": "session_token", "login_url": "/login", "token_path": "session.key",
        "header": "X-Session", "prefix": "",
    }  # fmt: skip
    assert run(ask(fake.vendor(answer, auth=auth, auth_type=None))) == [{"id": 1}]


def test_aws_signature(fake: Any, run: Any) -> None:
    fake.credentials.values = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalr", "session_token": "st"}
    auth = {"kind": "aws_sigv4", "service": "monitoring", "region": "eu-west-1", "session_token": "{session_token}"}
    entity = {"method": "POST", "body": {"a": 1}, "pagination": "none"}
    run(ask(fake.vendor(lambda _: reply([]), auth=auth, auth_type=None, entity=entity)))
    sent = fake.seen[0].headers
    assert sent["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/monitoring/aws4_request" in sent["authorization"]
    assert sent["x-amz-security-token"] == "st"
    assert fake.seen[0].content == b'{"a":1}'


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (
            reply({"error": "invalid_grant", "error_description": "r1 s3cret"}, 400),
            ActionRequired,
            "400: invalid_grant",
        ),
        (reply({"error": "x" * 99}, 401), ActionRequired, r"\(401\)"),
        (reply({"token": "?"}), BadResponse, "no token"),
        (httpx.Response(200, text="<html>"), BadResponse, "no JSON object"),
    ],
)
def test_a_refused_login_is_told_without_secrets(fake: Any, run: Any, answer: Any, error: Any, said: str) -> None:
    fake.credentials.values = {"client_id": "c", "client_secret": "s3cret", "refresh_token": "r1"}
    vendor = fake.vendor(lambda _: answer, auth=OAUTH | {"grant": "refresh_token"}, auth_type=None)
    with pytest.raises(error, match=said) as caught:
        run(ask(vendor))
    assert "s3cret" not in str(caught.value)


def test_a_credential_with_a_line_break_sends_nothing(fake: Any, run: Any) -> None:
    fake.credentials.values = {"token": "s3cret\r\nX-Other: 1"}
    with pytest.raises(ActionRequired, match="control characters") as caught:
        run(ask(fake.vendor(lambda _: reply([]))))
    assert fake.seen == []
    assert "s3cret" not in str(caught.value)
