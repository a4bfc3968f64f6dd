"""The settings: from flags, then `POSTHOUSE_*`, then `posthouse.toml` in the data folder, then defaults.

Read once at start and handed on; nothing else reads the environment. `docs/operate/settings.md` lists them,
and a test compares.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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
_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_SIZE = re.compile(r"(\d+)\s*([KMG]?)i?B?", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Settings(BaseSettings):
    """All settings. A name in capitals with `POSTHOUSE_` before it is the variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Path("posthouse-data")
    database_url: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = Field(8025, ge=0, le=65535)
    https_port: int | None = Field(None, ge=0, le=65535)
    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(2525, ge=0, le=65535)
    submission_port: int = Field(2587, ge=0, le=65535)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    domain: str = "agents.localhost"
    public_base_url: str = ""
    trusted_proxies: str = ""
    outbound: str = "catch"
    master_key: str = Field("", repr=False)
    owner_email: str = ""
    inbound_secret: str = Field("", repr=False)
    signup: Literal["loopback", "open", "off"] = "loopback"
    rate_limits: Literal["on", "off"] = "on"
    pow_salt: str = POW_SALT
    pow_difficulty: int = Field(4, ge=0, le=64)
    webhooks_allow_private: bool = False
    retry_schedule: str = "1m,5m,15m,30m,1h,2h,4h,8h"
    max_message_size: str = "25MB"
    quota: str = "1GB"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    @field_validator("domain")
    @classmethod
    def _domain(cls, value: str) -> str:
        value = value.strip().rstrip(".").lower()
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", value):
            raise ValueError("is not a domain name")
        return value

    @field_validator("public_base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/?#\s]+", value.rstrip("/")):
            raise ValueError("is an origin such as https://mail.example.org, without a path")
        return value.rstrip("/")

    @field_validator("outbound")
    @classmethod
    def _outbound(cls, value: str) -> str:
        if value not in ("catch", "mx") and not re.fullmatch(r"smtps?://\S+", value):
            raise ValueError("is catch, mx or smtp://[user:password@]host:port")
        return value

    @field_validator("retry_schedule")
    @classmethod
    def _schedule(cls, value: str) -> str:
        if not all(_DURATION.fullmatch(step.strip()) for step in value.split(",")):
            raise ValueError("is a list of durations such as 1m,5m,1h")
        return value

    @field_validator("max_message_size", "quota")
    @classmethod
    def _size(cls, value: str) -> str:
        if not _SIZE.fullmatch(value.strip()):
            raise ValueError("is a size such as 25MB")
        return value

    @property
    def retry_schedule_ms(self) -> tuple[int, ...]:
        """The delays between attempts; the last one repeats until the mail is five days old."""
        steps = [_DURATION.fullmatch(step.strip()) for step in self.retry_schedule.split(",")]
        return tuple(int(step[1]) * _UNITS[step[2]] for step in steps if step)

    @property
    def max_message_bytes(self) -> int:
        """The largest mail taken in or sent."""
        return _bytes(self.max_message_size)

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
    default_dir = Settings.model_fields["data_dir"].default
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
            if name not in Settings.model_fields:
                raise Invalid(f"{variable} is not a setting of this version; see docs/operate/settings.md")
            values[name] = value
    values |= given
    values["data_dir"] = data_dir
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "a setting"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise Invalid(f"{PREFIX}{name.upper()}: {reason}", field=name) from error
