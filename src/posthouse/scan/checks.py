"""Whether a value that looks like something is it: check digits, and what tells a secret from a word.

Check digits are python-stdnum's, one module a number and country.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from importlib import import_module

from posthouse.scan.passages import of_base64


def _number(module: str) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        return bool(import_module(f"stdnum.{module}").is_valid(value))

    return check


def is_card(value: str) -> bool:
    """A payment card: an issuer's range, a length it issues, Luhn's digit, not one digit again and again."""
    digits = re.sub(r"\D", "", value)
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 3 or _ISSUERS.match(digits) is None:
        return False
    total = 0
    for index, char in enumerate(reversed(digits)):
        digit = int(char) * (2 if index % 2 else 1)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


# ISO/IEC 7812 ranges of the large networks, each with the lengths it issues.
_ISSUERS = re.compile(
    r"4\d{12}(?:\d{3})?(?:\d{3})?\Z|(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)\d+\Z|3[47]\d{13}\Z|"
    r"(?:6011|64[4-9]|65)\d{12,15}\Z|3(?:0[0-5]|[689])\d{11,14}\Z|35(?:2[89]|[3-8])\d{12,15}\Z|62\d{14,17}\Z"
)


def is_ssn(value: str) -> bool:
    """A social security number that the agency may have issued (areas, groups and serials it never used are out)."""
    digits = re.sub(r"\D", "", value)
    if len(digits) != 9 or digits in ("078051120", "219099999", "123456789"):
        return False
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000" and len(set(digits)) > 2


_PLACEHOLDER = re.compile(
    r"(?i)x{4,}|\*{3,}|\.{3}|…|•{3,}|#{4,}|<[^<>]*>|\{\{|\$\{|\}\}|%[A-Z_]+%|\byour[_ -]|[_-]here\b|example|"
    r"placeholder|redacted|changeme|change_me|dummy|sample|foobar|insert[_ -]|123456789|abcdefgh|\btodo\b|"
    r"\bnull\b|\bnone\b|\bundefined\b|\btrue\b|\bfalse\b|process\.env|os\.environ|secrets\.|getenv|vault:"
)


def is_placeholder(value: str) -> bool:
    """Whether a value stands for another: `<your key>`, `xxxx`, `${TOKEN}`, one character again and again."""
    return _PLACEHOLDER.search(value) is not None or len(set(value)) <= max(2, len(value) // 12)


def entropy(value: str) -> float:
    """Bits a character, by how often each occurs in the value itself."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values()) if size else 0.0


def is_token(value: str) -> bool:
    """A value made by a machine: no placeholder, and not made of few characters."""
    return not is_placeholder(value) and entropy(value) >= 3.0


def is_random(value: str) -> bool:
    """A long value made by a machine, with letters and digits mixed."""
    kinds = sum(any(test(char) for char in value) for test in (str.islower, str.isupper, str.isdigit))
    return is_token(value) and kinds >= 2 and entropy(value) >= 3.3


_WORDS_OF_ADVICE = re.compile(
    r"(?i)(?:must|should|can|will|needs?|is|are|was|has|have|may|not|and|or|for|to|the|that|with|at|least|required|"
    r"optional|reset|expired?|expires|incorrect|invalid|wrong|correct|protected|policy|field|hint|manager|changed?|"
    r"please|forgotten|sent|set|below|above|attached|same|usual|here|there|only|case|sensitive)[.,;:!?)]*"
)


def is_password(value: str) -> bool:
    """A password somebody set: not a word of a sentence about passwords."""
    value = value.strip("\"'`.,;:()[]")
    if not 4 <= len(value) <= 200 or is_placeholder(value) or _WORDS_OF_ADVICE.fullmatch(value):
        return False
    has_digit = any(char.isdigit() for char in value)
    has_letter = any(char.isalpha() for char in value)
    has_sign = any(not char.isalnum() for char in value)
    mixed = value.lower() != value and not value.istitle() and not value.isupper()
    return (
        (has_digit and has_letter)
        or (has_sign and len(value) >= 8 and value.count("-") != 1)
        or mixed
        or (has_digit and len(value) >= 6)
    )


def is_private_key(value: str) -> bool:
    """What stands behind a BEGIN line is key material, not three dots."""
    body = re.sub(r"\s", "", value)
    return len(body) >= 32 and not is_placeholder(body[:64])


def is_seed_phrase(value: str) -> bool:
    """Twelve words, most of them different, each as long as such lists have them."""
    words = re.findall(r"[A-Za-z]+", value)[:12]
    return len(words) == 12 and len(set(words)) >= 9 and all(3 <= len(word) <= 8 for word in words)


def is_jwt(value: str) -> bool:
    """The first part of a token is an object that names an algorithm."""
    head = of_base64(value.partition(".")[0])
    return head.startswith("{") and '"alg"' in head


