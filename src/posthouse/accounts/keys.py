"""API keys: making one, and turning one that is presented into a `Principal`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from posthouse.accounts import allowance
from posthouse.accounts.accounts import note_organization
from posthouse.accounts.reach import Reach
from posthouse.kit.errors import Forbidden, Invalid, NotFound, Unauthenticated
from posthouse.kit.ids import new_id, new_secret, same, secret_digest
from posthouse.kit.pages import Page, PageRequest, cut
from posthouse.kit.principal import LEVELS, Principal, tighter
from posthouse.store import keys, organizations
from posthouse.store.accounts import Account
from posthouse.store.database import Database, Tx
from posthouse.store.keys import ApiKey
from posthouse.store.memo import Memo

# How keys begin that clients of a service know, so that people and secret scanners recognise them; others begin with
# the name of their surface.
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
    rights: Sequence[str] | None = None,
    level: str | None = None,
    expires_at: int | None = None,
    is_owner: bool = False,
    creator: Principal | None = None,
) -> tuple[ApiKey, str]:
    """Make a key; answers it and the secret, which is shown this once.

    Args:
        expires_at: None is the creator's own expiry.
        creator: the key it is made with; it cannot give what it lacks, nor a longer life than its own.

    Raises:
        Forbidden: the creator lacks one of the rights or ends sooner (reason `permission_escalation`), or lacks
            some rights and names none (`unrestricted_key_required`).
        Invalid: an expiry in the past, an unknown level.
        OverQuota: the creator's organisation may have no more (`allowance.check`; or Forbidden).
    """
    if level is not None and level not in LEVELS:
        raise Invalid(f"the levels are {', '.join(LEVELS)}", field="level")
    if expires_at is not None and expires_at <= at:
        raise Invalid("the expiry lies in the past", field="expires_at")
    if creator is not None and not creator.is_owner:
        await allowance.check(tx, organization_id, "keys")
        wanted = None if rights is None else frozenset(rights)
        if creator.rights is not None and wanted is None:
            raise Forbidden(
                "a restricted key makes only keys whose permissions are named", reason="unrestricted_key_required"
            )
        if creator.rights is not None and wanted is not None and wanted - creator.rights:
            raise Forbidden("a key cannot give rights it lacks", reason="permission_escalation")
        level = tighter(level, creator.level)
        expires_at = await _within_creators_life(tx, creator, expires_at)
    secret = new_secret(PREFIXES.get(surface, f"{surface}_"), _RANDOM_BYTES.get(surface, 32))
    key = ApiKey(
        id=new_id(),
        organization_id=organization_id,
        pod_id=pod_id,
        account_id=account_id,
        surface=surface,
        name=name,
        prefix=secret[:_SHOWN_PREFIX],
        digest=secret_digest(secret),
        rights=None if rights is None else sorted(set(rights)),
        level=level,
        is_owner=is_owner,
        expires_at=expires_at,
        used_at=None,
        created_at=at,
    )
    await keys.add(tx, key)
    await note_organization(tx, organization_id, "ApiKey", key.id, "created", at)
    return key, secret


async def page(tx: Tx, within: Reach, surface: str, asked: PageRequest) -> Page[ApiKey]:
    """A surface's keys to what lies within a reach."""
    found = await keys.page_of_surface(
        tx, within.organization_id, surface, pod_id=within.pod_id, account_id=within.account_id, after=asked.after,
        ascending=asked.ascending, limit=asked.size + 1,
    )  # fmt: skip
    return cut(found, asked.size)


async def find(tx: Tx, within: Reach, surface: str, key_id: str) -> ApiKey:
    """A surface's key within a reach; the owner's is found by nobody. Raises `NotFound`."""
    key = await keys.get(tx, within.organization_id, key_id)
    if key is None or key.is_owner or key.surface != surface or not within.has_bound(key.pod_id, key.account_id):
        raise NotFound("there is no such key", field="api_key_id")
    return key


