"""The embedder that needs no network and no key: wordllama, static word vectors that lie in its wheel.

Loaded when first used (half a second). Other embedders stand beside it, behind the Protocol in `mapping.candidates`.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from mapping.candidates import Vectors

DIMENSION: Final = 256
_BATCH: Final = 4096


class LocalEmbedder:
    """wordllama `l2_supercat`, 256 numbers a text, some 100,000 texts a second on one core."""

    name = "wordllama-l2_supercat-256"
    dimension = DIMENSION

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 a text; all zero for a text without any word."""
        if not texts:
            return np.zeros((0, DIMENSION), dtype=np.float32)
        rows = np.asarray(self._model.embed([text or " " for text in texts], batch_size=_BATCH), dtype=np.float32)
        rows *= np.fromiter((bool(text.strip()) for text in texts), dtype=np.float32, count=len(texts))[:, None]
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
        return unit

    @cached_property
    def _model(self) -> Any:
        import wordllama  # noqa: PLC0415  # slow to import

        # 0.4.0 looks for its tokenizer under `tokenizer/`, but ships it under `tokenizers/`: as a cache it is found
        folder = Path(wordllama.__path__[0])
        return wordllama.WordLlama.load(cache_dir=folder, dim=DIMENSION, disable_download=True)
