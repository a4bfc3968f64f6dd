"""One method call: who asks, what for, with which arguments; and reading those arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posthouse.api.jmap import budget, turns
from posthouse.api.jmap.errors import MethodError, SetError
from posthouse.api.services import Services
from posthouse.kit.budget import Budget
from posthouse.kit.principal import Principal

CORE = "urn:ietf:params:jmap:core"
MAIL = "urn:ietf:params:jmap:mail"
SUBMISSION = "urn:ietf:params:jmap:submission"
VACATION = "urn:ietf:params:jmap:vacationresponse"
BLOB = "urn:ietf:params:jmap:blob"
QUOTA = "urn:ietf:params:jmap:quota"
WEBSOCKET = "urn:ietf:params:jmap:websocket"

# RFC 8620 §2; the numbers are those of the contract.
MAX_SIZE_UPLOAD = 26_214_400
MAX_CONCURRENT_UPLOAD = 4
MAX_SIZE_REQUEST = 10_485_760
MAX_CONCURRENT_REQUESTS = 8
MAX_CALLS_IN_REQUEST = 32
MAX_OBJECTS_IN_GET = 500
MAX_OBJECTS_IN_SET = 500
MAX_CREATED_IDS = MAX_OBJECTS_IN_SET * MAX_CALLS_IN_REQUEST

MAX_INT = 2**53 - 1  # RFC 8620 §1.3
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")  # RFC 8620 §1.2

Json = dict[str, Any]
Answer = list[tuple[str, Json]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and for which accounts: a credential opens one.

    Attributes:
        accounts: id → address of each account it opens; the first is the primary one.
        needs_account_id: an ordinary JMAP client, held to RFC 8620 (see D8).
        base_url: the origin it came by.
    """

    principal: Principal
    accounts: Mapping[str, str]
    base_url: str
    needs_account_id: bool = False

    @property
    def account_id(self) -> str:
        """The primary account."""
        return next(iter(self.accounts))

    @property
    def address(self) -> str:
        """The primary account's address."""
        return self.accounts[self.account_id]

    def find(self, named: str) -> str | None:
        """The account's id by its id or its address; None when it is none of the caller's."""
        if named in self.accounts:
            return named
        return next((id_ for id_, address in self.accounts.items() if address == named.lower()), None)


@dataclass(slots=True)
class Call:
    """A method call being answered.

    Attributes:
        account_id: the account it is about.
        created_ids: creation id → id, over all types, of the whole request (RFC 8620 §5.3).
        budget: what the whole request may use.
    """

    services: Services
    caller: Caller
    method: str
    args: Json
    using: frozenset[str]
    account_id: str = ""
    created_ids: dict[str, str] = field(default_factory=dict)
    budget: Budget = field(default_factory=budget.new)
    aside: turns.Work = field(default_factory=turns.alone)

    @property
    def address(self) -> str:
        """The account's main address."""
        return self.caller.accounts[self.account_id]

    # -- reading arguments; each raises `MethodError("invalidArguments")`

    def get(self, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """An argument of a type; absent or null is `default`."""
        value = self.args.get(name)
        if value is None:
            return default
        # In JSON true is no number; in Python it is.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise invalid(name, "it is of the wrong type")
        return value

    def uint(self, name: str, default: int | None = None) -> int | None:
        """A number that is not negative."""
        value = self.get(name, int)
        if value is None:
            return default
        if not 0 <= value <= MAX_INT:
            raise invalid(name, "expected an unsigned integer")
        return int(value)

    def strings(self, name: str) -> list[str] | None:
        """A list of strings, or null."""
        value = self.get(name, list)
        if value is not None and not all(isinstance(each, str) for each in value):
            raise invalid(name, "expected a list of strings")
        return value  # type: ignore[no-any-return]

    def required(self, name: str, kind: type) -> Any:
        """An argument that has to be there."""
        value = self.get(name, kind)
        if value is None:
            raise invalid(name, "it is required")
        return value

    def objects(self, name: str) -> dict[str, Json]:
        """A map of objects; absent or null is empty."""
        value = self.get(name, dict, {})
        if not all(isinstance(each, dict) for each in value.values()):
            raise invalid(name, "expected a map of objects")
        return value  # type: ignore[no-any-return]

    def resolve(self, id_: str) -> str:
        """An id, or what was made under a creation id: `#name` (RFC 8620 §5.3)."""
        if id_.startswith("#"):
            return self.created_ids.get(id_[1:], id_)
        return id_


def invalid(argument: str, why: str) -> MethodError:
    """An argument is not acceptable."""
    return MethodError("invalidArguments", f"{argument}: {why}", arguments=[argument])


def is_id(value: Any) -> bool:
    """Whether a value has the form of an id; what has not names nothing."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


class Fields:
    """Reading one object of a caller's: what is of the wrong type is collected and told together."""

    def __init__(self, value: Json, allowed: frozenset[str]) -> None:
        self.value = value
        self.bad: list[str] = [name for name in value if name not in allowed]

    def get(self, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """A property of a type; absent or null is `default`."""
        value = self.value.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            self.fail(name)
            return default
        return value

    def fail(self, name: str) -> None:
        """The property is not acceptable."""
        if name not in self.bad:
            self.bad.append(name)

    def check(self, why: str = "unknown, of the wrong type or not acceptable") -> None:
        """Raises `SetError("invalidProperties")` when anything failed."""
        if self.bad:
            raise SetError("invalidProperties", f"{', '.join(self.bad)}: {why}", self.bad)
