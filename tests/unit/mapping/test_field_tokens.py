"""Names are taken apart into the words that people would read in them; no name is too odd."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.concepts import load_thesaurus
from mapping.field_tokens import WORDS_OF_A_NAME, Tokenizer, singular

KNOWN = dict.fromkeys(
    ("number", "of", "employee", "close", "date", "email", "photo", "owner", "last", "modified", "state", "province"), 5
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(load_thesaurus(), KNOWN)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("properties.hs_lastmodifieddate", "last modified date"),
        ("numberofemployees", "number employee"),
        ("_ownerid_value", "owner id"),
        ("Line[].ItemRef.value", "line item reference"),
        ("Annual_Budget__c", "annual budget"),
        ("photoURLs", "photo url"),
        ("customfield_10031", "customfield #"),
        ("cf_birth_dt", "birth date"),
        ("STAT_NM", "status name"),
        ("employeecd", "employee code"),
        ("ownerstat", "owner status"),
        ("updatedDateUTC", "updated date"),
        ("address1_stateorprovince", "address state or province"),
        ("phone2", "phone 2"),
        ("größe", "größe"),
        ("", ""),
        ("🎉", ""),
    ],
)
def test_a_name_becomes_its_words(tokenizer: Tokenizer, path: str, words: str) -> None:
    assert " ".join(tokenizer.path(path).whole) == words


def test_a_core_is_never_empty(tokenizer: Tokenizer) -> None:
    assert tokenizer.path("owner.email").without(["owner"]) == ("email",)
    assert tokenizer.path("owner").without(["owner"]) == ("owner",)


@pytest.mark.parametrize(("plural", "one"), [("statuses", "status"), ("categories", "category"), ("boxes", "box")])
def test_plurals_become_singular(plural: str, one: str) -> None:
    assert singular(plural) == one


@given(st.text(max_size=400))
def test_any_text_gives_few_words_and_the_same_again(text: str) -> None:
    tokenizer = Tokenizer(load_thesaurus(), KNOWN)
    words = tokenizer.path(text)
    assert len(words.whole) <= WORDS_OF_A_NAME
    assert tokenizer.path(text) == words
