"""Which method is answered by what, and the capabilities there are."""

from __future__ import annotations

from functools import partial

from posthouse.api.jmap import (
    blob,
    identity,
    mailbox,
    methods,
    push_subscription,
    quota,
    snippet,
    submission,
    thread,
    vacation,
)
from posthouse.api.jmap.calls import BLOB, CORE, MAIL, QUOTA, SUBMISSION, VACATION, WEBSOCKET, Answer, Call
from posthouse.api.jmap.email import importing, parse, query
from posthouse.api.jmap.email import set as email
from posthouse.api.jmap.request import Method

CAPABILITIES = frozenset({CORE, MAIL, SUBMISSION, VACATION, BLOB, QUOTA, WEBSOCKET})


async def echo(call: Call) -> Answer:
    """RFC 8620 §4."""
    return [(call.method, call.args)]


_SET = frozenset({"ifInState", "create", "update", "destroy"})
_COPY = frozenset(
    {"fromAccountId", "ifFromInState", "ifInState", "create", "onSuccessDestroyOriginal", "destroyFromIfInState"}
)

METHODS: dict[str, Method] = {
    "Core/echo": Method(echo, CORE, of_account=False),
    "PushSubscription/get": Method(push_subscription.get, CORE, of_account=False),
    "PushSubscription/set": Method(
        push_subscription.set_, CORE, of_account=False, changes=frozenset({"create", "update", "destroy"})
    ),
    "Blob/copy": Method(blob.copy, CORE, changes=frozenset({"fromAccountId", "blobIds"})),
    "Blob/upload": Method(blob.upload, BLOB, changes=frozenset({"create"})),
    "Blob/get": Method(blob.get, BLOB),
    "Blob/lookup": Method(blob.lookup, BLOB),
    "Mailbox/get": Method(partial(methods.get, mailbox.KIND), MAIL),
    "Mailbox/changes": Method(mailbox.changed, MAIL),
    "Mailbox/query": Method(mailbox.query, MAIL),
    "Mailbox/queryChanges": Method(mailbox.query_changes, MAIL),
    "Mailbox/set": Method(partial(methods.set_, mailbox.KIND), MAIL, changes=_SET | {"onDestroyRemoveEmails"}),
    "Thread/get": Method(partial(methods.get, thread.KIND), MAIL),
    "Thread/changes": Method(partial(methods.changed, thread.KIND.name), MAIL),
    "Email/get": Method(partial(methods.get, email.KIND), MAIL),
    "Email/changes": Method(partial(methods.changed, email.KIND.name), MAIL),
    "Email/query": Method(query.query, MAIL),
    "Email/queryChanges": Method(query.query_changes, MAIL),
    "Email/set": Method(partial(methods.set_, email.KIND), MAIL, changes=_SET),
    "Email/copy": Method(importing.copy, MAIL, changes=_COPY),
    "Email/import": Method(importing.import_, MAIL, changes=frozenset({"ifInState", "emails"})),
    "Email/parse": Method(parse.parse_blobs, MAIL),
    "SearchSnippet/get": Method(snippet.get, MAIL),
    "Identity/get": Method(partial(methods.get, identity.KIND), SUBMISSION),
    "Identity/changes": Method(partial(methods.changed, identity.KIND.name), SUBMISSION),
    "Identity/set": Method(partial(methods.set_, identity.KIND), SUBMISSION, changes=_SET),
    "EmailSubmission/get": Method(partial(methods.get, submission.KIND), SUBMISSION),
    "EmailSubmission/changes": Method(partial(methods.changed, submission.KIND.name), SUBMISSION),
    "EmailSubmission/query": Method(submission.query, SUBMISSION),
    "EmailSubmission/queryChanges": Method(submission.query_changes, SUBMISSION),
    "EmailSubmission/set": Method(
        submission.set_, SUBMISSION, changes=_SET | {"onSuccessUpdateEmail", "onSuccessDestroyEmail"}
    ),
    "VacationResponse/get": Method(partial(methods.get, vacation.KIND), VACATION),
    "VacationResponse/set": Method(partial(methods.set_, vacation.KIND), VACATION, changes=_SET),
    "Quota/get": Method(partial(methods.get, quota.KIND), QUOTA),
    "Quota/changes": Method(quota.changed, QUOTA),
    "Quota/query": Method(quota.query, QUOTA),
    "Quota/queryChanges": Method(quota.query_changes, QUOTA),
}
