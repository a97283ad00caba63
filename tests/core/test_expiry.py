"""When an entry of a YAML file ends."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from fraiseql_guard.core.expiry import expiry_of

NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "given",
    [
        "2027-01-01T00:00:00Z",
        "2027-01-01T00:00:00",
        "2027-01-01T01:00:00+01:00",
        "2027-01-01",
        date(2027, 1, 1),
        datetime(2027, 1, 1),  # noqa: DTZ001 - a time without a zone is what is read here
        datetime(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_every_way_to_write_a_moment_is_read(given):
    assert expiry_of(given) == NEW_YEAR


def test_an_entry_without_an_end_never_ends():
    assert expiry_of(None) is None


@pytest.mark.parametrize("given", ["soon", "", "2027-13-01", 1_800_000_000, True, ["2027-01-01"], {}])
def test_anything_else_is_refused(given):
    with pytest.raises(ValueError, match="expires_at is not an RFC 3339 time"):
        expiry_of(given)
