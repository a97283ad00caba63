"""From monitor to enforce: what is recommended refuses no ordinary user, and every attack of the corpus."""

from __future__ import annotations

from benchmarks.tuning import attacks, monitor_then_enforce


async def test_what_is_recommended_refuses_no_ordinary_user_and_every_attack(tmp_path):
    played = await monitor_then_enforce(12, 80, tmp_path)
    assert played.before.ordinary > 1_000
    assert played.before.attacks_passed  # in monitor mode
    assert {"FRAISEQL_MAX_QUERY_DEPTH", "FRAISEQL_MAX_QUERY_COMPLEXITY", "FRAISEQL_MAX_LIST_SIZE"} <= set(
        played.found.values
    )
    assert (played.after.ordinary, played.after.ordinary_refused) == (played.before.ordinary, {})
    assert played.after.attacks_passed == {}
    assert (played.alone.attacks, played.alone.attacks_passed) == (len(attacks()), {})
