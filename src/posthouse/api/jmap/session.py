"""The Session object (RFC 8620 §2) and what each capability says of itself."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from posthouse.api.jmap import blob, calls, submission
from posthouse.api.jmap.calls import BLOB, CORE, MAIL, QUOTA, SUBMISSION, VACATION, WEBSOCKET, Caller, Json
from posthouse.api.jmap.email.query import SORTS
from posthouse.api.jmap.methods import COLLATIONS
from posthouse.mail import mailbox_rules

# RFC 8620 §2 with the contract's numbers.
_CORE: Json = {
    "maxSizeUpload": calls.MAX_SIZE_UPLOAD,
    "maxConcurrentUpload": calls.MAX_CONCURRENT_UPLOAD,
    "maxSizeRequest": calls.MAX_SIZE_REQUEST,
    "maxConcurrentRequests": calls.MAX_CONCURRENT_REQUESTS,
    "maxCallsInRequest": calls.MAX_CALLS_IN_REQUEST,
    "maxObjectsInGet": calls.MAX_OBJECTS_IN_GET,
    "maxObjectsInSet": calls.MAX_OBJECTS_IN_SET,
    "collationAlgorithms": list(COLLATIONS),
}
_ACCOUNT: Json = {
    MAIL: {
        "maxMailboxesPerEmail": None,
        "maxMailboxDepth": mailbox_rules.MAX_DEPTH,
        "maxSizeMailboxName": mailbox_rules.MAX_NAME_OCTETS,
        "maxSizeAttachmentsPerEmail": calls.MAX_SIZE_UPLOAD,
        "emailQuerySortOptions": list(SORTS),
        "mayCreateTopLevelMailbox": True,
    },
    SUBMISSION: {
        "maxDelayedSend": submission.MAX_DELAYED_SEND_S,
        "submissionExtensions": submission.SUBMISSION_EXTENSIONS,
    },
    VACATION: {},
    BLOB: {
        "maxSizeBlobSet": calls.MAX_SIZE_UPLOAD,
        "maxDataSources": blob.MAX_DATA_SOURCES,
        "supportedTypeNames": list(blob.LOOKUPS),
        "supportedDigestAlgorithms": ["sha", "sha-256"],
    },
    QUOTA: {},
}


def build(caller: Caller) -> Json:
    """The session of a caller."""
    base = caller.base_url
    socket = "ws" + base.removeprefix("http")
    session: dict[str, Any] = {
        "capabilities": {
            CORE: _CORE,
            **{name: {} for name in _ACCOUNT},
            WEBSOCKET: {"url": f"{socket}/jmap/ws", "supportsPush": True},
        },
        "accounts": {
            id_: {"name": address, "isPersonal": True, "isReadOnly": False, "accountCapabilities": _ACCOUNT}
            for id_, address in caller.accounts.items()
        },
        "primaryAccounts": dict.fromkeys((CORE, *_ACCOUNT), caller.account_id),
        "username": caller.address,
        "apiUrl": f"{base}/jmap/",
        # Clients keep these two: they stay what they are.
        "uploadUrl": f"{base}/jmap/upload/{{accountId}}/",
        "downloadUrl": f"{base}/jmap/download/{{accountId}}/{{blobId}}/{{name}}?accept={{type}}",
        "eventSourceUrl": f"{base}/jmap/eventsource/?types={{types}}&closeafter={{closeafter}}&ping={{ping}}",
    }
    session["state"] = f"{zlib.crc32(msgspec.json.encode(session)):08x}"
    return session
