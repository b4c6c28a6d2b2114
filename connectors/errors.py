"""What can go wrong between us and a vendor, in our words; httpx's own errors don't leave this package.

AamError
├── TransientError
│   └── VendorUnavailable   no answer, 5xx, throttled for too long; retryable
├── InvalidRecord
│   └── BadResponse         the answer is not what the spec promises; nothing of it was used
└── Misconfigured
    └── ActionRequired      somebody must act: credentials, settings, rights
        └── EgressRefused   the address is none that AAM may talk to
"""

from schemas.failures import InvalidRecord, Misconfigured, TransientError


class VendorUnavailable(TransientError):
    """The vendor did not answer, or asked to be left alone for longer than a sync may wait."""


class BadResponse(InvalidRecord):
    """The response is not what the spec promises. `fix` says what to look at."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix


class ActionRequired(Misconfigured):
    """No retry helps. `fix` says what to do."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix


class EgressRefused(ActionRequired):
    """The guard refuses an address; nothing was sent."""
