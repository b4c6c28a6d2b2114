"""Vendors as a client sees them: paging to the end, credentials, errors in their own words, limits, tokens."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.access import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from sandbox.app import SandboxApp
from sandbox.dataset import Dataset
from sandbox.slots import SINCE, UNTIL, Clock, Ids, parse_time
from sandbox.vendor import load_vendor, parse_vendor, vendor_names
from schemas.failures import Misconfigured

Make = Callable[..., SandboxApp]
MakeClient = Callable[..., Any]
SALESFORCE = "/salesforce/services/data/v60.0/query"


@pytest.fixture
def stripe(sandbox: Make, client: MakeClient) -> Any:
    return client(sandbox())


def pages(client: Any, path: str, follow: Callable[[httpx.Response], str | None]) -> Iterator[httpx.Response]:
    following: str | None = path
    while following:
        answer = client.get(following)
        assert answer.status_code == 200, answer.text
        yield answer
        following = follow(answer)


def after_url(answer: httpx.Response) -> str | None:
    url = answer.links.get("next", {}).get("url")
    return str(url) if url else None


def test_github_goes_on_by_its_link_header(sandbox: Make, client: MakeClient) -> None:
    found = list(pages(client(sandbox(records=300)), "/github/orgs/example/members?per_page=7", after_url))
    assert [len(page.json()) for page in found] == [7] * 8 + [4]
    assert len({user["id"] for page in found for user in page.json()}) == 60


def test_salesforce_goes_on_by_a_path_of_its_own_and_keeps_the_fields_that_were_asked_for(
    sandbox: Make, client: MakeClient
) -> None:
    talk = client(sandbox(records=50))
    talk.headers["Sforce-Query-Options"] = "batchSize=10"
    query = f"{SALESFORCE}?q=SELECT Id, Name FROM Account"
    found = list(pages(talk, query, lambda page: page.json().get("nextRecordsUrl")))
    records = [record for page in found for record in page.json()["records"]]
    assert len(records) == len({record["Id"] for record in records}) == found[0].json()["totalSize"] == 25
    assert {frozenset(record) for record in records} == {frozenset({"attributes", "Id", "Name"})}
    assert [page.json()["done"] for page in found] == [False, False, True]


def test_stripe_gives_the_newest_first_and_heeds_the_time_asked_for(stripe: Any) -> None:
    created = [charge["created"] for charge in stripe.get("/stripe/v1/charges?limit=100").json()["data"]]
    assert created == sorted(created, reverse=True)
    assert len(created) == 20
    later = stripe.get(f"/stripe/v1/charges?limit=100&created[gte]={created[4]}").json()["data"]
    assert [charge["created"] for charge in later] == created[:5]
    earlier = stripe.get(f"/stripe/v1/charges?limit=100&created[lte]={created[4]}").json()["data"]
    assert [charge["created"] for charge in earlier] == created[4:]


def test_dynamics_ends_with_a_delta_link_that_has_nothing_new(sandbox: Make, client: MakeClient) -> None:
    talk = client(sandbox())
    talk.headers["Prefer"] = "odata.maxpagesize=15, odata.track-changes"
    found = list(pages(talk, "/dynamics365/api/data/v9.2/contacts", lambda page: page.json().get("@odata.nextLink")))
    assert [len(page.json()["value"]) for page in found] == [15, 5]
    assert talk.get(found[-1].json()["@odata.deltaLink"]).json()["value"] == []


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/stripe/v1/customers", 401, "Invalid API Key"),
        ("/github/orgs/example/repos", 401, "Bad credentials"),
        ("/slack/api/users.list", 200, "invalid_auth"),
        ("/hubspot/crm/v3/owners", 401, "INVALID_AUTHENTICATION"),
        (f"{SALESFORCE}?q=SELECT Id FROM Lead", 401, "INVALID_SESSION_ID"),
        ("/pipedrive/api/v2/deals", 401, "unauthorized access"),
        ("/intercom/contacts", 401, "Access Token Invalid"),
    ],
)
def test_a_wrong_token_is_refused_as_the_vendor_does(
    path: str, status: int, said: str, sandbox: Make, client: MakeClient
) -> None:
    answer = client(sandbox(), token="wrong").get(path)
    assert (answer.status_code, said in answer.text) == (status, True)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/stripe/v1/nothing", 404),
        ("/stripe/v1/customers?limit=none", 400),
        ("/stripe/v1/customers?starting_after=cus_other", 400),
        ("/github/repos/example/no-such-repo/issues", 404),
        ("/pipedrive/api/v2/deals?cursor=made-up", 400),
        ("/zendesk/api/v2/users.json?page[after]=made-up", 400),
        ("/nobody/v1", 404),
    ],
)
def test_what_means_nothing_is_an_error(path: str, status: int, stripe: Any) -> None:
    assert stripe.get(path).status_code == status


def test_more_than_the_limit_waits(sandbox: Make, client: MakeClient) -> None:
    talk = client(sandbox())
    answers = [talk.get("/pipedrive/api/v1/users") for _ in range(41)]
    assert [answer.status_code for answer in answers] == [200] * 40 + [429]
    assert answers[0].headers["x-ratelimit-remaining"] == "39"
    assert answers[-1].headers["retry-after"] == "2"
    free = client(sandbox(limits=False))
    assert {free.get("/pipedrive/api/v1/users").status_code for _ in range(45)} == {200}


def test_tokens_are_given_and_taken(sandbox: Make, client: MakeClient) -> None:
    app = sandbox()
    form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    path = "/salesforce/services/oauth2/token"
    granted = client(app).post(path, data={**form, "refresh_token": REFRESH_TOKEN}).json()
    assert urlsplit(granted["instance_url"]).path == "/salesforce"
    query = f"{SALESFORCE}?q=SELECT Id FROM User"
    assert client(app, token=granted["access_token"]).get(query).status_code == 200
    forged = granted["access_token"].replace("sandbox-access-1", "sandbox-access-9")
    assert client(app, token=forged).get(query).status_code == 401
    refused = client(app).post(path, data={**form, "refresh_token": "stolen"})
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_the_list_of_fields_has_the_custom_ones(stripe: Any) -> None:
    listed = stripe.get("/hubspot/crm/v3/properties/contacts").json()["results"]
    types = {field["name"]: field["type"] for field in listed}
    assert types["createdate"] == "datetime"
    assert "loyalty_points" in types
    described = stripe.get("/salesforce/services/data/v60.0/sobjects/Account/describe").json()
    assert described["name"] == "Account"
    assert {"NumberOfEmployees": "int", "SLA__c": "string"}.items() <= {
        field["name"]: field["type"] for field in described["fields"]
    }.items()


@pytest.mark.parametrize("name", vendor_names())
def test_the_same_seed_gives_the_same_records_and_another_gives_others(name: str) -> None:
    vendor = load_vendor(name)
    entity = list(vendor.entities)[-1]
    first, again, other = (Dataset(vendor, entity, 100, seed) for seed in (7, 7, 8))
    assert first.record(0) != other.record(0)
    backwards = [again.record(index) for index in range(9, -1, -1)]
    assert [first.record(index) for index in range(10)] == backwards[::-1]


@given(st.integers(0, 2**31), st.sampled_from(["cus_{x}", "C{X}9", "repo-{n}", 4711]))
def test_an_id_tells_its_record(index: int, form: str | int) -> None:
    assert Ids(form).index(str(Ids(form).render(index))) == index


@given(st.integers(1, 10_000_000), st.data())
def test_a_time_tells_the_first_record_that_is_not_before_it(count: int, data: st.DataObject) -> None:
    clock = Clock(count)
    moment = data.draw(st.integers(SINCE - 100_000, UNTIL + 100_000))
    first = clock.first_from(moment)
    assert clock.at(first) >= moment
    assert first == 0 or clock.at(first - 1) < moment


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1704067200", 1704067200.0),
        (1704067200000, 1704067200.0),
        ("2024-01-01T00:00:00Z", 1704067200.0),
        ("2024-01-01 00:00:00", 1704067200.0),
        ("'2024-01-01'", 1704067200.0),
        ("yesterday", None),
        (None, None),
    ],
)
def test_times_are_read_in_every_form_that_vendors_take(text: Any, seconds: float | None) -> None:
    assert parse_time(text) == seconds


def test_a_vendor_that_is_written_wrongly_is_told_where() -> None:
    with pytest.raises(Misconfigured, match="acme: auth: Field required"):
        parse_vendor(b'{"name": "acme", "errors": {}, "pagings": {}, "entities": {}}', "acme")
    with pytest.raises(Misconfigured, match="no vendor 'acme'; there are aws_cloudwatch"):
        load_vendor("acme")
