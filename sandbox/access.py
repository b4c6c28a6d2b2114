"""Who may ask: each vendor's ways of showing a credential, and its OAuth token endpoint.

The credentials are the same for all vendors and no secret. Access tokens carry their end and a signature, so that every
process knows them without sharing anything.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from sandbox.asked import Asked, Unreadable, path_pattern
from sandbox.listing import Reply, fill
from sandbox.vendor import OAuth, Vendor

TOKEN: Final = "sandbox-token"  # noqa: S105  # opens nothing but the sandbox
CLIENT_ID: Final = "sandbox-client"
CLIENT_SECRET: Final = "sandbox-secret"  # noqa: S105
REFRESH_TOKEN: Final = "sandbox-refresh"  # noqa: S105
USERNAME: Final = "sandbox@example.com"
ACCESS_KEY_ID: Final = "AKIASANDBOX"
SECRET_ACCESS_KEY: Final = "sandbox-secret-key"  # noqa: S105
_KEY: Final = b"aam-sandbox"
_JWT_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"

Now = Callable[[], float]


def is_let_in(vendor: Vendor, asked: Asked, now: Now = time.time) -> bool:
    """Whether the request shows a credential in one of the vendor's ways."""
    auth, headers = vendor.auth, asked.headers
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if auth.header and headers.get(auth.header.lower()) == TOKEN:
        return True
    if auth.query and asked.query.get(auth.query) == TOKEN:
        return True
    if auth.bearer and scheme.lower() == "bearer":
        return _is_token(rest.strip(), now)
    if auth.basic and scheme.lower() == "basic":
        return TOKEN in _basic(rest)
    if auth.sigv4 and scheme == "AWS4-HMAC-SHA256":
        return _is_signed(asked)
    return not any((auth.header, auth.query, auth.bearer, auth.basic, auth.sigv4))


def is_token_request(oauth: OAuth | None, asked: Asked) -> bool:
    """Whether the request is for the vendor's token endpoint."""
    return bool(oauth and asked.method == "POST" and path_pattern(oauth.token_path).fullmatch(asked.path))


def give_token(oauth: OAuth, asked: Asked, now: Now = time.time) -> Reply:
    """The token endpoint's answer (RFC 6749 §5)."""
    try:
        form = asked.body if isinstance(asked.body, dict) else {}
    except Unreadable:
        form = {}
    grant = form.get("grant_type")
    if grant not in oauth.grants:
        return _refused(400, "unsupported_grant_type")
    if grant == _JWT_GRANT:
        return _granted(oauth, asked, now, None) if _is_jwt(form.get("assertion")) else _refused(400, "invalid_grant")
    shown = _basic(asked.headers.get("authorization", "").partition(" ")[2]) if oauth.client_in == "basic" else form
    client = tuple(shown) if isinstance(shown, list) else (form.get("client_id"), form.get("client_secret"))
    if client != (CLIENT_ID, CLIENT_SECRET):
        return _refused(401, "invalid_client")
    refresh = form.get("refresh_token")
    if grant == "refresh_token" and not _is_refresh_token(refresh):
        return _refused(400, "invalid_grant")
    return _granted(oauth, asked, now, refresh if grant == "refresh_token" else None)


def _granted(oauth: OAuth, asked: Asked, now: Now, refresh: str | None) -> Reply:
    answer: dict[str, Any] = {"access_token": _token(int(now()) + oauth.lifetime), "expires_in": oauth.lifetime}
    if refresh is not None:
        answer["refresh_token"] = _next_refresh_token(now) if oauth.rotates else refresh
    return Reply(200, orjson.dumps(answer | fill(oauth.answer, {"$base": asked.base})))


def _refused(status: int, error: str) -> Reply:
    return Reply(status, orjson.dumps({"error": error, "error_description": "the sandbox refuses this request"}))


def _signature(text: str) -> str:
    return hmac.new(_KEY, text.encode(), hashlib.sha256).hexdigest()[:24]


def _token(ends: int) -> str:
    return f"sandbox-access-{ends}-{_signature(str(ends))}"


def _is_token(text: str, now: Now) -> bool:
    if text == TOKEN:
        return True
    *head, ends, signature = text.split("-") if text.count("-") == 3 else ("", "0", "")
    return head == ["sandbox", "access"] and hmac.compare_digest(_signature(ends), signature) and int(ends) > now()


def _next_refresh_token(now: Now) -> str:
    serial = f"{int(now() * 1000):x}"
    return f"{REFRESH_TOKEN}-{serial}-{_signature('r' + serial)}"


def _is_refresh_token(text: Any) -> bool:
    if text == REFRESH_TOKEN:
        return True
    serial, _, signature = str(text).removeprefix(f"{REFRESH_TOKEN}-").partition("-")
    return bool(signature) and hmac.compare_digest(_signature("r" + serial), signature)


def _basic(encoded: str) -> list[str]:
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().split(":", 1)
    except ValueError:
        return []


def _is_jwt(assertion: Any) -> bool:
    parts = str(assertion).split(".")
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    except (IndexError, ValueError):
        return False
    return len(parts) == 3 and isinstance(claims, dict) and {"iss", "aud", "exp", "iat"} <= claims.keys()


def _is_signed(asked: Asked) -> bool:
    """Whether the AWS signature (version 4) is the one that our secret gives."""
    from botocore.auth import SigV4Auth  # noqa: PLC0415  # slow to import, and only one vendor needs it
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    parts = dict(part.strip().split("=", 1) for part in asked.headers["authorization"].partition(" ")[2].split(","))
    scope = parts.get("Credential", "").split("/")
    if len(scope) != 5 or scope[0] != ACCESS_KEY_ID or "SignedHeaders" not in parts:
        return False
    signed = {name: asked.headers.get(name, "") for name in parts["SignedHeaders"].split(";")}
    url = f"{asked.base}{asked.path}" + (f"?{asked.raw_query}" if asked.raw_query else "")
    request = AWSRequest(asked.method, url, headers=signed, data=asked.content)
    request.context["timestamp"] = asked.headers.get("x-amz-date", "")
    signer = SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY), scope[3], scope[2])
    canonical = signer.canonical_request(request)
    expected = signer.signature(signer.string_to_sign(request, canonical), request)
    return hmac.compare_digest(str(expected), parts.get("Signature", "")) and bool(urlsplit(url).netloc)
