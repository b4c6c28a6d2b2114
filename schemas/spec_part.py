"""What all parts of a connector's spec are made of: strict frozen models, names, JMESPath expressions, templates.

A template is a text with `{names}`; which names there are is said in `schemas.connector_spec`.
"""

import re
from typing import Annotated, Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

VARIABLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class SpecPart(BaseModel):
    """Base of all parts: unknown keys are errors, types are not bent."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, strict=True)


def _compiles(text: str) -> str:
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"no JMESPath expression: {str(error).splitlines()[0]}") from None
    return text


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
JmesPath = Annotated[str, AfterValidator(_compiles)]
Template = str
Url = Annotated[str, Field(pattern=r"^(https://|\{)")]
Period = Annotated[str, Field(pattern=r"^([1-9]\d* )?(second|minute|hour|day)s?$", examples=["second", "10 seconds"])]

_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


def seconds_of(period: str) -> int:
    """`10 seconds` → 10."""
    count, _, unit = period.rpartition(" ")
    return int(count or 1) * _SECONDS[unit.removesuffix("s")]


def variables_of(value: Any) -> set[str]:
    """The names that a template, or a list or object of templates, asks for."""
    if isinstance(value, str):
        return set(VARIABLE.findall(value))
    if isinstance(value, dict):
        return set().union(*(variables_of(part) for pair in value.items() for part in pair))
    if isinstance(value, list | tuple):
        return set().union(*(variables_of(part) for part in value))
    return set()
