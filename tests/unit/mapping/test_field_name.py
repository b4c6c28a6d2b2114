"""Real names are names; orders, code and data are not."""

import pytest

from mapping.field_name import LONGEST_PATH, is_data, is_suspicious
from mapping.path import quoted

REAL = [
    "id",
    "email",
    "hs_lead_status",
    "properties.hs_analytics_last_visit_timestamp",
    "addresses[].postalCode",
    "customer.billing.addressLine1",
    "Straße",
    "名前",
    "Custom Field (EUR)",
    "custom_fields.12345",
    "system_id",
    "instructions",
    "deliveryInstructions",
    "annual_revenue_in_company_currency__c",
    "x-request-id",
    "$schema",
    "@type",
]


def test_there_are_enough(injections: list[str]) -> None:
    assert len(injections) >= 100


@pytest.mark.parametrize("path", REAL)
def test_names(path: str) -> None:
    path = path if path.isascii() else ".".join(quoted(step) for step in path.split("."))
    if " (" in path:
        path = quoted(path)
    assert not is_suspicious(path)


def test_no_order_passes_for_a_name(injections: list[str]) -> None:
    assert [text for text in injections if not is_suspicious(quoted(text))] == []
    assert [text for text in injections if not is_suspicious(f"data.{quoted(text)}[].x")] == []


def test_what_is_no_path_is_no_name() -> None:
    assert is_suspicious("a..b")
    assert is_suspicious("")


def test_data() -> None:
    assert is_data("x" * (LONGEST_PATH + 1))
    assert not is_data("x" * LONGEST_PATH)
