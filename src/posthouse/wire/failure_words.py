"""What a mail server means when it refuses: the code of RFC 3463 that its words amount to.

Half of all refusals come without such a code, or with one that says nothing (`5.0.0`). Their words are few, and
most servers of the world use the same ones.
"""

from __future__ import annotations

import re

# RFC 3463 §2; qmail writes `#5.1.1`.
_CODE = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]|-\d)")
# The first figures of an SMTP reply (RFC 5321 §4.2), not of an address, a port, a size or a time.
_REPLY = re.compile(r"(?<![\d.:,@=/\[-])([45])([0-5]\d)(?:[ -]|$)(?! *(?:bytes|octets|KB|MB|seconds|hours))")
# Codes that leave open what is wrong; words tell more.
_VAGUE = re.compile(r"[245]\.(?:\d+\.0|5\.\d+|4\.4|3\.1)")
# Longer text says the same things again, or is the mail itself.
_MAX_CHARS = 8_192

_WHO = r"(?:user|recipient|mailbox|account|address|rcpt|name|login|alias|person|destination|inbox|userid|part)"
_IS_NOT = (
    r"(?:unknown|not found|(?:does not|doesn't|do not|not) exist|invalid|unrouteable|undeliverable|unavailable"
    r"|not (?:listed|known|valid|recogni[sz]ed|a valid|in\b)|no longer)"
)
_WRONG = (
    r"(?:unknown|no such|invalid|bad|illegal|non-?existent|undeliverable|unrouteable|unrecogni[sz]ed|no"
    r"|not a (?:valid|known))"
)
_KIND = r"(?:or illegal|virtual|local|final|destination|delivery|mail|e-?mail|system|remote)"
# Subject and detail of the code, and words for it; the first that fits counts.
_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "3.4",
        (
            r"message (?:is )?too (?:large|big)|too large a message|mesg ?too ?big",
            r"(?:message|mail|size).{0,30}exceeds.{0,30}(?:limit|maximum|size)|exceed\w* .{0,20}message size",
        ),
    ),
    (
        "2.2",
        (
            r"(?:mail ?box|folder|inbox|user|account|maildrop|disk|recipient).{0,40}\bfull\b|mailbox size limit",
            r"(?:over|exceed\w*|out of).{0,24}(?:quota|space|storage|allowed size)",
            r"(?:mail ?box|user|account).{0,40}(?:over|exceed\w*).{0,20}(?:limit|size)",
            r"quota.{0,20}(?:exceeded|violation|full)|no space left",
            r"(?:not enough|insufficient) (?:system |disk )?(?:storage|space)",
        ),
    ),
    (
        "2.1",
        (
            r"(?:mailbox|account|user|recipient|address)\b.{0,40}(?:disabled|inactive|suspended|deactivated|locked)",
            r"(?:mailbox|account|user|recipient|address)\b.{0,40}(?:not active|(?:is|been) closed|not accepting)",
            r"(?:disabled|inactive|suspended|deactivated) (?:mailbox|account|user|recipient)",
        ),
    ),
    (
        "1.6",
        (
            r"(?:has|have) moved|address has changed",
            r"no longer (?:here|at this|with us|works|employed|on server|a valid|valid|in use|available|accept)",
        ),
    ),
    (
        "1.2",
        (
            r"(?:host|domain)(?:/domain)?(?: name)? (?:is )?(?:unknown|not found|not known|not reachable|found)",
            r"(?:host|domain)(?: name)? (?:does not|doesn't) exist|host .{0,60}not found|nxdomain",
            r"(?:unknown|no such|invalid|illegal) (?:mail )?(?:host|domain)|unrouteable mail domain",
            r"(?:domain is|is the domain) not reachable|name or service not known",
            r"could ?n[o']t find (?:any|a) host|can't find.{0,20}(?:host|domain)|could not find a gateway",
            r"no (?:valid )?(?:mx|mail) ?(?:record|host)|(?:dns|domain|mx).{0,20}lookup failed",
            r"all relevant mx records point to non-existent",
        ),
    ),
    (
        "7.1",
        (
            r"\bspam\b|\bblock(?:ed|list)|black ?list|\brbl\b|dnsbl|spamhaus|reputation|virus|policy|junk|rcpthosts",
            r"relay(?:ing)?\b.{0,24}(?:denied|prohibited|not (?:permitted|allowed)|disallowed)|unable to relay",
            r"access denied|not authori[sz]ed|reverse (?:dns|lookup)|\bptr\b|dmarc|\bspf\b|content (?:rejected|filter)",
            r"sender (?:verif|address rejected)|sender.{0,20}(?:denied|rejected)",
        ),
    ),
    (
        "1.1",
        (
            rf"{_WHO}s?\b.{{0,40}}{_IS_NOT}",
            rf"{_WRONG} (?:{_KIND} )*{_WHO}",
            r"no mail-?box|not (?:our|a) (?:customer|local)|does(?:n't| not) have (?:an?|any)|this user doesn",
            r"could ?(?:n't|not) be found|user (?:is )?not\b|account that you tried to reach",
        ),
    ),
    (
        "4.7",
        (
            r"retry time|time ?out exceeded|delivery (?:time )?(?:has )?expired|message expired|gave up|given up",
            r"in the queue too long|been (?:in the queue|on the queue|trying)|queue ?lifetime|too old",
            r"could not be delivered (?:for|within)|delivery attempts?.{0,20}(?:exceeded|failed for)|undelivered after",
        ),
    ),
    (
        "4.1",
        (
            r"connection (?:refused|timed out|reset)|timed? ?out|no route to host|network is unreachable",
            r"connect(?:ion)? .{0,30}failed|could not connect|unable to connect|not responding|lost connection",
        ),
    ),
    ("4.6", (r"\bloop(?:ing|s)?\b|too many (?:hops|received)",)),
)
_PATTERNS = tuple((detail, re.compile("|".join(words), re.IGNORECASE)) for detail, words in _WORDS)


def code_of(text: str, given: str = "") -> str:
    """The code for a refusal.

    Args:
        text: what the server said, or a report about it.
        given: the code the report gives; kept unless it leaves open what is wrong.

    Returns:
        The code, such as 5.1.1; "" where nothing tells.
    """
    if given and not _VAGUE.fullmatch(given):
        return given
    text = " ".join(text[:_MAX_CHARS].split())
    codes = [match for match in _CODE.finditer(text) if match[1] == (given[:1] or match[1]) and match[1] != "2"]
    for match in codes:
        if not _VAGUE.fullmatch(match[0]):
            return match[0]
    vague = given or (codes[0][0] if codes else "")
    reply = _REPLY.search(text)
    kind = vague[:1] or (reply[1] if reply is not None else "")
    detail = next((detail for detail, words in _PATTERNS if words.search(text)), "")
    if detail:
        # Who was tried for days has had temporary trouble; RFC 3463 §3.5 gives its end a permanent code.
        return f"{kind or '5'}.{detail}"
    return vague or (f"{kind}.0.0" if kind else "")


def is_refusal(text: str) -> bool:
    """Whether a text has a code, a reply or words of a refusal in it."""
    return bool(code_of(text))
