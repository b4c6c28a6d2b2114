"""What can go wrong with a model endpoint, in our words; the client library's own errors don't leave this package.

AamError
├── TransientError
│   └── ModelUnavailable
├── Misconfigured
│   └── ModelMisconfigured
└── InvalidRecord
    └── UnusableAnswer
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx2
import openai
from openai import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    NotFoundError,
    OpenAIError,
    PermissionDeniedError,
)

from schemas.failures import InvalidRecord, Misconfigured, TransientError

_RETRYABLE_STATUS: Final = {408, 409, 425, 429}


class ModelUnavailable(TransientError):
    """The endpoint did not answer in time, has had too much, or failed; retryable."""


class ModelMisconfigured(Misconfigured):
    """The endpoint refuses the key, or has no such model."""


class UnusableAnswer(InvalidRecord):
    """The model answered with something that can't be used; asking the same again is no use."""


class AnswerTooLong(httpx2.TransportError):
    """More bytes came, or for longer, than an answer may have. Raised through the client library."""


@contextmanager
def translated() -> Iterator[None]:
    """Errors of `openai` and of the connection inside the block leave it as one of ours, without what was sent."""
    try:
        yield
    except (AuthenticationError, PermissionDeniedError) as error:
        raise ModelMisconfigured("the model endpoint refuses OPENAI_API_KEY") from error
    except NotFoundError as error:
        raise ModelMisconfigured("the model endpoint has no such model, or OPENAI_BASE_URL is wrong") from error
    except APIStatusError as error:
        if error.status_code in _RETRYABLE_STATUS or error.status_code >= 500:
            raise ModelUnavailable(f"the model endpoint answered with status {error.status_code}") from error
        raise UnusableAnswer(f"the model endpoint refused the request with status {error.status_code}") from error
    except APIConnectionError as error:
        if isinstance(error.__cause__, AnswerTooLong):
            raise UnusableAnswer(str(error.__cause__)) from error
        raise ModelUnavailable(f"no answer from the model endpoint: {type(error).__name__}") from error
    except openai.LengthFinishReasonError as error:
        raise UnusableAnswer("the model's answer was cut off") from error
    except (OpenAIError, ValueError) as error:
        raise UnusableAnswer(f"the model endpoint's answer can't be read: {type(error).__name__}") from error
    except TimeoutError as error:
        raise ModelUnavailable("no answer from the model endpoint in time") from error
