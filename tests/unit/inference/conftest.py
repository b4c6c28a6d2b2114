"""A language model on this machine, over real HTTP, that answers as a test says."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pydantic import SecretStr

from benchmarks.llm_server import ModelServer, Raw
from inference.settings import InferenceSettings


@pytest.fixture
def model_server() -> Iterator[Callable[..., ModelServer]]:
    with ExitStack() as servers:
        yield lambda respond: servers.enter_context(ModelServer(respond).running())


@pytest.fixture
def settings_for() -> Callable[..., InferenceSettings]:
    def make(server: ModelServer, **given: Any) -> InferenceSettings:
        return InferenceSettings(
            openai_api_key=SecretStr("k"), openai_base_url=server.url, **{"llm_retries": 0} | given
        )

    return make


@pytest.fixture
def as_json() -> Callable[[Any], Raw]:
    return lambda body: Raw(json.dumps(body).encode())
