"""What a server puts up with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server puts up with. A count of None means no limit.

    Attributes:
        connections: open at once, in all.
        connections_per_address: open at once from one IPv4 address or one IPv6 /64, which is one customer.
        limits_loopback: whether peers on this machine are counted per address as well.
        messages_octets: messages on their way in at once, what each has up to `net.room.FREE_OCTETS` not counted.
        idle_s: from one command to the end of the next; RFC 5321 §4.5.3.2.7 asks for five minutes at least.
            Bytes that complete no command do not count.
        patience_s: when the server is full, who has been silent for so long makes room.
        progress_s, progress_bytes: within a message, each span of so many seconds has to bring so many bytes:
            nobody holds a connection with a byte now and then.
        message_s: from the go-ahead to the end of a message, or of a chunk.
        handshake_s: for TLS.
        linger_s: after the last word to someone who is still talking, so that he gets to read it.
    """

    connections: int | None = 1_000
    connections_per_address: int | None = 50
    limits_loopback: bool = False
    messages_octets: int = 64 << 20
    idle_s: float = 300.0
    patience_s: float = 10.0
    progress_s: float = 60.0
    progress_bytes: int = 1_024
    message_s: float = 3_600.0
    handshake_s: float = 30.0
    linger_s: float = 2.0
