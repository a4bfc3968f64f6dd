"""EmailSubmission (RFC 8621 §7): sending what lies in the account, by the one send path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from posthouse.accounts import identities
from posthouse.api.jmap import blobs, calls, filters, methods, states
from posthouse.api.jmap.budget import TESTS
from posthouse.api.jmap.calls import Answer, Call, Fields, Json, invalid, is_id
from posthouse.api.jmap.email import set as email_set
from posthouse.api.jmap.email.get import utc
from posthouse.api.jmap.errors import MethodError, SetError, set_error
from posthouse.api.jmap.methods import Kind, Outcome, Work
from posthouse.kit.clock import SECOND, parse_iso
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound, OverQuota, PosthouseError, TooLarge, TooMany
from posthouse.mail import history
from posthouse.mail.journal import SUBMISSION
from posthouse.outbound import submitted, taking_back
from posthouse.outbound.preparation import find_stored, no_addresses, recipients_of
from posthouse.outbound.request import RecipientOptions, StoredMail, Submitted
from posthouse.store.database import Tx
from posthouse.store.identities import Identity
from posthouse.store.messages import Message
from posthouse.store.submissions import Detail

PROPERTIES = (
    "id", "identityId", "emailId", "threadId", "envelope", "sendAt", "undoStatus", "deliveryStatus", "dsnBlobIds",
    "mdnBlobIds",
)  # fmt: skip
MAX_DELAYED_SEND_S = 30 * 86_400
# What may be asked for in an envelope: RFC 3461 and RFC 4865.
SUBMISSION_EXTENSIONS: dict[str, list[str]] = {"FUTURERELEASE": [], "DSN": [], "SIZE": []}


# --- Showing


def _delivery_status(detail: Detail) -> Json:
    out: Json = {}
    for delivery in detail.deliveries:
        # What the next hop took may still come back: `yes` is only what arrived in a mailbox here.
        arrived = delivery.remote_mta is None and delivery.diagnostic == "deposited"
        delivered = {
            "delivered": "yes" if arrived else "unknown",
            "complained": "yes",
            "bounced": "no",
            "failed": "no",
            "suppressed": "no",
            "canceled": "no",
        }.get(delivery.state, "queued")
        status = delivery.status or ("5.7.1" if delivery.state in ("suppressed", "canceled") else "2.0.0")
        code = {"2": "250", "4": "451", "5": "550"}.get(status[:1], "250")
        text = delivery.diagnostic or delivery.state
        out[delivery.recipient] = {
            "smtpReply": text if text[:3].isdecimal() else f"{code} {status} {text}",
            "delivered": delivered,
            "displayed": "unknown",
        }
    return out


def undo_status(detail: Detail, at: int) -> str:
    """`pending` while it can be taken back: held, or not due yet."""
    if detail.submission.state in ("canceled", "rejected"):
        return "canceled"
    return "pending" if taking_back.may_be_taken_back(detail, at) else "final"


def _shape(detail: Detail, at: int, default_identity: str) -> Json:
    submission, request = detail.submission, detail.request
    envelope = request.envelope if request is not None else None
    if envelope is None:
        envelope = {
            "mailFrom": {"email": submission.mail_from, "parameters": None},
            "rcptTo": [{"email": delivery.recipient, "parameters": None} for delivery in detail.deliveries],
        }
    return {
        "id": submission.id,
        "identityId": request.identity_id if request is not None else default_identity,
        "emailId": submission.message_id,
        "threadId": submission.thread_id,
        "envelope": envelope,
        "sendAt": utc(request.send_at if request is not None else submission.created_at),
        "undoStatus": undo_status(detail, at),
        "deliveryStatus": _delivery_status(detail) or None,
        "dsnBlobIds": [blobs.whole(hash_) for kind, hash_ in detail.reports if kind == "dsn"],
        "mdnBlobIds": [blobs.whole(hash_) for kind, hash_ in detail.reports if kind != "dsn"],
    }


async def read(call: Call, ids: list[str] | None, properties: Sequence[str]) -> tuple[str, list[Json]]:
    """The submissions with these ids."""

    async def unit(tx: Tx) -> tuple[str, list[Detail]]:
        return (
            await states.current(tx, call.account_id, SUBMISSION),
            await submitted.all_of(tx, call.account_id, ids),
        )

    state, found = await call.services.db.read(unit)
    default = identities.default_id(call.account_id, call.address)
    shown = [_shape(each, call.services.clock(), default) for each in found]
    return state, [{name: each[name] for name in properties} for each in shown]


# --- /set


@dataclass(frozen=True, slots=True)
class _Envelope:
    mail_from: str
    rcpt_to: tuple[tuple[str, RecipientOptions], ...]
    envelope_id: str
    dsn_return: str
    send_at: int | None
    shown: Json


async def set_(call: Call) -> Answer:
    """RFC 8621 §7.5: sends, takes back, and does to the emails what was asked for on success."""
    create, update = call.objects("create"), call.objects("update")
    destroy = call.strings("destroy") or []
    on_update, on_destroy = call.objects("onSuccessUpdateEmail"), call.strings("onSuccessDestroyEmail") or []
    if_in_state = call.get("ifInState", str)
    if len(create) + len(update) + len(destroy) > calls.MAX_OBJECTS_IN_SET:
        raise MethodError("requestTooLarge")
    old_state = await call.services.db.read(lambda tx: states.current(tx, call.account_id, SUBMISSION))
    if if_in_state is not None and if_in_state != old_state:
        raise MethodError("stateMismatch")
    # D6 is for those who do not say what is to become of the email.
    files_itself = not on_update and not on_destroy
    created: dict[str, Json] = {}
    not_created: dict[str, Json] = {}
    emails: dict[str, str] = {}
    waiting: set[str] = set()
    for creation_id, value in create.items():
        try:
            made, email_id, waits = await _send(call, value, files_itself=files_itself)
            created[creation_id] = made
            call.created_ids[creation_id] = made["id"]
            emails["#" + creation_id] = emails[made["id"]] = email_id
            if waits:
                waiting.add(email_id)
        except SetError as error:
            not_created[creation_id] = error.body
    rest = await methods.apply(KIND, replace(call, args={"update": update, "destroy": destroy}))
    outcome = Outcome(
        old_state,
        rest.new_state,
        created,
        rest.updated,
        rest.destroyed,
        not_created,
        rest.not_updated,
        rest.not_destroyed,
    )
    answer: Answer = [(call.method, outcome.body(call.account_id))]
    done = [*rest.updated, *rest.destroyed]
    emails |= await call.services.db.read(lambda tx: submitted.message_ids(tx, call.account_id, done))
    implied = _implied(call, on_update, on_destroy, emails, waiting)
    if implied is not None:
        try:
            answer += await methods.set_(email_set.KIND, replace(call, method="Email/set", args=implied))
        except MethodError as error:
            answer.append(("error", error.body))
    return answer


def _implied(
    call: Call, on_update: dict[str, Json], on_destroy: list[str], emails: dict[str, str], waiting: set[str]
) -> Json | None:
    """The arguments of the Email/set that follows; None when nothing succeeded that it is for.

    What is held or planned has not been sent: it stays in Drafts, and goes to Sent when it leaves.
    """

    def email_of(named: str) -> str | None:
        return emails.get(named) or emails.get(call.resolve(named))

    update: Json = {}
    for named, patch in on_update.items():
        email_id = email_of(named)
        if email_id in waiting:
            patch = {path: value for path, value in patch.items() if path.partition("/")[0] != "mailboxIds"}
        if email_id and patch:
            update[email_id] = patch
    destroy = [email_id for named in on_destroy if (email_id := email_of(named)) and email_id not in waiting]
    return {"update": update, "destroy": destroy} if update or destroy else None


async def _send(call: Call, value: Json, *, files_itself: bool) -> tuple[Json, str, bool]:
    """Send one; what is told of it, the email that lies in the account now, and whether it waits."""
    fields = Fields(value, frozenset({"identityId", "emailId", "envelope"}))
    email_id = fields.get("emailId", str)
    identity_id = fields.get("identityId", str)
    if email_id is None:
        fields.fail("emailId")
    fields.check()
    email_id = call.resolve(email_id)
    message, own, references = await _look_up(call, email_id)
    chosen = _identity(call, identity_id, own, message, value.get("envelope"))
    envelope = _envelope(call, value.get("envelope"), chosen, message)
    mail = StoredMail(
        message_id=email_id,
        mail_from=envelope.mail_from,
        rcpt_to=envelope.rcpt_to,
        envelope_id=envelope.envelope_id,
        dsn_return=envelope.dsn_return,
        send_at=envelope.send_at,
        references=references,  # D10
        files_itself=files_itself,
        blob_hash=message.blob_hash,
    )
    services = call.services
    send_at = envelope.send_at if envelope.send_at is not None else services.clock()

    noted: list[Detail] = []

    async def note(tx: Tx, done: Submitted) -> None:
        noted[:] = [
            await submitted.note_request(
                tx, call.account_id, done.submission_id, identity_id=chosen.id, envelope=envelope.shown,
                send_at=send_at,
            )
        ]  # fmt: skip

    try:
        done = await services.submitter.submit(call.caller.principal, call.account_id, mail, also=note)
    except PosthouseError as error:
        raise _refusal(error, call) from error
    for creation_id, made in call.created_ids.items():
        if made == email_id:
            call.created_ids[creation_id] = done.message_id  # it has other bytes now, and so another id
    shown = _shape(noted[0], services.clock(), chosen.id)
    names = ["id", "threadId", "sendAt", "undoStatus", "deliveryStatus", "dsnBlobIds", "mdnBlobIds"]
    names += [name for name in ("identityId", "envelope") if value.get(name) is None]
    if done.message_id != email_id:
        names.append("emailId")
    waits = noted[0].submission.state in ("held", "scheduled")
    return {name: shown[name] for name in names}, done.message_id, waits


async def _look_up(call: Call, email_id: str) -> tuple[Message, list[Identity], tuple[str, ...]]:
    async def unit(tx: Tx) -> tuple[Message, list[Identity], tuple[str, ...]]:
        message, references = await find_stored(tx, call.account_id, email_id)
        return message, await identities.all_of(tx, call.account_id), references

    try:
        if not is_id(email_id):
            raise NotFound("there is no such email")
        return await call.services.db.read(unit)
    except NotFound as error:
        kind = "emailNotFound" if email_id.startswith("#") else "invalidProperties"
        raise SetError(kind, error.message, ["emailId"]) from error
    except Forbidden as error:
        raise SetError("forbiddenToSend", error.message) from error


def _identity(call: Call, identity_id: str | None, own: list[Identity], message: Message, envelope: Any) -> Identity:
    if identity_id is not None:
        named = call.resolve(identity_id)
        found = next((each for each in own if each.id == named), None)
        if found is None:
            raise SetError("invalidProperties", "there is no such identity", ["identityId"])
        return found
    # D5: without one, it is the identity of the message's From, else of the envelope's sender.
    mail_from = envelope.get("mailFrom") if isinstance(envelope, dict) else None
    wanted = [person.email for person in message.from_list]
    if not wanted and isinstance(mail_from, dict) and isinstance(mail_from.get("email"), str):
        wanted = [mail_from["email"]]
    for email in wanted:
        found = identities.of_address(own, email)
        if found is not None:
            return found
    raise SetError("forbiddenFrom", "no identity of the account has the address of this email's From")


def _envelope(call: Call, given: Any, chosen: Identity, message: Message) -> _Envelope:
    if given is None:
        emails = recipients_of(message)
        if not emails:
            raise SetError("noRecipients")
        shown = {
            "mailFrom": {"email": chosen.email, "parameters": None},
            "rcptTo": [{"email": email, "parameters": None} for email in emails],
        }
        _check_recipients(emails)
        return _Envelope(chosen.email, tuple((email, RecipientOptions()) for email in emails), "", "", None, shown)
    bad = SetError("invalidProperties", "an envelope has a mailFrom and rcptTo with emails", ["envelope"])
    if not isinstance(given, dict) or not isinstance(given.get("rcptTo"), list):
        raise bad
    sender = given.get("mailFrom")
    # D4: unknown members of an address, such as a name, are passed over.
    if not isinstance(sender, dict) or not all(
        isinstance(each, dict) and isinstance(each.get("email"), str) for each in (sender, *given["rcptTo"])
    ):
        raise bad
    if not given["rcptTo"]:
        raise SetError("noRecipients")
    _check_recipients([each["email"] for each in given["rcptTo"]])
    parameters = _parameters(sender, _OF_SENDER)
    if parameters.get("RET", "").upper() not in ("", "FULL", "HDRS"):  # RFC 3461 §4.3
        raise SetError("invalidProperties", "RET is FULL or HDRS", ["envelope"])
    rcpt_to = []
    for each in given["rcptTo"]:
        options = _parameters(each, _OF_RECIPIENT)
        notify = ",".join(sorted(filter(None, (word.strip().upper() for word in options.get("NOTIFY", "").split(",")))))
        words = set(notify.split(",")) - {""}
        if words != {"NEVER"} and words - {"SUCCESS", "FAILURE", "DELAY"}:  # RFC 3461 §4.1: NEVER stands alone
            raise SetError("invalidProperties", "NOTIFY is NEVER, or some of SUCCESS, FAILURE and DELAY", ["envelope"])
        rcpt_to.append((each["email"], RecipientOptions(notify, options.get("ORCPT", ""))))
    shown = {
        "mailFrom": {"email": sender["email"], "parameters": sender.get("parameters")},
        "rcptTo": [{"email": each["email"], "parameters": each.get("parameters")} for each in given["rcptTo"]],
    }
    return _Envelope(
        sender["email"],
        tuple(rcpt_to),
        parameters.get("ENVID", "")[:100],
        parameters.get("RET", "").upper(),
        _send_at(call, parameters),
        shown,
    )


# RFC 8621 §7: they restrict how the mail may travel, such as REQUIRETLS; what is not served is not passed over.
_OF_SENDER = frozenset({"HOLDFOR", "HOLDUNTIL", "ENVID", "RET", "SIZE", "BODY", "SMTPUTF8"})
_OF_RECIPIENT = frozenset({"NOTIFY", "ORCPT"})


def _parameters(address: Json, known: frozenset[str]) -> dict[str, str]:
    given = address.get("parameters")
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str | None) for value in given.values()):
        raise SetError("invalidProperties", "parameters is a map of strings", ["envelope"])
    unknown = sorted(name for name in given if name.upper() not in known)
    if unknown:
        raise SetError("invalidProperties", f"the parameter {unknown[0]} is not supported here", ["envelope"])
    return {name.upper(): value or "" for name, value in given.items()}


def _send_at(call: Call, parameters: dict[str, str]) -> int | None:
    """When to send, by FUTURERELEASE (RFC 4865 §5)."""
    at = call.services.clock()
    bad = SetError("invalidProperties", "HOLDFOR is seconds, HOLDUNTIL a date, within maxDelayedSend", ["envelope"])
    if "HOLDFOR" in parameters:
        text = parameters["HOLDFOR"]
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise bad
        send_at = at + int(text) * SECOND
    elif "HOLDUNTIL" in parameters:
        try:
            send_at = parse_iso(parameters["HOLDUNTIL"])
        except (ValueError, OverflowError) as error:
            raise bad from error
    else:
        return None
    if send_at > at + MAX_DELAYED_SEND_S * SECOND:
        raise bad
    return max(at, send_at)


def _check_recipients(emails: Sequence[str]) -> None:
    wrong = no_addresses(emails)
    if wrong:
        raise SetError("invalidRecipients", "these are no addresses", invalidRecipients=wrong)


def _refusal(error: PosthouseError, call: Call) -> SetError:
    """Why the send path refuses, in the words of RFC 8621 §7.5."""
    limits = call.services.submitter.limits
    if isinstance(error, Forbidden):
        if error.reason == "sender_not_allowed":
            return SetError("forbiddenMailFrom" if error.field == "mail_from" else "forbiddenFrom", error.message)
        return SetError("forbiddenToSend", error.message)
    if isinstance(error, TooLarge):
        return SetError("tooLarge", error.message, maxSize=limits.message_bytes)
    if isinstance(error, TooMany):
        return SetError("rateLimit", error.message)
    if isinstance(error, OverQuota):
        return SetError("overQuota", error.message)
    if isinstance(error, NotFound):
        return SetError("notFound", error.message)
    if isinstance(error, Invalid):
        if error.reason == "no_recipients":
            return SetError("noRecipients", error.message)
        if error.reason == "too_many_recipients":
            return SetError("tooManyRecipients", error.message, maxRecipients=limits.recipients)
        if error.field == "from":
            return SetError("invalidEmail", error.message, ["from"])
    return set_error(error)


async def update(work: Work, id_: str, patch: Json) -> Json | None:
    """Take a submission back, as long as nobody has begun to carry it."""
    detail = await _find(work, id_)
    bad = [name for name in patch if name != "undoStatus"]
    if bad:
        raise SetError("invalidProperties", "only undoStatus can be changed", bad)
    now = undo_status(detail, work.journal.at)
    wanted = patch.get("undoStatus", now)
    if wanted == now:
        return None
    if wanted != "canceled":
        raise SetError("invalidProperties", "undoStatus can only become canceled", ["undoStatus"])
    try:
        await taking_back.take_back(work.tx, work.journal, work.call.caller.principal, id_)
    except Conflict as error:
        raise SetError("cannotUnsend", error.message) from error
    return None


async def destroy(work: Work, id_: str) -> None:
    """Forget a submission; what is on its way goes on."""
    await _find(work, id_)
    await submitted.forget(work.tx, work.journal, id_)


async def _find(work: Work, id_: str) -> Detail:
    try:
        return await submitted.find(work.tx, work.call.account_id, id_)
    except NotFound as error:
        raise SetError("notFound") from error


KIND = Kind(
    name=SUBMISSION,
    properties=frozenset(PROPERTIES),
    defaults=PROPERTIES,
    read=read,
    update=update,
    destroy=destroy,
)


# --- /query

_FILTERS: dict[str, str] = {"identityIds": "identityId", "emailIds": "emailId", "threadIds": "threadId"}
_INLINE_TESTS = 1_000
_SORTS = frozenset({"emailId", "threadId", "sentAt", "sendAt"})


def _matches(call: Call, filter_: Json, shown: Json) -> bool:
    if "operator" in filter_:
        results = [_matches(call, each, shown) for each in filter_["conditions"]]
        if filter_["operator"] == "AND":
            return all(results)
        return any(results) if filter_["operator"] == "OR" else not any(results)
    matched = True
    for name, value in filter_.items():
        if name in _FILTERS:
            if not isinstance(value, list):
                raise invalid("filter", f"{name} is a list of ids")
            matched &= shown[_FILTERS[name]] in [call.resolve(each) for each in value if isinstance(each, str)]
        elif name == "undoStatus":
            if value not in ("pending", "final", "canceled"):
                raise invalid("filter", "undoStatus is pending, final or canceled")
            matched &= shown[name] == value
        elif name in ("before", "after"):
            try:
                bound = parse_iso(value)
            except (ValueError, TypeError, AttributeError, OverflowError) as error:
                raise invalid("filter", f"{name} is a date") from error
            at = parse_iso(shown["sendAt"])
            matched &= at < bound if name == "before" else at >= bound
        else:
            raise MethodError("unsupportedFilter", f"there is no condition {name!r}")
    return matched


async def _results(call: Call) -> tuple[str, list[str]]:
    state, shown = await read(call, None, PROPERTIES)
    sort = methods.read_sort(call)
    for comparator in sort:
        if comparator["property"] not in _SORTS:
            raise MethodError("unsupportedSort")
    filter_ = call.get("filter", dict, {})
    tests = filters.measure(call, filter_) * len(shown)
    call.budget.spend(TESTS, tests)
    ids = await call.aside.run(tests, _sorted, call, filter_, sort, shown, above=_INLINE_TESTS)
    return state, ids


def _sorted(call: Call, filter_: Json, sort: list[Json], shown: list[Json]) -> list[str]:
    _matches(call, filter_, dict.fromkeys(PROPERTIES, "1970-01-01T00:00:00Z"))
    found = [each for each in shown if _matches(call, filter_, each)]
    found.sort(key=lambda each: (each["sendAt"], each["id"]), reverse=True)
    for comparator in reversed(sort):
        name = "sendAt" if comparator["property"] == "sentAt" else comparator["property"]
        found.sort(key=lambda each, name=name: str(each[name]), reverse=not comparator.get("isAscending", True))  # type: ignore[misc]
    return [each["id"] for each in found]


async def query(call: Call) -> Answer:
    """RFC 8621 §7.3."""
    window = methods.read_window(call)
    state, ids = await _results(call)
    return [(call.method, methods.query_body(call, window, state=state, ids=ids))]


async def query_changes(call: Call) -> Answer:
    """RFC 8621 §7.4."""
    since = methods.read_since(call, "sinceQueryState")
    page = await call.services.db.read(lambda tx: history.page(tx, call.account_id, SUBMISSION, since, None))
    _, ids = await _results(call)
    return [(call.method, methods.changes_of_page(call, page, ids))]
