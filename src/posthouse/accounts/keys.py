"""API keys: making one, and turning one that is presented into a `Principal`."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.kit.errors import Forbidden, Invalid, Unauthenticated
from posthouse.kit.ids import new_id, new_secret, same, secret_digest
from posthouse.kit.principal import LEVELS, Principal
from posthouse.store import keys, organizations
from posthouse.store.database import Database, Tx
from posthouse.store.keys import ApiKey
from posthouse.store.memo import Memo

# How each surface's keys begin, so that people and secret scanners recognise them.
PREFIXES = {
    "agentmail": "am_",
    "mailgi": "amb_",
    "agenticmail": "ak_",
    "commune": "comm_",
    "atomicmail": "atm_",
    "owner": "mk_",
}
# Octets of randomness: AgenticMail's clients know 48 hex digits, Commune's 64.
_RANDOM_BYTES = {"agenticmail": 24}
_SHOWN_PREFIX = 12

# Last use is written at most so often.
TOUCH_EVERY_MS = 60_000


async def create(
    tx: Tx,
    *,
    organization_id: str,
    surface: str,
    at: int,
    name: str = "",
    pod_id: str | None = None,
    account_id: str | None = None,
    scopes: Sequence[str] | None = None,
    level: str | None = None,
    expires_at: int | None = None,
    is_owner: bool = False,
    creator: Principal | None = None,
) -> tuple[ApiKey, str]:
    """Make a key; answers it and the secret, which is shown this once.

    Args:
        creator: the key it is made with; it cannot give what it lacks.

    Raises:
        Forbidden: the creator lacks one of the scopes (reason `permission_escalation`), or lacks some and
            names none (`unrestricted_key_required`).
        Invalid: an expiry in the past, an unknown level.
    """
    if level is not None and level not in LEVELS:
        raise Invalid(f"the levels are {', '.join(LEVELS)}", field="level")
    if expires_at is not None and expires_at <= at:
        raise Invalid("the expiry lies in the past", field="expires_at")
    if creator is not None and not creator.is_owner:
        wanted = None if scopes is None else frozenset(scopes)
        if creator.scopes is not None and wanted is None:
            raise Forbidden(
                "a restricted key makes only keys whose permissions are named", reason="unrestricted_key_required"
            )
        if creator.scopes is not None and wanted is not None and wanted - creator.scopes:
            raise Forbidden("a key cannot give rights it lacks", reason="permission_escalation")
        if creator.level is not None and (level is None or LEVELS.index(level) > LEVELS.index(creator.level)):
            level = creator.level
    secret = new_secret(PREFIXES[surface], _RANDOM_BYTES.get(surface, 32))
    key = ApiKey(
        id=new_id(),
        organization_id=organization_id,
        pod_id=pod_id,
        account_id=account_id,
        surface=surface,
        name=name,
        prefix=secret[:_SHOWN_PREFIX],
        digest=secret_digest(secret),
        scopes=None if scopes is None else sorted(set(scopes)),
        level=level,
        is_owner=is_owner,
        expires_at=expires_at,
        used_at=None,
        created_at=at,
    )
    await keys.add(tx, key)
    return key, secret


def principal_of(key: ApiKey) -> Principal:
    """Who asks when this key is presented."""
    return Principal(
        organization_id=key.organization_id,
        pod_id=key.pod_id,
        account_id=key.account_id,
        key_id=key.id,
        surface=key.surface,
        scopes=None if key.scopes is None else frozenset(key.scopes),
        level=key.level,
        is_owner=key.is_owner,
    )


class KeyRing:
    """Checks keys, and remembers at leisure when each was last used."""

    def __init__(self, db: Database, master_key: str = "") -> None:
        """`master_key` is the owner's key when it comes from the settings; only its digest is held."""
        self._db = db
        self._master = secret_digest(master_key) if master_key else None
        self._known: Memo[str, tuple[ApiKey, Principal]] = Memo(db, keys.KEYS, size=10_000)
        self._touched: dict[str, int] = {}
        self._pending: dict[str, int] = {}

    async def check(self, secret: str, at: int) -> Principal:
        """The bearer of a key, of whatever surface: the door decides whether it takes that one.

        Raises:
            Unauthenticated: unknown or expired (one sentence for both: it tells a thief nothing).
        """
        digest = secret_digest(secret)
        if self._master is not None and same(digest, self._master):
            organization = await self._db.read(organizations.first)
            if organization is None:
                raise Unauthenticated("the installation has not been initialised", reason="unknown_key")
            return Principal(organization.id, is_owner=True)
        key, principal = await self._known.get(digest, lambda: self._read(digest)) or (None, None)
        # The index found it by its digest; comparing again in constant time costs nothing.
        if (
            key is None
            or principal is None
            or not same(key.digest, digest)
            or (key.expires_at is not None and key.expires_at <= at)
        ):
            raise Unauthenticated("the API key is unknown or has expired", reason="unknown_key")
        if at - self._touched.get(key.id, key.used_at or 0) >= TOUCH_EVERY_MS:
            self._touched[key.id] = at
            self._pending[key.id] = at
        return principal

    async def _read(self, digest: str) -> tuple[ApiKey, Principal] | None:
        key = await self._db.read(lambda tx: keys.by_digest(tx, digest))
        return None if key is None else (key, principal_of(key))

    async def flush(self) -> None:
        """Write the uses noted since the last call."""
        pending, self._pending = self._pending, {}
        if len(self._touched) > 100_000:
            self._touched.clear()
        if pending:

            async def unit(tx: Tx) -> None:
                for key_id, at in pending.items():
                    await keys.touch(tx, key_id, at)

            await self._db.write(unit)
