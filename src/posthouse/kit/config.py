"""The settings: from flags, then `POSTHOUSE_*`, then `posthouse.toml` in the data folder, then defaults.

Read once at start and handed on; nothing else reads the environment. `docs/operate/settings.md` lists them,
and a test compares.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from posthouse.kit.clock import DAY, HOUR, MINUTE, SECOND
from posthouse.kit.errors import Invalid

PREFIX = "POSTHOUSE_"
# What unmodified clients of Atomic Mail have built in; another one shuts them out.
POW_SALT = "0b980734412c292d6549110276b604ab1dea4883bd460d77d1b984adf8bca083"
# Names other systems' operators have in their environment already, honoured where ours is unset.
_ALIASES = {
    "AGENTICMAIL_API_PORT": "http_port",
    "AGENTICMAIL_MASTER_KEY": "master_key",
    "AGENTICMAIL_INBOUND_SECRET": "inbound_secret",
}
# They named the mail server that AgenticMail needed beside it; here there is none.
IGNORED = tuple(
    f"{kind}_{word}"
    for kind in ("SMTP", "IMAP", "STALWART")
    for word in ("HOST", "PORT", "USER", "PASS", "PASSWORD", "SECURE")
)
_DURATION = re.compile(r"(\d+)\s*(s|m|h|d)")
_DURATIONS = re.compile(r"\s*\d+\s*[smhd]\s*(?:,\s*\d+\s*[smhd]\s*)*")
_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_RUNG = re.compile(r"(\d+)\s*([smhd])\s*:\s*(\d+)")
_LADDER = re.compile(rf"off|\s*{_RUNG.pattern}\s*(?:,\s*{_RUNG.pattern}\s*)*")
_SIZE = re.compile(r"(\d+)\s*([KMG]?)i?B?", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# What a text has to look like, and what it is called in the sentence that refuses another.
_FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "domain": (re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"), "a domain name"),
    "public_base_url": (
        re.compile(r"|https?://[^/?#\s]+"),
        "an origin such as https://mail.example.org, without a path",
    ),
    "outbound": (re.compile(r"catch|mx|smtps?://\S+"), "catch, mx or smtp://[user:password@]host:port"),
    "signup_ladder": (_LADDER, "off, or a list of ages with numbers of people such as 1h:3,1d:5"),
    "retry_schedule": (_DURATIONS, "a list of durations such as 1m,5m,1h"),
    "max_message_size": (_SIZE, "a size such as 25MB"),
    "quota": (_SIZE, "a size such as 25MB"),
    "incoming_memory": (_SIZE, "a size such as 25MB"),
}
# What is taken off before.
_TIDY: dict[str, Callable[[Any], Any]] = {
    "domain": lambda value: str(value).strip().rstrip(".").lower(),
    "public_base_url": lambda value: str(value).rstrip("/"),
    "max_message_size": lambda value: str(value).strip(),
    "quota": lambda value: str(value).strip(),
    "incoming_memory": lambda value: str(value).strip(),
}

# Up to which age, in milliseconds, and to how many people an organisation that registered itself may have written.
Ladder = tuple[tuple[int, int], ...]
LADDER: Ladder = ((HOUR, 3), (DAY, 5), (7 * DAY, 10))

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. A name in capitals with `POSTHOUSE_` before it is the variable. Made by `load` or `of`."""

    data_dir: Path = Path("posthouse-data")
    database_url: str = ""
    http_host: str = "127.0.0.1"
    http_port: Port = 8025
    https_port: Port | None = None
    smtp_host: str = "127.0.0.1"
    smtp_port: Port = 2525
    submission_port: Port = 2587
    tls_cert: Path | None = None
    tls_key: Path | None = None
    domain: str = "agents.localhost"
    public_base_url: str = ""
    trusted_proxies: str = ""
    outbound: str = "catch"
    master_key: str = ""
    owner_email: str = ""
    inbound_secret: str = ""
    signup: Literal["loopback", "open", "off"] = "loopback"
    signup_ladder: str = "1h:3,1d:5,7d:10"
    rate_limits: Literal["on", "off"] = "on"
    pow_salt: str = POW_SALT
    pow_difficulty: Annotated[int, msgspec.Meta(ge=0, le=64)] = 4
    webhooks_allow_private: bool = False
    retry_schedule: str = "1m,5m,15m,30m,1h,2h,4h,8h"
    max_message_size: str = "25MB"
    http_connections: Count = 5_000
    http_connections_per_address: Count = 500
    smtp_connections: Count = 1_000
    smtp_connections_per_address: Count = 50
    incoming_memory: str = "64MB"
    quota: str = "1GB"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    @classmethod
    def of(cls, **values: Any) -> Settings:
        """Settings out of texts or values, checked.

        Raises:
            Invalid: a name is unknown or a value not acceptable; the field says which.
        """
        for name in values:
            if name not in cls.__struct_fields__:
                raise Invalid(f"{PREFIX}{name.upper()} is not a setting of this version", field=name)
        tidied = {name: _TIDY[name](value) if name in _TIDY else value for name, value in values.items()}
        try:
            settings = msgspec.convert(tidied, cls, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            reason, _, place = str(error).partition(" - at `$.")
            name = place.rstrip("`")
            raise Invalid(f"{PREFIX}{name.upper()}: {reason[:1].lower()}{reason[1:]}", field=name) from error
        for name, (pattern, wanted) in _FORMS.items():
            if not pattern.fullmatch(getattr(settings, name)):
                raise Invalid(f"{PREFIX}{name.upper()}: is not {wanted}", field=name)
        return settings

    def __repr__(self) -> str:
        hidden = {"master_key", "inbound_secret", "database_url", "outbound"}
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name not in hidden)
        return f"Settings({', '.join(shown)})"

    @property
    def retry_schedule_ms(self) -> tuple[int, ...]:
        """The delays between attempts; the last one repeats until the mail is five days old."""
        steps = [_DURATION.fullmatch(step.strip()) for step in self.retry_schedule.split(",")]
        return tuple(int(step[1]) * _UNITS[step[2]] for step in steps if step)

    @property
    def ladder(self) -> Ladder:
        """`signup_ladder`, the youngest age first; empty when it, or all limits, are lifted."""
        if self.signup_ladder == "off" or self.rate_limits == "off":
            return ()
        rungs = _RUNG.findall(self.signup_ladder)
        return tuple(sorted((int(count) * _UNITS[unit], int(most)) for count, unit, most in rungs))

    @property
    def max_message_bytes(self) -> int:
        """The largest mail taken in or sent."""
        return _bytes(self.max_message_size)

    @property
    def incoming_bytes(self) -> int:
        """What may be on its way in at once, by SMTP and by HTTP each: room for three of the largest mails at least."""
        return max(_bytes(self.incoming_memory), 3 * self.max_message_bytes)

    @property
    def quota_bytes(self) -> int:
        """The room of an inbox that has no quota of its own."""
        return _bytes(self.quota)

    @property
    def operator_address(self) -> str:
        """The owner's account: postmaster's mail and, while nothing leaves the machine, all outside mail."""
        return f"catch@{self.domain}"

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.data_dir / "posthouse.db"


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise NotImplementedError


