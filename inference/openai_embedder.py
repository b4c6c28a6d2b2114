"""Vectors from an OpenAI-compatible endpoint: batched, remembered, and named by their model.

Only words of field names and descriptions are sent, never values. Blocking: to be called off the event loop.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import Final

import httpx2
import numpy as np
from openai import OpenAI

from inference.bounded_http import BoundedTransport
from inference.errors import ModelMisconfigured, UnusableAnswer, translated
from inference.settings import InferenceSettings
from mapping.candidates import Vectors

DEFAULT_MODEL: Final = "text-embedding-3-small"
TEXTS_OF_A_REQUEST: Final = 512
TEXTS_KEPT: Final = 100_000
TEXT_CHARACTERS: Final = 2_000
_ANSWER_BYTES: Final = 64 << 20
_SOMETHING: Final = "field"


class OpenAIEmbedder:
    """Raises ModelMisconfigured, ModelUnavailable (retry) and UnusableAnswer. For one thread at a time."""

    def __init__(self, settings: InferenceSettings) -> None:
        if settings.openai_api_key is None:
            raise ModelMisconfigured("AAM_EMBEDDER=openai needs OPENAI_API_KEY")
        self._model = settings.embedding_model or DEFAULT_MODEL
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        seconds = settings.embedding_timeout_seconds
        transport = BoundedTransport(limit_bytes=_ANSWER_BYTES, limit_seconds=seconds)
        self._client = OpenAI(
            api_key=settings.openai_api_key.get_secret_value(),
            base_url=settings.openai_base_url,
            timeout=seconds,
            max_retries=2,
            http_client=httpx2.Client(transport=transport, timeout=seconds),
        )

    @property
    def name(self) -> str:
        return f"openai-{self._model}-{self.dimension}"

    @cached_property
    def dimension(self) -> int:
        """Told by the endpoint itself, with the first vector."""
        return len(self._asked([_SOMETHING])[0])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 a text; all zero for a text without any word."""
        cut = [text.strip()[:TEXT_CHARACTERS] for text in texts]
        missing = [text for text in dict.fromkeys(cut) if text and text not in self._vectors]
        found: dict[str, Vectors] = {text: self._vectors[text] for text in cut if text in self._vectors}
        for start in range(0, len(missing), TEXTS_OF_A_REQUEST):
            some = missing[start : start + TEXTS_OF_A_REQUEST]
            found |= zip(some, self._asked(some), strict=True)
        self._remember(found)
        nothing = np.zeros(self.dimension, dtype=np.float32)
        return np.stack([found.get(text, nothing) for text in cut]) if cut else nothing[None][:0]

    def _asked(self, texts: list[str]) -> list[Vectors]:
        with translated():
            answer = self._client.embeddings.create(model=self._model, input=texts, encoding_format="float")
            rows = [np.asarray(item.embedding, dtype=np.float32) for item in sorted(answer.data, key=lambda i: i.index)]
        if len(rows) != len(texts) or len({row.shape for row in rows}) != 1:
            raise UnusableAnswer("the model endpoint gave other vectors than were asked for")
        return [row / (float(np.linalg.norm(row)) or 1.0) for row in rows]

    def _remember(self, found: dict[str, Vectors]) -> None:
        for text, vector in found.items():
            self._vectors[text] = vector
            self._vectors.move_to_end(text)
        while len(self._vectors) > TEXTS_KEPT:
            self._vectors.popitem(last=False)