def is_iban(value: str) -> bool:
    """An account number whose check digits and country's form are right; what follows it may be other words."""
    iban = import_module("stdnum.iban")
    words = value.replace("-", " ").split()
    return any(iban.is_valid("".join(words[:count])) for count in range(min(len(words), 10), 0, -1))


def is_credentials(value: str) -> bool:
    """`user:password` in base64, or in the clear."""
    said = value if ":" in value else of_base64(value)
    user, colon, password = said.partition(":")
    password = password.strip("\"'")
    return bool(colon and user and len(password) >= 4 and not is_placeholder(password))


def is_pair(value: str) -> bool:
    """`name / password`."""
    return is_password(value.rpartition("/")[2].strip())


_COMMON_IN_EXAMPLES = frozenset(["password", "pass", "pwd", "pw", "secret", "passwd", "token", "key", "port", "xxx"])


def is_url_password(value: str) -> bool:
    """The password in an address: not the word for it, not a variable."""
    stands_for_it = value.lower() in _COMMON_IN_EXAMPLES or value.startswith(("$", "<", "%"))
    return not stands_for_it and not is_placeholder(value)


def are_codes(value: str) -> bool:
    """Several codes, each with a digit."""
    codes = re.findall(r"[A-Za-z0-9]{4,8}[ -]?[A-Za-z0-9]{4,8}", value)
    return len(codes) >= 3 and sum(any(char.isdigit() for char in code) for code in codes) * 3 >= len(codes) * 2


def is_document(value: str) -> bool:
    """The number of a document: most of it digits, five at least, and no year alone."""
    digits = sum(char.isdigit() for char in value)
    return digits >= 5 and digits * 2 >= len(value.replace(" ", "").replace("-", "")) and not is_placeholder(value)


_DIGIT_WORDS = {"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
                "eight": "8", "nine": "9"}  # fmt: skip


def is_spelled_ssn(value: str) -> bool:
    """A social security number whose digits are words, or stand apart."""
    return is_ssn("".join(_DIGIT_WORDS.get(word, word) for word in re.findall(r"[a-z]+|\d", value.lower())))


_SECRET_NAME = re.compile(r"(?i)pass|pwd|secret|token|key|credential|auth|dsn|_url|_uri|database|private|salt")


def is_env_block(value: str) -> bool:
    """Settings of which one is named as a secret is, and has a value."""
    for name, setting in re.findall(r"([A-Z][A-Z0-9_]{2,60})[ \t]*=[ \t]*[\"']?([^\s\"']+)", value):
        if _SECRET_NAME.search(name) and not is_placeholder(setting):
            return True
    return False


def is_single_label(value: str) -> bool:
    """A host of one word, as only a private network has: no domain, no number."""
    host = value.lower().partition("://")[2].partition("/")[0].partition(":")[0]
    return (
        bool(host)
        and "." not in host
        and not host.isdigit()
        and host not in ("localhost", "host", "hostname", "server")
    )


CHECKS: dict[str, Callable[[str], bool]] = {
    "card": is_card,
    "ssn": is_ssn,
    "token": is_token,
    "random": is_random,
    "password": is_password,
    "private_key": is_private_key,
    "seed_phrase": is_seed_phrase,
    "jwt": is_jwt,
    "iban": is_iban,
    "credentials": is_credentials,
    "credentials_slash": is_pair,
    "url_password": is_url_password,
    "codes": are_codes,
    "document": is_document,
    "ssn_words": is_spelled_ssn,
    "env_block": is_env_block,
    "single_label": is_single_label,
    "aba": _number("us.rtn"),
    "bic": _number("bic"),
    "nhs": _number("gb.nhs"),
    "dni": _number("es.dni"),
    "nie": _number("es.nie"),
    "sin": _number("ca.sin"),
    "cpf": _number("br.cpf"),
    "pan": _number("in_.pan"),
    "aadhaar": _number("in_.aadhaar"),
    "codice_fiscale": _number("it.codicefiscale"),
    "nir": _number("fr.nir"),
    "idnr": _number("de.idnr"),
    "bsn": _number("nl.bsn"),
    "pesel": _number("pl.pesel"),
    "personnummer": _number("se.personnummer"),
    "cpr": _number("dk.cpr"),
    "fodselsnummer": _number("no.fodselsnummer"),
    "hetu": _number("fi.hetu"),
    "tfn": _number("au.tfn"),
    "curp": _number("mx.curp"),
    "avs": _number("ch.ssn"),
    "nn": _number("be.nn"),
    "ppsn": _number("ie.pps"),
    "btc": _number("bitcoin"),
    "itin": _number("us.itin"),
    "ein": _number("us.ein"),
}
