"""What clients register is bounded, and hostile registrations push nothing out that others use."""

from fraiseql_guard.graphql.documents.registrations import Registrations
from fraiseql_guard.testing import ManualClock


def registrations(clock=None, **bounds):
    return Registrations(clock=clock or ManualClock(), **bounds)


def test_a_caller_registers_so_many_a_minute():
    clock = ManualClock()
    memory = registrations(clock, per_minute=2)
    assert [memory.register(str(number), "{a}", "eve") for number in range(3)] == [True, True, False]
    assert memory.register("other", "{a}", "bob")
    clock.advance(30)
    assert [memory.register(str(number), "{a}", "eve") for number in (10, 11)] == [True, False]


def test_a_caller_that_holds_its_share_loses_its_own_oldest():
    memory = registrations(per_caller=2, per_minute=10)
    memory.register("bob", "{a}", "bob")
    for number in range(4):
        memory.register(str(number), "{a}", "eve")
    assert [memory.find(digest, "eve") for digest in ("0", "1", "2", "3")] == [None, None, "{a}", "{a}"]
    assert memory.find("bob", "bob") == "{a}"


def test_a_flood_from_many_callers_cannot_push_out_what_others_have_asked_for():
    memory = registrations(max_documents=10)
    memory.register("good", "{a}", "alice")
    assert memory.find("good", "bob") == "{a}"
    for number in range(1000):
        memory.register(str(number), "{a}", f"address {number}")
    assert memory.find("good", "carol") == "{a}"
    assert len(memory) == 10


def test_documents_of_common_use_leave_room_for_new_ones():
    memory = registrations(max_documents=10)
    for number in range(20):
        memory.register(str(number), "{a}", number)
        assert memory.find(str(number), "another") == "{a}"
    assert len(memory) == 8
    assert memory.find("0", "another") is None
    assert memory.find("19", "another") == "{a}"


def test_bytes_are_bounded_too():
    memory = registrations(max_bytes=100, per_minute=1000)
    assert not memory.register("huge", "x" * 21, "a")
    for number in range(50):
        assert memory.register(str(number), "é" * 10, "a")
    assert (len(memory), memory.size_bytes) == (5, 100)
    assert not memory.register("49", "é" * 10, "a")  # known
