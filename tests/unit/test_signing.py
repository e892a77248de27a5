"""Signed addresses: what is altered, expired or of another kind is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from galaxy_jobs.adapters.testing.memory import MemorySigningKeys, MemoryStore
from galaxy_jobs.domain.errors import BadLink, InvalidValue
from galaxy_jobs.domain.model.signing import Signer, SigningKey
from galaxy_jobs.domain.use_cases import LoadSigner


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OLD, NEW = SigningKey(b"o" * 32), SigningKey(b"n" * 32)
FIELDS = ["upload-1", "7"]
TEXTS = st.lists(st.text(st.characters(exclude_categories=())), max_size=4)


def test_what_was_signed_is_verified_until_it_expires() -> None:
    signer = Signer([NEW])
    signed = signer.sign("part", FIELDS, NOON + HOUR)
    assert sorted(signed) == ["expires", "key", "signature"]
    last = NOON + HOUR - timedelta(microseconds=1)
    for now in (NOON - 24 * HOUR, NOON, last):
        assert signer.verify("part", FIELDS, signed, now) == NOON + HOUR
    for now in (NOON + HOUR, NOON + 24 * HOUR):
        with pytest.raises(BadLink):
            signer.verify("part", FIELDS, signed, now)


@pytest.mark.parametrize(
    "altered",
    [
        {"expires": "99999999999"},
        {"expires": "99999999999999999999"},
        {"expires": "1e9"},
        {"expires": "٣"},
        {"expires": ""},
        {"key": OLD.key_id},
        {"key": ""},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "\ud800é"},
    ],
)
def test_an_altered_address_is_refused(altered: dict[str, str]) -> None:
    signer = Signer([NEW, OLD])
    signed = signer.sign("part", FIELDS, NOON + HOUR)
    with pytest.raises(BadLink):
        signer.verify("part", FIELDS, {**signed, **altered}, NOON)
    for name in altered:
        fewer = {key: value for key, value in signed.items() if key != name}
        with pytest.raises(BadLink):
            signer.verify("part", FIELDS, fewer, NOON)


@given(signed_for=TEXTS, used_for=TEXTS)
def test_a_signature_fits_nothing_else(
    signed_for: list[str], used_for: list[str]
) -> None:
    assume(signed_for != used_for)
    signer = Signer([NEW])
    signed = signer.sign("part", signed_for, NOON + HOUR)
    signer.verify("part", signed_for, signed, NOON)
    with pytest.raises(BadLink):
        signer.verify("part", used_for, signed, NOON)


def test_a_signature_of_one_kind_fits_no_other() -> None:
    signer = Signer([NEW])
    signed = signer.sign("part", FIELDS, NOON + HOUR)
    with pytest.raises(BadLink):
        signer.verify("data", FIELDS, signed, NOON)


def test_a_replaced_key_verifies_while_it_is_kept() -> None:
    signed = Signer([OLD]).sign("part", FIELDS, NOON + HOUR)
    both = Signer([NEW, OLD])
    both.verify("part", FIELDS, signed, NOON)
    assert both.sign("part", FIELDS, NOON)["key"] == NEW.key_id
    with pytest.raises(BadLink):
        Signer([NEW]).verify("part", FIELDS, signed, NOON)


def test_a_short_key_is_refused_and_no_key_is_shown() -> None:
    with pytest.raises(InvalidValue, match="32"):
        SigningKey(b"short")
    assert "nnn" not in repr(Signer([NEW]))
    assert NEW.key_id != OLD.key_id


def test_all_processes_sign_with_the_stored_key_unless_others_are_configured() -> None:
    stored = MemorySigningKeys(MemoryStore())
    signer = LoadSigner(stored)()
    assert LoadSigner(stored)().keys == signer.keys
    assert len(signer.keys[0].secret) == 32
    assert LoadSigner(stored, [NEW, OLD])().keys == [NEW, OLD]
