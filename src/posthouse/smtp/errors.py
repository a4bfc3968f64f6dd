"""What an error of ours is called in SMTP: code and enhanced status code (RFC 5321 §4.2, RFC 3463)."""

from __future__ import annotations

from typing import Final, Literal

from posthouse.kit.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    Malformed,
    NotFound,
    OverQuota,
    PaymentRequired,
    PosthouseError,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from posthouse.wire.smtp_replies import Reply

Stage = Literal["connection", "sender", "recipient", "authentication", "message"]

# What each error is said to be, and where a stage of the session has a better word for it (RFC 3463 §3,
# RFC 4954 §6). A test holds the table total over `kit.errors.ALL`. Everything temporary is 4yz and nothing
# else is but a full mailbox, which empties again (RFC 3463 §3.3, X.2.2).
ERROR_REPLIES: Final[dict[type[PosthouseError], tuple[int, str]]] = {
    Malformed: (554, "5.6.0"),
    Invalid: (554, "5.6.0"),
    Unauthenticated: (530, "5.7.0"),
    PaymentRequired: (550, "5.7.1"),
    Forbidden: (550, "5.7.1"),
    NotFound: (550, "5.1.1"),
    Conflict: (554, "5.3.0"),
    Gone: (550, "5.2.1"),
    TooLarge: (552, "5.3.4"),
    OverQuota: (452, "4.2.2"),
    TooMany: (451, "4.7.0"),
    Unavailable: (451, "4.3.0"),
}
STAGE_REPLIES: Final[dict[tuple[Stage, type[PosthouseError]], tuple[int, str]]] = {
    ("connection", TooMany): (421, "4.7.0"),
    ("connection", Unavailable): (421, "4.3.2"),
    ("connection", Forbidden): (554, "5.7.1"),
    ("sender", Malformed): (501, "5.1.7"),
    ("sender", Invalid): (553, "5.1.7"),
    ("sender", NotFound): (550, "5.1.0"),
    ("recipient", Malformed): (501, "5.1.3"),
    ("recipient", Invalid): (553, "5.1.3"),
    ("authentication", Malformed): (535, "5.7.8"),
    ("authentication", Invalid): (535, "5.7.8"),
    ("authentication", Unauthenticated): (535, "5.7.8"),
    ("authentication", Forbidden): (535, "5.7.8"),
    ("authentication", NotFound): (535, "5.7.8"),
    ("authentication", Gone): (535, "5.7.8"),
    ("authentication", TooMany): (421, "4.7.0"),
    ("authentication", Unavailable): (454, "4.7.0"),
}
FAILED: Final = Reply(451, "4.3.0", "Something went wrong here, try again later")


def error_reply(error: PosthouseError, stage: Stage) -> Reply:
    """The reply for an error at one stage of the session; a subclass is answered like its nearest parent."""
    for kind in type(error).__mro__:
        if found := STAGE_REPLIES.get((stage, kind)) or ERROR_REPLIES.get(kind):
            return Reply(*found, error.message)
    return FAILED
