"""From entries of the control set to settings in force."""

from __future__ import annotations

import pytest

from fraiseql_guard.core.settings import CHANGEABLE, VARIABLES, Settings, name_of
from fraiseql_guard.operations.operator.setting_overrides import setting_overrides
from fraiseql_guard.stores.overrides import Override, OverrideKind, Overrides

MODE, SETTING = OverrideKind.MODE, OverrideKind.SETTING


def effective(*entries: Override, **options: object) -> Settings:
    return setting_overrides(Overrides(1, entries)).applied_to(Settings.load({}, **options))


def test_nothing_said_is_nothing_changed():
    base = Settings.load({})
    assert setting_overrides(Overrides()).applied_to(base) is base


def test_every_changeable_option_exists_and_none_is_a_secret_a_path_a_network_or_the_store():
    rows = {row.option: row for row in VARIABLES}
    assert rows.keys() >= CHANGEABLE
    assert not any(rows[option].form.secret for option in CHANGEABLE)
    words = ("path", "file", "jwt", "redis", "store", "proxies", "network", "allow_list", "token", "header", "log_")
    named = {option for option in CHANGEABLE if any(word in option for word in words)}
    assert named == {"max_tokens", "rate_limit_headers"}  # lexical tokens, and which headers clients are sent


@pytest.mark.parametrize("option", sorted(CHANGEABLE))
def test_every_changeable_option_takes_its_own_example(option):
    row = next(row for row in VARIABLES if row.option == option)
    changed = effective(Override(SETTING, row.name, value=row.form.example))
    assert getattr(changed, option) == row.form.parse(row.form.example)
    assert changed.sources[option] == "override"


def test_modes_of_one_of_all_and_of_a_variable():
    changed = effective(
        Override(MODE, "timeout", value="enforce"),
        Override(MODE, "all", value="monitor"),
        Override(SETTING, name_of("mode"), value="enforce"),
        mode_auth="enforce",
    )
    assert (changed.mode, changed.mode_auth, changed.mode_timeout) == ("monitor", "monitor", "enforce")


def test_an_unusable_entry_is_named_and_keeps_no_other_from_acting():
    control = Overrides(
        1,
        (
            Override(SETTING, name_of("max_query_depth"), value="-1"),
            Override(SETTING, name_of("jwt_secret"), value="x" * 40),
            Override(MODE, "weather", value="monitor"),
            Override(SETTING, name_of("max_aliases"), value="3"),
        ),
    )
    switches = setting_overrides(control)
    assert switches.options == {"max_aliases": "3"}
    assert len(switches.problems) == 3
    assert name_of("max_query_depth") in switches.problems[0]
    assert "x" * 40 not in "".join(switches.problems)
    assert "rate_limit" in switches.problems[2]  # what is accepted
