"""A local OpenAI-compatible endpoint that counts: for tests that must see real HTTP, and for counted costs.

What it answers is a function of the request, so a caller may have it choose well, obey an injected instruction, refuse,
or break off.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

CHARACTERS_A_TOKEN: Final = 4
_CHUNK: Final = b"x" * 65_536

Answers = Mapping[str, Mapping[str, Any]]
Choose = Callable[[dict[str, Any]], Answers]
"""The user's message, as JSON → key of a field → its answer."""


@dataclass
class Raw:
    """An answer that is not as it should be: sent as it stands, after a pause, with so many megabytes of padding."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_seconds: float = 0.0
    megabytes: int = 0


@dataclass
class Counted:
    """What was asked so far."""

    calls: int = 0
    fields: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)


class ModelServer:
    """`url` is the base URL. `respond` gives the answer to a chat request: text of the message, or Raw."""

    def __init__(self, respond: Callable[[dict[str, Any]], str | Raw], *, keep_bodies: bool = True) -> None:
        self.respond = respond
        self.counted = Counted()
        self._keep_bodies = keep_bodies
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @contextmanager
    def running(self) -> Iterator["ModelServer"]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(5)

    def answer(self, path: str, request: dict[str, Any]) -> Raw:
        """The HTTP answer to one request."""
        if path.endswith("/embeddings"):
            return Raw(json.dumps(_embeddings(request)).encode())
        answer = self.respond(request)
        text = answer if isinstance(answer, str) else ""
        usage = self._count(request, text)
        return answer if isinstance(answer, Raw) else Raw(json.dumps(completion(text, usage=usage)).encode())

    def _count(self, request: dict[str, Any], text: str) -> dict[str, int]:
        tokens = (len(json.dumps(request)) // CHARACTERS_A_TOKEN, len(text) // CHARACTERS_A_TOKEN)
        with self._lock:
            self.counted.calls += 1
            self.counted.input_tokens += tokens[0]
            self.counted.output_tokens += tokens[1]
            self.counted.fields += len(user_message(request).get("source_fields", {}))
            if self._keep_bodies:
                self.counted.bodies.append(request)
        return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
                raw = server.answer(self.path, request)
                time.sleep(raw.pause_seconds)
                try:
                    self._send(raw)
                except OSError:
                    self.close_connection = True  # who asked has gone

            def _send(self, raw: Raw) -> None:
                self.send_response(raw.status)
                for name, value in {"content-type": "application/json", **raw.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(raw.body) + raw.megabytes * (1 << 20)))
                self.end_headers()
                self.wfile.write(raw.body)
                for _ in range(raw.megabytes * 16):
                    self.wfile.write(_CHUNK)

            def log_message(self, *_args: Any) -> None:
                """Nothing on the terminal."""

        return Handler


def choosing(choose: Choose) -> Callable[[dict[str, Any]], str]:
    """A `respond` that answers every field as `choose` says, in the form that was asked for."""
    return lambda request: json.dumps(choose(user_message(request)))


def completion(
    text: str | None, *, finish_reason: str = "stop", refusal: str | None = None, usage: dict[str, int] | None = None
) -> dict[str, Any]:
    """The body of a chat completion."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "local",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": usage or {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def user_message(request: dict[str, Any]) -> dict[str, Any]:
    """What the user's message says, if it is JSON."""
    try:
        content = json.loads(request["messages"][-1]["content"])
    except (KeyError, IndexError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _embeddings(request: dict[str, Any]) -> dict[str, Any]:
    texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
    data = [{"object": "embedding", "index": index, "embedding": _letters(text)} for index, text in enumerate(texts)]
    return {"object": "list", "data": data, "model": "local", "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def _letters(text: str) -> list[float]:
    """A vector that says which letters there are: near for near words, and the same everywhere."""
    counts = [0.0] * 26
    for character in text.lower():
        if "a" <= character <= "z":
            counts[ord(character) - ord("a")] += 1.0
    return counts