async def revoke(tx: Tx, organization_id: str, key_id: str, at: int) -> bool:
    """Make a key worthless from now on; False when the organisation has no such key."""
    if not await keys.delete(tx, organization_id, key_id):
        return False
    await note_organization(tx, organization_id, "ApiKey", key_id, "destroyed", at)
    return True


async def _within_creators_life(tx: Tx, creator: Principal, expires_at: int | None) -> int | None:
    own = await keys.get(tx, creator.organization_id, creator.key_id) if creator.key_id is not None else None
    if own is None or own.expires_at is None:
        return expires_at
    if expires_at is not None and expires_at > own.expires_at:
        raise Forbidden(
            "a key cannot outlive the key it is made with", field="expires_at", reason="permission_escalation"
        )
    return own.expires_at if expires_at is None else expires_at


async def change(
    tx: Tx, changer: Principal, key: ApiKey, *, name: str | None, rights: Sequence[str] | None, at: int
) -> ApiKey:
    """Rename or restrict a key within the changer's reach.

    Args:
        name, rights: None leaves what is there.

    Raises:
        Forbidden: the key has, or would get, a right or a looser level that the changer lacks (reason
            `permission_escalation`).
    """
    _check_may_change(changer, key)
    if changer.rights is not None and set(rights or ()) - changer.rights:
        raise Forbidden("a key cannot give rights it lacks", reason="permission_escalation")
    changed = replace(
        key,
        name=key.name if name is None else name,
        rights=key.rights if rights is None else sorted(set(rights)),
    )
    await keys.update(tx, key.id, name=changed.name, rights=changed.rights)
    await note_organization(tx, key.organization_id, "ApiKey", key.id, "updated", at)
    return changed


async def revoke_by(tx: Tx, changer: Principal, key: ApiKey, at: int) -> None:
    """Revoke a key within the changer's reach. Raises `Forbidden` as `change` does."""
    _check_may_change(changer, key)
    await revoke(tx, key.organization_id, key.id, at)


def _check_may_change(changer: Principal, key: ApiKey) -> None:
    """A key changes only one that it could have made."""
    has_more = changer.rights is not None and (key.rights is None or set(key.rights) - changer.rights)
    is_looser = changer.level is not None and tighter(changer.level, key.level) != key.level
    if not changer.is_owner and (has_more or is_looser):
        raise Forbidden("the key has rights that this one lacks", reason="permission_escalation")


async def of_account(tx: Tx, account: Account, key_id: str, at: int) -> ApiKey | None:
    """A key that is bound to this account, unless it is gone or has expired."""
    key = await keys.get(tx, account.organization_id, key_id)
    if key is None or key.account_id != account.id or (key.expires_at is not None and key.expires_at <= at):
        return None
    return key


async def is_known(tx: Tx, key_id: str) -> bool:
    """Whether a key is there still, whoever asks."""
    return await keys.exists(tx, key_id)


def principal_of(key: ApiKey) -> Principal:
    """Who asks when this key is presented."""
    return Principal(
        organization_id=key.organization_id,
        pod_id=key.pod_id,
        account_id=key.account_id,
        key_id=key.id,
        surface=key.surface,
        rights=None if key.rights is None else frozenset(key.rights),
        level=key.level,
        is_owner=key.is_owner,
    )


async def bearer_later(
    tx: Tx, organization_id: str, key_id: str | None, *, surface: str, level: str | None, at: int
) -> Principal:
    """Who asks when what was asked for earlier is done now: with the key's rights of today.

    Args:
        key_id: None where it was no key: the owner, who needs none.
        level: the strictest level of those who wrote what is to be done; it tightens the key's.

    Raises:
        Unauthenticated: the key has been revoked or has expired, and what it had planned with it (`unknown_key`).
    """
    if key_id is None:
        return Principal(organization_id, surface=surface, level=level)
    key = await keys.get(tx, organization_id, key_id)
    if key is None or (key.expires_at is not None and key.expires_at <= at):
        raise Unauthenticated("the key this was asked for with has been revoked or has expired", reason="unknown_key")
    return replace(principal_of(key), level=tighter(key.level, level))


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
