"""Vectors from a sentence-transformers model on this machine. Needs the extra: `pip install sentence-transformers`.

Its weights are downloaded when first used, unless they lie in the cache of Hugging Face already.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from inference.errors import ModelMisconfigured
from inference.settings import InferenceSettings
from mapping.candidates import Vectors

DEFAULT_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"


class SentenceEmbedder:
    """For one thread at a time. Raises ModelMisconfigured where the library or the model isn't there."""

    def __init__(self, settings: InferenceSettings) -> None:
        self._name = settings.embedding_model or DEFAULT_MODEL

    @property
    def name(self) -> str:
        return f"{self._name.rpartition('/')[2]}-{self.dimension}"

    @cached_property
    def dimension(self) -> int:
        return int(self._model.get_sentence_embedding_dimension())

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 a text; all zero for a text without any word."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        rows = np.asarray(self._model.encode(list(texts), normalize_embeddings=True), dtype=np.float32)
        words = np.fromiter((bool(text.strip()) for text in texts), dtype=np.float32, count=len(texts))
        vectors: Vectors = rows * words[:, None]
        return vectors

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import (  # type: ignore[import-not-found]  # noqa: PLC0415  # an extra
                SentenceTransformer,
            )
        except ImportError as error:
            raise ModelMisconfigured(
                "AAM_EMBEDDER=sentence-transformers needs the library: pip install sentence-transformers"
            ) from error
        try:
            return SentenceTransformer(self._name)
        except (OSError, ValueError) as error:
            raise ModelMisconfigured(f"there is no sentence-transformers model {self._name!r}") from error
