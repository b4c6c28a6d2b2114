"""Vectors from an endpoint: batched, asked for once, checked."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.llm_server import ModelServer, Raw
from inference import openai_embedder
from inference.choose_embedder import choose_embedder
from inference.errors import ModelMisconfigured, ModelUnavailable, UnusableAnswer
from inference.local_embedder import LocalEmbedder
from inference.openai_embedder import OpenAIEmbedder
from inference.settings import InferenceSettings


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts of each request."""
    asked: list[list[str]] = []
    answer = ModelServer.answer

    def counted(self: ModelServer, path: str, request: dict[str, Any]) -> Raw:
        asked.append(request["input"])
        return answer(self, path, request)

    monkeypatch.setattr(ModelServer, "answer", counted)
    return asked


def test_texts_are_asked_for_once_and_in_batches(
    monkeypatch: pytest.MonkeyPatch,
    requests: list[list[str]],
    model_server: Callable[..., ModelServer],
    settings_for: Callable[..., InferenceSettings],
) -> None:
    monkeypatch.setattr(openai_embedder, "TEXTS_OF_A_REQUEST", 2)
    embedder = OpenAIEmbedder(settings_for(model_server(str), embedding_model="letters"))
    vectors = embedder.embed(["abc", "", "cab", "xyz", "abc"])
    assert vectors.shape == (5, 26)
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 1, 1])
    assert np.allclose(vectors[0], vectors[2])
    assert embedder.name == "openai-letters-26"
    assert requests == [["abc", "cab"], ["xyz"], ["field"]]
    embedder.embed(["xyz", "abc"])
    assert len(requests) == 3
    assert embedder.embed([]).shape == (0, 26)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{}", 401, ModelMisconfigured),
        (b"{}", 503, ModelUnavailable),
        (b"no json", 200, UnusableAnswer),
        (json.dumps({"object": "list", "model": "m", "data": []}).encode(), 200, UnusableAnswer),
    ],
)
def test_an_endpoint_that_fails(
    body: bytes,
    status: int,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    model_server: Callable[..., ModelServer],
    settings_for: Callable[..., InferenceSettings],
) -> None:
    monkeypatch.setattr(ModelServer, "answer", lambda *_: Raw(body, status=status, headers={"x-should-retry": "false"}))
    with pytest.raises(error):
        OpenAIEmbedder(settings_for(model_server(str))).embed(["a"])


def test_the_settings_choose() -> None:
    assert isinstance(choose_embedder(InferenceSettings()), LocalEmbedder)
    with pytest.raises(ModelMisconfigured, match="OPENAI_API_KEY"):
        choose_embedder(InferenceSettings(embedder="openai", openai_api_key=None))
    missing = choose_embedder(InferenceSettings(embedder="sentence-transformers"))
    with pytest.raises(ModelMisconfigured, match="pip install"):
        missing.embed(["a"])
