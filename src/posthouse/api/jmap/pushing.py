"""What push subscriptions are told, in JMAP's words (RFC 8620 §7.1–7.2)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from posthouse.api.jmap import states
from posthouse.events.pushes import PushDialect
from posthouse.store.push import PushSubscription


def _verification(subscription: PushSubscription) -> bytes:
    body = {
        "@type": "PushVerification",
        "pushSubscriptionId": subscription.id,
        "verificationCode": subscription.verification_code,
    }
    return msgspec.json.encode(body)


def _change(account_id: str, changed: Mapping[str, int]) -> bytes:
    moved = {kind: str(modseq) for kind, modseq in changed.items()}
    return msgspec.json.encode({"@type": "StateChange", "changed": {account_id: moved}})


DIALECT = PushDialect({kind: states.logged_as(kind) for kind in states.PUSHED}, _verification, _change)