def _bytes(value: str) -> int:
    match = _SIZE.fullmatch(value.strip())
    assert match is not None
    return int(match[1]) * _FACTORS[match[2].upper()]


def load(flags: dict[str, Any] | None = None) -> Settings:
    """The settings of this process.

    Args:
        flags: values given on the command line; None values say nothing.

    Raises:
        Invalid: a value is not acceptable or a name is unknown; says which and what was expected.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    default_dir = Settings().data_dir
    data_dir = Path(given.get("data_dir") or os.environ.get(PREFIX + "DATA_DIR") or default_dir)
    values: dict[str, Any] = {}
    for variable, name in _ALIASES.items():
        if os.environ.get(variable):
            values[name] = os.environ[variable]
    if os.environ.get("AGENTICMAIL_DEBUG"):
        values["log_level"] = "debug"
    file = data_dir / "posthouse.toml"
    if file.is_file():
        try:
            values |= {name.lower(): value for name, value in tomllib.loads(file.read_text("utf-8")).items()}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"{file} cannot be read: {error}") from error
    for variable, value in os.environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX):
            if name not in Settings.__struct_fields__:
                raise Invalid(f"{variable} is not a setting of this version; see docs/operate/settings.md")
            values[name] = value
    values |= given
    values["data_dir"] = data_dir
    return Settings.of(**values)
