"""Who may stay when a door is full, and who makes room."""

from __future__ import annotations

from posthouse.net.descriptors import shares
from posthouse.net.register import Refusal, Register, network_of
from posthouse.net.room import FREE_OCTETS, Room


class Guest:
    """A connection that leaves when asked, unless it is busy."""

    def __init__(self, *, busy: bool = False) -> None:
        self.busy = busy
        self.is_gone = False

    def say_goodbye(self) -> None:
        self.is_gone = True

    def give_way(self) -> bool:
        self.is_gone = not self.busy
        return self.is_gone

    def abort(self) -> None:
        self.is_gone = True


def test_the_guest_who_has_waited_longest_makes_room_and_the_busy_ones_stay() -> None:
    register = Register(3, None)
    busy, old, young, new = Guest(busy=True), Guest(), Guest(), Guest()
    assert [register.admit(guest, "") for guest in (busy, old, young, new)] == [None] * 4
    assert [guest.is_gone for guest in (busy, old, young, new)] == [False, True, False, False]
    assert register.guests == {busy, young, new}


def test_a_door_full_of_busy_guests_is_full() -> None:
    register = Register(2, None)
    guests = [Guest(busy=True) for _ in range(3)]
    assert [register.admit(guest, "") for guest in guests] == [None, None, Refusal.FULL]


def test_guests_of_one_network_are_counted_and_forgotten() -> None:
    register = Register(None, 1)
    first, second = Guest(), Guest()
    assert register.admit(first, "192.0.2.1") is None
    assert register.admit(second, "192.0.2.1") is Refusal.CROWDED
    assert register.admit(Guest(), "192.0.2.2") is None
    for guest in (first, second, second):
        register.dismiss(guest)
    assert register.admit(Guest(), "192.0.2.1") is None


def test_a_network_is_one_customer_and_loopback_is_nobody_unless_it_is_asked_for() -> None:
    assert network_of("2001:db8:1:2::7") == network_of("2001:db8:1:2:ffff::1") != network_of("2001:db8:1:3::7")
    assert network_of("127.0.0.1") == network_of("::1") == network_of("no address") == ""
    assert network_of("127.0.0.1", counts_loopback=True) == "127.0.0.1"


class Holder:
    """Something large on its way."""

    def __init__(self, heard_at: float = 0.0, network: str = "") -> None:
        self.heard_at = heard_at
        self.network = network
        self.was_shed = False

    def shed(self) -> None:
        self.was_shed = True


_MB = 1 << 20


def test_small_things_take_no_room_and_large_ones_give_it_back() -> None:
    room = Room(10 * _MB)
    small, large = Holder(), Holder()
    assert room.grow(small, FREE_OCTETS, 0.0)
    assert room.taken == 0
    assert room.grow(large, 8 * _MB, 0.0)
    assert 7 * _MB < room.taken <= 8 * _MB + FREE_OCTETS
    assert not room.grow(Holder(), 4 * _MB, 0.0)
    room.leave(large)
    room.leave(large)
    assert room.taken == 0
    assert room.grow(Holder(), 4 * _MB, 0.0)


def test_who_has_brought_nothing_for_a_while_makes_way_for_who_does() -> None:
    room = Room(10 * _MB)
    stalled, busy, asker = Holder(heard_at=0.0), Holder(heard_at=99.0), Holder(heard_at=100.0)
    assert room.grow(stalled, 5 * _MB, 0.0)
    assert room.grow(busy, 4 * _MB, 99.0)
    assert room.grow(asker, 5 * _MB, 100.0)
    assert (stalled.was_shed, busy.was_shed) == (True, False)
    assert not room.grow(Holder(heard_at=100.0), 4 * _MB, 100.0)


def test_one_network_has_half_of_the_room() -> None:
    room = Room(10 * _MB)
    assert room.grow(Holder(network="192.0.2.1"), 4 * _MB, 0.0)
    assert not room.grow(Holder(network="192.0.2.1"), 4 * _MB, 0.0)
    assert room.grow(Holder(network="192.0.2.2"), 4 * _MB, 0.0)


def test_shares_leave_descriptors_for_everything_else() -> None:
    for descriptors in (256, 1_024, 4_096, 1_048_576):
        found = shares(descriptors, http=5_000, smtp=1_000)
        assert found.http + 2 * found.smtp <= descriptors * 3 // 4
    assert shares(1_048_576, http=5_000, smtp=1_000) == shares(20_000, http=5_000, smtp=1_000)
    assert shares(1_048_576, http=70, smtp=1_000).http == 70
