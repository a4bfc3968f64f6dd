"""The table of the owner's commands, by the names the control socket knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from posthouse.admin import (
    accounts,
    events,
    installation,
    jobs,
    keys,
    levels,
    organizations,
    oversight,
    pauses,
    suppressions,
)
from posthouse.admin.backup import backup
from posthouse.admin.doctor import doctor

Command = Callable[..., Awaitable[dict[str, Any]]]

COMMANDS: dict[str, Command] = {
    "inbox_create": accounts.create,
    "key_create": keys.create,
    "key_list": keys.listed,
    "key_revoke": keys.revoke,
    "level_set": levels.set_level,
    "organization_list": organizations.listed,
    "suppression_list": suppressions.listed,
    "suppression_add": suppressions.add,
    "suppression_lift": suppressions.lift,
    "pending": oversight.pending,
    "approve": oversight.approve,
    "reject": oversight.reject,
    "pause": pauses.pause,
    "resume": pauses.resume,
    "pause_list": pauses.listed,
    "events": events.latest,
    "undelete_list": accounts.graves,
    "undelete": accounts.bring_back,
    "reindex": installation.reindex,
    "jobs_list": jobs.troubled,
    "jobs_retry": jobs.retry,
    "backup": backup,
    "doctor": doctor,
    "whoami": installation.whoami,
}
