"""What one request may use, whatever its calls: spent before the work is done (RFC 8620 §3.6.2, `requestTooLarge`).

The limits leave room for what clients do (500 emails with their texts, a mailbox taken in by the hundred) and none
for a small request that asks for much: one blob read a hundred times, an answer doubled by references to itself.
"""

from __future__ import annotations

from posthouse.kit.budget import Budget

MIB = 1024 * 1024

ANSWERS = "octets of answers"
REFERENCES = "octets of result references"
STEPS = "values passed by result references"
BLOBS = "octets of blobs"
MAIL = "octets of mail to be parsed"
HEADERS = "octets of header fields"
TEXTS = "octets of texts to be searched"
CONDITIONS = "conditions of filters"
TESTS = "conditions tested on objects"

LIMITS: dict[str, int] = {
    ANSWERS: 40 * MIB,  # the longest blob of an upload, in base64
    REFERENCES: 4 * MIB,
    STEPS: 100_000,
    BLOBS: 256 * MIB,
    MAIL: 64 * MIB,
    HEADERS: 64 * MIB,
    TEXTS: 16 * MIB,
    CONDITIONS: 1_000,
    TESTS: 1_000_000,
}
# Of one filter, one order, one list of properties.
MAX_CONDITIONS = 250
MAX_FILTER_DEPTH = 20
MAX_COMPARATORS = 10
MAX_PROPERTIES = 200
# A text in an answer is cut here when its reader names no length of its own; it is told so (RFC 8621 §4.2).
MAX_VALUE_OCTETS = 4 * MIB


def new() -> Budget:
    """The budget of one request."""
    return Budget(LIMITS)


def spend_rest(budget: Budget, what: str, amount: int) -> None:
    """Take a share, or all that is left: for what has happened already and is not taken back."""
    budget.spend(what, min(amount, budget.left(what)))
