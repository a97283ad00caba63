"""What counts as used, and as the limit: containers, services, bare machines, and files that make no sense."""

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from fraiseql_guard.telemetry.process.memory import Memory, read_memory, resident_bytes
from tests.support.machine import MIB, Machine
from tests.support.properties import examples


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def test_a_container_of_version_2_sees_its_own_group_as_the_root(machine) -> None:
    machine.member_of("/", version=2)
    machine.group_v2("", 700 * MIB, 1000 * MIB, inactive=200 * MIB, swap=3 * MIB)
    assert read_memory(machine.root) == Memory(500 * MIB, 1000 * MIB, 3 * MIB)


def test_a_pod_that_is_nearer_to_its_limit_than_its_container_counts(machine) -> None:
    machine.member_of("/kubepods/pod1/container", version=2)
    machine.group_v2("/kubepods/pod1/container", 300 * MIB)
    machine.group_v2("/kubepods/pod1", 900 * MIB, 1000 * MIB)
    machine.group_v2("/kubepods", 4000 * MIB, 8000 * MIB)
    assert read_memory(machine.root) == Memory(900 * MIB, 1000 * MIB)


def test_where_the_kernel_throttles_the_memory_ends_too(machine) -> None:
    machine.member_of("/app", version=2)
    machine.group_v2("/app", 300 * MIB, 1000 * MIB, high=400 * MIB)
    assert read_memory(machine.root) == Memory(300 * MIB, 400 * MIB)


def test_a_container_of_version_1_whose_path_is_the_hosts(machine) -> None:
    machine.member_of("/docker/0123", version=1)
    machine.group_v1("", 700 * MIB, 1000 * MIB, inactive=100 * MIB, swap=2 * MIB)
    assert read_memory(machine.root) == Memory(600 * MIB, 1000 * MIB, 2 * MIB)


def test_a_service_of_version_1_without_a_limit_is_measured_against_the_machine(machine) -> None:
    machine.member_of("/system.slice/app.service", version=1)
    machine.group_v1("/system.slice/app.service", 700 * MIB, inactive=100 * MIB)
    machine.group_v1("", 9000 * MIB)
    assert read_memory(machine.root) == Memory(600 * MIB, 16_000 * MIB)


def test_a_limit_above_the_machines_memory_is_none(machine) -> None:
    machine.member_of("/app", version=2)
    machine.group_v2("/app", 300 * MIB, 64_000 * MIB)
    assert read_memory(machine.root) == Memory(300 * MIB, 16_000 * MIB)


@pytest.mark.parametrize("version", [1, 2])
def test_outside_of_every_group_the_process_counts_for_itself(tmp_path, version) -> None:
    machine = Machine(tmp_path, resident=120 * MIB, swapped=4 * MIB)
    machine.member_of("/", version=version)
    if version == 1:
        machine.group_v1("", 9000 * MIB)  # the whole machine's
    assert read_memory(machine.root) == Memory(120 * MIB, 16_000 * MIB, 4 * MIB)


def test_a_path_that_leads_out_of_the_mount_is_followed_inside_only(machine) -> None:
    machine.member_of("/../../other", version=2)
    machine.group_v2("", 700 * MIB, 1000 * MIB)
    assert read_memory(machine.root) == Memory(700 * MIB, 1000 * MIB)


def test_a_system_that_does_not_tell_is_no_error(tmp_path) -> None:
    assert read_memory(tmp_path) is None
    assert resident_bytes(tmp_path) is None


def test_without_meminfo_the_groups_limit_still_counts(machine) -> None:
    (machine.root / "proc/meminfo").unlink()
    machine.member_of("/app", version=2)
    machine.group_v2("/app", 300 * MIB, 400 * MIB)
    assert read_memory(machine.root) == Memory(300 * MIB, 400 * MIB)


FILES = [
    "proc/meminfo", "proc/self/cgroup", "proc/self/statm", "proc/self/status", "sys/fs/cgroup/app/memory.current",
    "sys/fs/cgroup/app/memory.max", "sys/fs/cgroup/app/memory.high", "sys/fs/cgroup/app/memory.stat",
    "sys/fs/cgroup/app/memory.swap.current",
]  # fmt: skip


@examples(200, allow=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(FILES),
        st.one_of(
            st.none(),
            st.binary(max_size=40),
            st.sampled_from([b"", b"max", b"-1", b"0", b"9" * 40, b"MemTotal:", b"inactive_file", b"0::", b"4:memory"]),
        ),
    )
)
def test_whatever_the_files_hold_nothing_is_raised(tmp_path_factory, odd) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.member_of("/app", version=2)
    machine.group_v2("/app", 300 * MIB, 1000 * MIB)
    for path, content in odd.items():
        file = machine.root / path
        file.unlink()
        if content is None:
            file.mkdir()  # cannot be read as a file
        else:
            file.write_bytes(content)
    memory = read_memory(machine.root)
    assert memory is None or (memory.used_bytes >= 0 and memory.limit_bytes > 0 and memory.swap_used_bytes >= 0)


def test_this_very_machine_tells() -> None:
    memory = read_memory()
    assert memory is not None
    assert memory.used_bytes > 0
    assert memory.ratio > 0
    assert (resident_bytes() or 0) > 10 * MIB
