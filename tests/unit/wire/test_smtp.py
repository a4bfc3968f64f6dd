"""The SMTP machine; single misbehaviours are in tests/dialogs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.wire.smtp import SmtpMachine
from posthouse.wire.smtp_events import (
    Authenticate,
    CheckRecipient,
    CheckSender,
    Close,
    Event,
    MessageReceived,
    SmtpConfig,
    StartTls,
    Tls,
)
from posthouse.wire.smtp_replies import (
    AUTHENTICATED,
    MESSAGE_OK,
    RECIPIENT_OK,
    SENDER_OK,
    SHUTTING_DOWN,
    WRONG_CREDENTIAL,
    Reply,
)

CONFIG = SmtpConfig("mx.example", max_size_bytes=100_000)
TLS = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")


def run(
    pieces: Sequence[bytes],
    config: SmtpConfig = CONFIG,
    *,
    client_address: str = "192.0.2.1",
    tls: Tls | None = None,
) -> tuple[bytes, list[Event], SmtpMachine]:
    """A session against a door that likes everybody but `no@…` and knows the password `secret`."""
    machine = SmtpMachine(config, client_address=client_address, tls=tls)
    machine.open()
    events: list[Event] = []
    for piece in pieces:
        machine.feed(piece)
        while (event := machine.next_event()) is not None:
            if isinstance(event, Close):
                if not events or events[-1] != event:
                    events.append(event)
                break
            events.append(event)
            if isinstance(event, CheckSender):
                machine.answer(SENDER_OK)
            elif isinstance(event, CheckRecipient):
                refused = event.address.startswith("no@")
                machine.answer(Reply(550, "5.1.1", "no") if refused else RECIPIENT_OK)
            elif isinstance(event, Authenticate):
                machine.answer(AUTHENTICATED if event.secret == "secret" else WRONG_CREDENTIAL)
            elif isinstance(event, MessageReceived):
                machine.answer(MESSAGE_OK)
            elif isinstance(event, StartTls):
                machine.tls_started(TLS)
    return machine.take_output(), events, machine


def codes(output: bytes) -> list[int]:
    return [int(line[:3]) for line in output.split(b"\r\n")[:-1] if line[3:4] == b" "]


def lines(*commands: str) -> bytes:
    return "".join(command + "\r\n" for command in commands).encode()


GREETED = ["EHLO client.example"]
MAILED = [*GREETED, "MAIL FROM:<a@b.example>"]
ADDRESSED = [*MAILED, "RCPT TO:<c@d.example>"]
REFUSED = [*MAILED, "RCPT TO:<no@d.example>"]
STATES = {"connected": [], "greeted": GREETED, "mailed": MAILED, "addressed": ADDRESSED, "refused": REFUSED}

COMMANDS: dict[str, dict[str, int]] = {
    "EHLO x.example": dict.fromkeys(STATES, 250),
    "HELO x.example": dict.fromkeys(STATES, 250),
    "MAIL FROM:<x@y.example>": {
        "connected": 503,
        "greeted": 250,
        "mailed": 503,
        "addressed": 503,
        "refused": 503,
    },
    "RCPT TO:<x@y.example>": {
        "connected": 503,
        "greeted": 503,
        "mailed": 250,
        "addressed": 250,
        "refused": 250,
    },
    "DATA": {"connected": 503, "greeted": 503, "mailed": 503, "addressed": 354, "refused": 554},
    "BDAT 0": {"connected": 503, "greeted": 503, "mailed": 503, "addressed": 250, "refused": 554},
    "BDAT 0 LAST": {"connected": 503, "greeted": 503, "mailed": 503, "addressed": 250, "refused": 554},
    "RSET": dict.fromkeys(STATES, 250),
    "NOOP": dict.fromkeys(STATES, 250),
    "HELP": dict.fromkeys(STATES, 214),
    "VRFY x": dict.fromkeys(STATES, 252),
    "EXPN x": dict.fromkeys(STATES, 502),
    "STARTTLS": {"connected": 503, "greeted": 220, "mailed": 220, "addressed": 220, "refused": 220},
    "AUTH PLAIN": {"connected": 503, "greeted": 538, "mailed": 503, "addressed": 503, "refused": 503},
    "QUIT": dict.fromkeys(STATES, 221),
    "LHLO x.example": dict.fromkeys(STATES, 500),
    "": dict.fromkeys(STATES, 500),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_every_state(command: str, state: str) -> None:
    config = replace(CONFIG, tls_available=True)
    if command.startswith("AUTH"):
        config = replace(config, submission=True)
        if state not in ("connected", "greeted"):
            pytest.skip("on submission there is no MAIL without AUTH: dialog auth_within_a_message")
    output, _, _ = run([lines(*STATES[state], command)], config)
    got = codes(output)
    assert len(got) == 1 + len(STATES[state]) + 1
    assert got[-1] == COMMANDS[command][state]


def test_every_reply_but_greetings_and_go_aheads_has_an_enhanced_status_code() -> None:
    for state in STATES.values():
        for command in COMMANDS:
            if command.startswith(("EHLO", "HELO", "DATA", "AUTH")):
                continue
            output, _, _ = run([lines(*state, command)])
            last = output.split(b"\r\n")[-2]
            assert last[4:5] == last[:1], last  # RFC 2034 §4: the class repeats the code's first digit


def test_ehlo_offers_what_there_is() -> None:
    def offers(config: SmtpConfig, **session: object) -> set[bytes]:
        output, _, _ = run([lines("EHLO x.example")], config, **session)  # type: ignore[arg-type]
        return {line[4:] for line in output.split(b"\r\n")[2:-1]}

    always = {b"PIPELINING", b"SIZE 100000", b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES", b"CHUNKING"}
    assert offers(CONFIG) == always
    assert offers(replace(CONFIG, submission=True)) == always | {b"DSN"}
    assert b"STARTTLS" in offers(replace(CONFIG, tls_available=True))
    assert b"STARTTLS" not in offers(replace(CONFIG, tls_available=True), tls=TLS)
    submission = replace(CONFIG, submission=True)
    assert b"AUTH PLAIN LOGIN" not in offers(submission)
    assert b"AUTH PLAIN LOGIN" in offers(submission, tls=TLS)
    assert b"AUTH PLAIN LOGIN" in offers(submission, client_address="127.0.0.1")
    assert b"AUTH PLAIN LOGIN" in offers(submission, client_address="::1")
    assert b"AUTH PLAIN LOGIN" not in offers(replace(submission, trusts_loopback=False), client_address="127.0.0.1")
    assert b"AUTH PLAIN LOGIN" not in offers(CONFIG, tls=TLS)


def test_the_envelope_says_what_smtp_said() -> None:
    session = lines(
        "EHLO client.example",
        "MAIL FROM:<a@b.example> SIZE=5 BODY=8BITMIME RET=FULL ENVID=Q+2B1 AUTH=<>",
        "RCPT TO:<c@d.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c+2Bx@d.example",
        "RCPT TO:<no@d.example>",
        "RCPT TO:<e@d.example>",
        "DATA",
        "hi",
        ".",
    )
    _, events, _ = run([session])
    (message,) = (event for event in events if isinstance(event, MessageReceived))
    envelope = message.envelope
    assert message.raw == b"hi\r\n"
    assert envelope.mail_from == "a@b.example"
    assert envelope.parameters.size_bytes == 5
    assert envelope.parameters.body == "8BITMIME"
    assert (envelope.parameters.ret, envelope.parameters.envid) == ("FULL", "Q+1")
    assert envelope.parameters.auth == ""
    assert [recipient.address for recipient in envelope.rcpt_to] == ["c@d.example", "e@d.example"]
    assert envelope.rcpt_to[0].parameters.notify == {"SUCCESS", "FAILURE"}
    assert envelope.rcpt_to[0].parameters.orcpt == "rfc822;c+x@d.example"
    assert (envelope.helo, envelope.client_address) == ("client.example", "192.0.2.1")
    assert (envelope.tls, envelope.identity) == (None, None)


@pytest.mark.parametrize(
    ("hello", "tls", "auth", "utf8", "protocol"),
    [
        ("HELO", False, False, False, "SMTP"),
        ("EHLO", False, False, False, "ESMTP"),
        ("EHLO", True, False, False, "ESMTPS"),
        ("EHLO", False, True, False, "ESMTPA"),
        ("EHLO", True, True, False, "ESMTPSA"),
        ("EHLO", False, False, True, "UTF8SMTP"),
        ("EHLO", True, False, True, "UTF8SMTPS"),
        ("EHLO", False, True, True, "UTF8SMTPA"),
        ("EHLO", True, True, True, "UTF8SMTPSA"),
    ],
)
def test_protocol_names_follow_rfc_3848_and_6531(hello: str, tls: bool, auth: bool, utf8: bool, protocol: str) -> None:
    config = replace(CONFIG, submission=auth, auth_needs_tls=False)
    plain = base64.b64encode(b"\0ann\0secret").decode()
    session = lines(
        f"{hello} x.example",
        *([f"AUTH PLAIN {plain}"] if auth else []),
        "MAIL FROM:<a@b.example>" + (" SMTPUTF8" if utf8 else ""),
        "RCPT TO:<c@d.example>",
        "DATA",
        ".",
    )
    _, events, _ = run([session], config, tls=TLS if tls else None)
    message = events[-1]
    assert isinstance(message, MessageReceived)
    assert message.envelope.protocol == protocol
    assert message.envelope.identity == ("ann" if auth else None)


def test_input_behind_a_question_waits_for_the_answer() -> None:
    machine = SmtpMachine(CONFIG)
    machine.open()
    machine.feed(lines(*MAILED, "RSET", "QUIT"))
    assert isinstance(machine.next_event(), CheckSender)
    machine.take_output()
    assert machine.next_event() is None
    assert machine.take_output() == b""
    machine.answer(SENDER_OK)
    assert machine.next_event() == Close()
    assert codes(machine.take_output()) == [250, 250, 221]


def test_answering_without_a_question_is_a_mistake() -> None:
    machine = SmtpMachine(CONFIG)
    with pytest.raises(RuntimeError):
        machine.answer(SENDER_OK)
    with pytest.raises(RuntimeError):
        machine.tls_started(TLS)


def test_a_refused_message_is_forgotten_like_an_accepted_one() -> None:
    machine = SmtpMachine(CONFIG)
    machine.open()
    machine.feed(lines(*ADDRESSED, "DATA", "x", ".", "DATA"))
    for reply in (SENDER_OK, RECIPIENT_OK, Reply(451, "4.3.0", "later")):
        assert machine.next_event() is not None
        machine.answer(reply)
    assert machine.next_event() is None
    assert codes(machine.take_output())[-2:] == [451, 503]


def test_starttls_forgets_what_was_learnt_in_the_clear() -> None:
    config = replace(CONFIG, tls_available=True, submission=True)
    plain = base64.b64encode(b"\0ann\0secret").decode()
    clear = lines("EHLO client.example", f"AUTH PLAIN {plain}", "MAIL FROM:<a@b.example>", "STARTTLS")
    output, events, machine = run([clear], config, client_address="127.0.0.1")
    assert codes(output) == [220, 250, 235, 250, 220]
    assert events[-1] == StartTls()
    assert (machine.helo, machine.identity, machine.tls) == ("", None, TLS)
    machine.feed(lines("RCPT TO:<c@d.example>", "MAIL FROM:<a@b.example>", "STARTTLS"))
    assert machine.next_event() is None
    assert codes(machine.take_output()) == [503, 503, 503]


def test_what_comes_between_starttls_and_the_handshake_is_never_run() -> None:
    machine = SmtpMachine(replace(CONFIG, tls_available=True))
    machine.open()
    machine.feed(lines("EHLO x.example", "STARTTLS"))
    assert machine.next_event() == StartTls()
    machine.take_output()
    machine.feed(lines("EHLO evil.example", "MAIL FROM:<evil@b.example>"))
    assert machine.next_event() is None
    machine.tls_started(TLS)
    assert machine.next_event() is None
    assert machine.take_output() == b""
    assert machine.helo == ""


def test_a_refused_connection_hears_the_reason_and_no_more() -> None:
    machine = SmtpMachine(CONFIG)
    machine.open(Reply(554, "5.7.1", "No mail from there"))
    machine.feed(lines(*MAILED))
    assert machine.next_event() == Close()
    assert machine.take_output() == b"554 5.7.1 No mail from there\r\n"


def test_shutting_down_in_the_middle_of_a_message_ends_the_session() -> None:
    machine = SmtpMachine(CONFIG)
    machine.open()
    machine.feed(lines("HELO x.example"))
    assert machine.next_event() is None
    machine.shut(SHUTTING_DOWN)
    machine.shut(SHUTTING_DOWN)
    assert machine.next_event() == Close()
    assert codes(machine.take_output()) == [220, 250, 421]


def test_a_message_without_end_is_not_swallowed_for_ever() -> None:
    config = replace(CONFIG, max_size_bytes=1_000)
    machine = SmtpMachine(config)
    machine.open()
    machine.feed(lines(*ADDRESSED, "DATA"))
    for _ in range(2):
        assert machine.next_event() is not None
        machine.answer(RECIPIENT_OK)
    assert machine.next_event() is None
    fed = 0
    while machine.next_event() is None:
        machine.feed(b"x" * 10_000)
        assert machine.buffered_bytes <= 20_000
        fed += 10_000
        assert fed < 2_000_000
    assert codes(machine.take_output())[-1] == 552
    assert machine.is_closed


def test_a_message_of_the_limit_is_taken_and_one_octet_more_is_not() -> None:
    config = replace(CONFIG, max_size_bytes=999)
    # Every line is a dot, so that stuffing makes it a third longer on the wire.
    for size, expected in ((999, 250), (1_002, 552)):
        for step in (1, 10_000):
            wire = b"..\r\n" * (size // 3) + b".\r\n"
            session = [lines(*ADDRESSED, "DATA"), *(wire[i : i + step] for i in range(0, len(wire), step))]
            output, events, _ = run(session, config)
            assert codes(output)[-1] == expected
            if expected == 250:
                assert isinstance(events[-1], MessageReceived) and len(events[-1].raw) == size


# Whole dialogues, cut anywhere.

_BODY = st.lists(
    st.sampled_from(
        [b".", b"..", b"\r\n", b"\r\n.", b"\n", b"\r", b"\0", b"x", b"To: a", b".\r\n", b"z" * 300, b"\n.\r\n"]
    ),
    max_size=12,
).map(b"".join)
_COMMAND = st.sampled_from(
    [
        b"EHLO a.example\r\n",
        b"HELO b.example\r\n",
        b"MAIL FROM:<a@b.example>\r\n",
        b"MAIL FROM:<> SIZE=10 BODY=8BITMIME\r\n",
        b"RCPT TO:<c@d.example>\r\n",
        b"RCPT TO:<no@d.example> NOTIFY=NEVER\r\n",
        b"DATA\r\n",
        b"DATA\n",
        b"\r\n.\r\n",
        b".\r\n",
        b"BDAT 5\r\nab\r\nc",
        b"BDAT 0 LAST\r\n",
        b"BDAT 3 LAST\r\n.\r\n",
        b"BDAT x\r\n",
        b"RSET\r\n",
        b"NOOP\n",
        b"QUIT\r\n",
        b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
        b"AUTH LOGIN\r\n",
        b"YW5u\r\n",
        b"*\r\n",
        b"AUTH " + b"x" * 13_000 + b"\r\n",
        b"y" * 2_100 + b"\r\n",
        b"\xff\xfe\0\r\n",
        b"GET / HTTP/1.1\r\n",
    ]
)
_MESSAGE = _BODY.map(
    lambda body: b"RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n" + body + b"\r\n.\r\n"
)
_SESSION = st.lists(st.one_of(_COMMAND, _COMMAND, _MESSAGE), max_size=14).map(b"".join)


@settings(max_examples=150, deadline=None)
@given(session=_SESSION, cuts=st.lists(st.integers(0, 3_000), max_size=20), submission=st.booleans())
def test_the_dialogue_is_the_same_however_the_input_is_cut(session: bytes, cuts: list[int], submission: bool) -> None:
    config = replace(CONFIG, submission=submission, auth_needs_tls=False, max_size_bytes=400, max_bad_commands=6)
    session = b"EHLO first.example\r\n" + session
    whole = run([session], config)[:2]
    bounds = [0, *sorted(cut for cut in cuts if cut < len(session)), len(session)]
    assert run([session[a:b] for a, b in pairwise(bounds)], config)[:2] == whole
    assert run([session[i : i + 1] for i in range(len(session))], config)[:2] == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), _COMMAND, _MESSAGE), max_size=10))
def test_no_input_makes_it_raise_or_say_anything_but_replies(pieces: list[bytes]) -> None:
    output, events, _ = run(pieces, replace(CONFIG, tls_available=True))
    for line in output.split(b"\r\n")[:-1]:
        assert line[:3].isdigit() and line[3:4] in b" -" and len(line) <= 510
        assert all(32 <= octet < 127 for octet in line)
    for event in events:
        if isinstance(event, MessageReceived):
            assert event.envelope.rcpt_to
            framed = b"\r\n" + event.raw + b"\r\n"
            for look_alike in (b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r"):
                at = framed.find(look_alike)
                while at >= 0:
                    start = framed.rfind(b"\r", 0, at + 1) if look_alike[:1] == b"\n" else at
                    assert framed[start : start + 5] == b"\r\n.\r\n"
                    at = framed.find(look_alike, at + 1)


def test_a_login_with_nothing_in_it_never_reaches_the_door() -> None:
    config = replace(CONFIG, submission=True, auth_needs_tls=False)
    output, events, _ = run([lines("EHLO x.example", "AUTH LOGIN", "=", "=")], config)
    assert codes(output) == [220, 250, 334, 334, 535]
    assert events == []


def test_secrets_do_not_show_in_an_event() -> None:
    assert "hunter2" not in repr(Authenticate("PLAIN", "ann", "hunter2"))
