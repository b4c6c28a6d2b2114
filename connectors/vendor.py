"""One connection's line to its vendor: builds a request, waits for its limits, signs it, sends it, and reacts.

Retries are tenacity's, with jitter and a deadline; a circuit leaves a vendor alone that keeps failing. Each connection
has its own, so that a slow or dead vendor never holds up another. What pages mean is up to `connectors.sync`.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from connectors.auth import Credentials, Signer, make_signer
from connectors.circuit import Circuit
from connectors.egress import Answer, Egress, origin_of
from connectors.error_rules import Reaction, react
from connectors.errors import ActionRequired, BadResponse, VendorUnavailable
from connectors.expressions import expression
from connectors.limits import LimitBook
from connectors.page import Page, Unreadable
from connectors.request_parts import PageRequest, build_request
from connectors.settings import ConnectorSettings
from connectors.templates import check_settings, rebase, render_base
from schemas.connector_spec import ConnectorSpec, EntitySpec, FieldsEndpoint

_LONGEST_WAIT_SECONDS: Final = 60.0


class LeftAlone(VendorUnavailable):
    """No use trying again now: the circuit is open, or the vendor asked for a longer pause than there is time."""


class PagingEnded(BadResponse):
    """The vendor no longer knows the page that was asked for: the listing begins again."""


@dataclass(frozen=True)
class Access:
    """Whose connection this is, and what it was given. `base_url` replaces scheme and host of all URLs of the spec."""

    tenant: str
    connection: str
    credentials: Credentials
    settings: Mapping[str, Any] = field(default_factory=dict)
    base_url: str | None = None


class Vendor:
    """Asks for pages. One per connection; its parts (egress, limits) are shared by a process."""

    def __init__(
        self, spec: ConnectorSpec, access: Access, egress: Egress, book: LimitBook, settings: ConnectorSettings
    ) -> None:
        self.spec = spec
        self.access = access
        self.requests = 0
        self._egress = egress
        self._book = book
        self._settings = settings
        self.clock = book.clock
        self._circuit = Circuit(settings.circuit_failures, settings.circuit_rest_seconds, self.clock)
        self._slots = asyncio.Semaphore(spec.max_concurrent)
        self._given = check_settings(spec, access.settings)
        secret = {name for name, variable in spec.config.items() if variable.secret}
        self._given |= {name: access.credentials.get(name) for name in secret & access.credentials.names()}
        self._signer: Signer = make_signer(
            spec, access.credentials, self._given, egress, base_url=access.base_url, now=self.clock.now
        )

    @property
    def auth(self) -> str:
        """The way in that is used: of several, the first for which all credentials are there."""
        return self._signer.kind

    async def variables(self) -> dict[str, Any]:
        """Settings, and what logging in gave."""
        return {**self._given, **await self._signer.variables()}

    async def ask(
        self,
        name: str,
        entity: EntitySpec,
        variables: Mapping[str, Any],
        page: PageRequest,
        extra: Iterable[PageRequest] = (),
    ) -> Page | None:
        """The response to one request of an entity; None if an error rule says to ignore it.

        Raises:
            VendorUnavailable: given up, after retries.
            BadResponse: the answer is an error that concerns this entity, or no JSON.
            PagingEnded: a rule says so.
            ActionRequired: credentials, rights or settings.
        """
        self._check_circuit()
        try:
            async for attempt in self._attempts():
                with attempt:
                    found = await self._try(name, entity, variables, page, list(extra))
        except (LeftAlone, ActionRequired):
            raise
        except VendorUnavailable:
            self._circuit.failed()
            raise
        self._circuit.succeeded()
        return found

    async def fields(self, name: str, entity: EntitySpec, where: FieldsEndpoint) -> list[Any]:
        """The entries of an entity's field-metadata endpoint."""
        asked = EntitySpec(endpoint=where.endpoint, method=where.method, params=where.params)
        page = await self.ask(name, asked, await self.variables(), PageRequest())
        found = expression(where.fields_path)(page.data) if page else []
        if not isinstance(found, list):
            raise BadResponse(f"what stands at {where.fields_path} is no list of fields", "check fields_endpoint")
        return found

    def _check_circuit(self) -> None:
        try:
            self._circuit.check()
        except VendorUnavailable as error:
            raise LeftAlone(str(error)) from None

    def _attempts(self) -> AsyncRetrying:
        deadline = self.clock.now() + self._settings.retry_deadline_seconds

        def too_late(_: RetryCallState) -> bool:
            return self.clock.now() > deadline

        return AsyncRetrying(
            retry=retry_if_exception(
                lambda e: isinstance(e, VendorUnavailable | Unreadable) and not isinstance(e, LeftAlone)
            ),
            wait=wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT_SECONDS),
            stop=lambda state: stop_after_attempt(self._settings.retry_attempts)(state) or too_late(state),
            sleep=self.clock.sleep,
            reraise=True,
        )

    async def _try(
        self, name: str, entity: EntitySpec, variables: Mapping[str, Any], page: PageRequest, extra: list[PageRequest]
    ) -> Page | None:
        limits = self._book.of(self.spec, name, tenant=self.access.tenant, connection=self.access.connection)
        deadline = self.clock.now() + self._settings.retry_deadline_seconds
        renewed, throttled = False, 0
        while True:
            try:
                await limits.acquire(deadline)
            except VendorUnavailable as error:
                raise LeftAlone(str(error)) from None
            async with self._slots:
                answer = await self._send(entity, variables, page, extra)
            limits.observe(answer.headers)
            found = Page(answer)
            reaction = react(found, self.spec.errors)
            if reaction.action == "rate_limited":
                throttled += 1
                limits.throttled(answer.headers, throttled)
            elif reaction.action == "refresh_token" and not renewed and await self._signer.renew():
                renewed = True
            else:
                return _settle(found, reaction)

    async def _send(
        self, entity: EntitySpec, variables: Mapping[str, Any], page: PageRequest, extra: list[PageRequest]
    ) -> Answer:
        base = rebase(render_base(self.spec.api_base_url, variables, self.spec.config), self.access.base_url)
        root = self.access.base_url or origin_of(base)
        request = build_request(base, entity, variables, page, headers=self.spec.headers, extra=extra, root=root)
        # Judged before signing: a page's URL comes from the vendor, and credentials must not follow it elsewhere.
        self._egress.check(request.url, credentials_for=root)
        signed = await self._signer.sign(request)
        self.requests += 1
        return await self._egress.fetch(
            signed.method,
            signed.url,
            headers={"Accept": "application/json", **signed.headers},
            content=signed.content,
            max_bytes=entity.max_page_bytes,
            credentials_for=root,
        )


def _settle(page: Page, reaction: Reaction) -> Page | None:
    """The page, or the error that the reaction asks for."""
    if reaction.action == "use":
        page.data  # noqa: B018  # no JSON: known while it can be tried again
        return page
    if reaction.action == "ignore":
        return None
    if reaction.action == "retry":
        raise VendorUnavailable(reaction.reason)
    if reaction.action == "restart_paging":
        raise PagingEnded(reaction.reason, reaction.fix)
    if reaction.action in {"stop", "refresh_token"}:
        raise ActionRequired(reaction.reason, reaction.fix or "enter the credentials again")
    raise BadResponse(reaction.reason, reaction.fix)
