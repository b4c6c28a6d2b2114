"""Where a command's Kafka and Postgres are: the environment's address, else the running local one, else an error that
names both ways out. Also turns wrong settings into one line each.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic_settings import BaseSettings

from infra.settings import LocalSettings
from registry.pool import Pool, open_pool
from registry.settings import RegistrySettings
from schemas.failures import Misconfigured
from topics.settings import KafkaSettings

_Settings = TypeVar("_Settings", bound=BaseSettings)


def load_settings(settings: type[_Settings]) -> _Settings:
    """Settings from the environment.

    Raises:
        Misconfigured: names every variable that is wrong and why, never its value.
    """
    try:
        return settings()
    except ValidationError as error:
        raise Misconfigured("; ".join(_complaint(settings, issue) for issue in error.errors())) from None


def kafka_settings() -> KafkaSettings:
    """Kafka's settings, with an address that the environment or the running local broker gives.

    Raises:
        Misconfigured: neither does, or a setting is wrong.
    """
    settings = load_settings(KafkaSettings)
    if settings.bootstrap_servers:
        return settings
    address = local_kafka()
    if address is None:
        raise Misconfigured("no Kafka: run `aam kafka start`, or set KAFKA_BOOTSTRAP_SERVERS=host:port")
    return settings.model_copy(update={"bootstrap_servers": address})


def registry_settings() -> RegistrySettings:
    """The registry's settings, with an address that the environment or the running local Postgres gives.

    Raises:
        Misconfigured: neither does, or a setting is wrong.
    """
    settings = load_settings(RegistrySettings)
    if settings.database_url is not None:
        return settings
    address = local_postgres()
    if address is None:
        raise Misconfigured("no Postgres: run `aam postgres start`, or set DATABASE_URL=postgresql://…")
    return settings.model_copy(update={"database_url": SecretStr(address)})


@contextmanager
def open_registry() -> Iterator[Pool]:
    """Connections to the registry, closed with the block. Raises as `registry_settings` and `open_pool` do."""
    with open_pool(registry_settings()) as pool:
        yield pool


def local_kafka() -> str | None:
    """Address of the detached local broker, if it runs and answers."""
    from infra.kafka.broker import LocalKafka  # noqa: PLC0415  # its downloader is slow to import

    return LocalKafka(load_settings(LocalSettings).root).bootstrap_servers()


def local_postgres() -> str | None:
    """URL of the detached local Postgres, password included, if it runs and answers."""
    from infra.postgres.server import LocalPostgres  # noqa: PLC0415  # as above

    return LocalPostgres(load_settings(LocalSettings).root).database_url()


def _complaint(settings: type[BaseSettings], issue: object) -> str:
    """`VARIABLE: what is wrong`, from one entry of ValidationError.errors()."""
    assert isinstance(issue, dict)
    name = str(issue["loc"][0]) if issue["loc"] else ""
    message = str(issue["msg"]).removeprefix("Value error, ")
    return f"{_variable(settings, name)}: {message}" if name else message


def _variable(settings: type[BaseSettings], name: str) -> str:
    field = settings.model_fields.get(name)
    if field is None or isinstance(field.validation_alias, AliasChoices):
        return name  # pydantic names the alias itself, which is the variable
    return str(field.validation_alias or f"{settings.model_config.get('env_prefix', '')}{name}").upper()
