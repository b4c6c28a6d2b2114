"""Which generated vendors a sandbox has: so many by number, or those that a file names."""

import re
from typing import Final

from sandbox.fields_file import read_fields
from sandbox.generated_vendors import MadeVendor, generate_vendor
from sandbox.settings import SandboxSettings

_NUMBERED: Final = re.compile(r"v(\d{4,})")


class MadeVendors:
    """By name. Raises Misconfigured if the file of fields can't be read."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        listed = read_fields(settings.fields) if settings.fields else []
        self._named = {made.name: made for made in listed[: settings.vendors or None]}

    def names(self) -> list[str]:
        """All, in order."""
        if self._settings.fields:
            return list(self._named)
        return [f"v{number:04}" for number in range(1, self._settings.vendors + 1)]

    def get(self, name: str) -> MadeVendor | None:
        """The vendor of that name; None if there is none."""
        if self._settings.fields:
            return self._named.get(name)
        found = _NUMBERED.fullmatch(name)
        number = int(found.group(1)) if found else 0
        if not 1 <= number <= self._settings.vendors or name != f"v{number:04}":
            return None
        return generate_vendor(number, entities=self._settings.entities, seed=self._settings.seed)
