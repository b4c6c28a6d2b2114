"""Picks the embedder that the settings name. Nothing is loaded or asked before it is first used."""

from inference.local_embedder import LocalEmbedder
from inference.settings import InferenceSettings
from mapping.candidates import Embedder


def choose_embedder(settings: InferenceSettings) -> Embedder:
    """The embedder of `AAM_EMBEDDER`. Raises ModelMisconfigured if it lacks its key."""
    if settings.embedder == "openai":
        from inference.openai_embedder import OpenAIEmbedder  # noqa: PLC0415  # its client is slow to import

        return OpenAIEmbedder(settings)
    if settings.embedder == "sentence-transformers":
        from inference.sentence_embedder import SentenceEmbedder  # noqa: PLC0415  # as above

        return SentenceEmbedder(settings)
    return LocalEmbedder()
