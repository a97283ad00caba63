"""The model of a fleet: what follows from costs by arithmetic, it finds by simulation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scale_model import Costs, Size, bend, offered, saturated
from benchmarks.scale_simulation import Calibration, Effort, Measured, Served, simulated

COSTS = Costs(worker=100e-6, decision=5e-6, read=3e-6, wake=2e-6, hop=10e-6)
"""A worker carries 10,000 requests a second; a node 200,000 decisions, or 100,000 that arrive alone."""


def full(costs: Costs, size: Size, *, connections: int = 16, requests: int = 4_000, seed: int = 1):
    return saturated(costs, size, connections=connections, requests=requests, seed=seed)


def test_the_same_seed_gives_the_same_figures_and_another_one_others() -> None:
    size = Size(workers=4, nodes=2)
    asked = {"per_second": 20_000.0, "requests": 2_000}
    assert offered(COSTS, size, seed=7, **asked) == offered(COSTS, size, seed=7, **asked)
    assert offered(COSTS, size, seed=7, **asked) != offered(COSTS, size, seed=8, **asked)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_with_cores_of_their_own_carry_what_their_cpu_allows(workers: int) -> None:
    found = full(COSTS, Size(workers=workers))
    assert found.per_second == pytest.approx(10_000 * workers, rel=0.01)
    assert found.worker_busy == pytest.approx(1.0, rel=0.01)


def test_shared_cores_carry_what_all_processes_leave_of_them() -> None:
    costs = replace(COSTS, client=20e-6, hop=0.0)
    found = full(costs, Size(workers=4, cores=2))
    redis = costs.decision + costs.read * found.reads_per_decision + costs.wake * found.wakes_per_decision
    assert found.per_second == pytest.approx(2 / (costs.worker + costs.client + redis), rel=0.02)


def test_one_node_carries_no_more_than_its_core_and_several_carry_more() -> None:
    one, three = (full(COSTS, Size(workers=40, nodes=nodes), connections=8, requests=5_000) for nodes in (1, 3))
    assert one.node_busy > 0.95
    assert 1 / (COSTS.decision + COSTS.read + COSTS.wake) < one.per_second < 1 / COSTS.decision
    assert three.per_second > 1.8 * one.per_second


def test_decisions_that_arrive_together_share_a_read() -> None:
    quiet = offered(COSTS, Size(workers=1), per_second=500.0, requests=1_000, seed=1)
    busy = full(COSTS, Size(workers=40), connections=8, requests=5_000)
    assert quiet.reads_per_decision == pytest.approx(1.0, abs=0.01)
    assert quiet.wakes_per_decision == pytest.approx(1.0, abs=0.01)
    assert busy.reads_per_decision < 0.5
    assert busy.wakes_per_decision < 0.1


def test_a_decision_of_an_idle_node_takes_its_costs_and_the_way() -> None:
    found = offered(COSTS, Size(workers=1), per_second=10.0, requests=200, seed=1)
    alone = COSTS.decision + COSTS.read + COSTS.wake + 2 * COSTS.hop
    assert found.decision_p50 == pytest.approx(alone)
    assert found.p50 == pytest.approx(COSTS.worker + alone)


def test_waiting_grows_with_the_load() -> None:
    loads = (10_000.0, 50_000.0, 90_000.0, 130_000.0)
    found = [offered(COSTS, Size(workers=64), per_second=each, requests=4_000, seed=1) for each in loads]
    times = [each.decision_p99 for each in found]
    assert times == sorted(times)
    assert times[-1] > 2 * times[0]
    assert [each.per_second for each in found[:3]] == pytest.approx(loads[:3], rel=0.1)


def test_upkeep_of_the_fleet_is_work_of_one_node() -> None:
    told = replace(COSTS, upkeep=1e-3, upkeep_per_second=5.0)  # half a hundredth of a core a worker
    with_it, without = (
        offered(each, Size(workers=20, nodes=2), per_second=2_000.0, requests=4_000, seed=1) for each in (told, COSTS)
    )
    assert with_it.node_busy - without.node_busy == pytest.approx(20 * 5 * 1e-3, abs=0.02)


def test_the_bend_lies_where_the_time_has_doubled() -> None:
    assert bend([(10, 1.0), (20, 1.5), (30, 2.5)]) == pytest.approx(25)
    assert bend([(10, 1.0), (20, 1.1)]) == 20


def served(decision: float, read: float, wake: float, *, reads: float, wakes: float) -> Served:
    return Served(cpu_us=decision + read * reads + wake * wakes, reads=reads, wakes=wakes)


def calibration(**other: float) -> Calibration:
    return Calibration(
        **{
            "worker_us": 100.0,
            "load_us": 20.0,
            "alone": served(5, 3, 7, reads=1, wakes=0.9),
            "beside": served(5, 3, 7, reads=1, wakes=0.1),
            "together": served(5, 3, 7, reads=1 / 32, wakes=0.01),
            "upkeep_us": 50.0,
            "upkeep_per_second": 3.0,
            "round_trip_us": 40.0,
            **other,
        }
    )


def test_costs_of_the_model_are_found_in_what_was_measured() -> None:
    costs = calibration().costs()
    assert (costs.decision, costs.read, costs.wake) == pytest.approx((5e-6, 3e-6, 7e-6))
    assert costs.hop == pytest.approx((40 - 3 - 7) / 2 * 1e-6)


def test_noise_that_turns_costs_round_makes_none_negative() -> None:
    worse = Served(cpu_us=20.0, reads=1.0, wakes=0.2)  # dearer beside others than alone
    costs = calibration(beside=worse).costs()
    assert min(costs.decision, costs.read, costs.wake, costs.hop) >= 0


def test_a_simulation_says_how_far_it_is_off_and_when_to_shard() -> None:
    costs = {"one Redis": calibration(), "cluster of 3": calibration(nodes=3)}
    points = [Measured("one Redis", 1, 8_000.0, 15.0), Measured("cluster of 3", 2, 12_000.0, 16.0)]
    said = simulated(costs, points, Effort(simulated=400), cores=2, connections=3)
    one, two = said["validation"]
    assert one["deviation"] == pytest.approx(one["simulated_per_second"] / 8_000 - 1)
    assert one["simulated_per_second"] == pytest.approx(10_000, rel=0.05)
    assert two["store"] == "cluster of 3"
    advice = said["advice"]
    assert 1e6 / 15 < advice["redis_core_per_second"] < 1e6 / 5
    assert 0 < advice["bends_at_per_second"] <= advice["redis_core_per_second"]
    assert advice["workers_per_core"] == advice["bends_at_per_second"] // advice["worker_per_second"]
    shares = {(row["workers"], row["nodes"]): row["share"] for row in said["carried"]}
    assert shares[1, 1] == pytest.approx(1.0, abs=0.02)
    assert shares[100, 1] < 0.5 < shares[100, 10]
