"""Signed tokens of a short life: challenge, session, capability (JWT, RFC 7519, signed with Ed25519).

Each kind has its own audience: one presented where another belongs is no token at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from posthouse.kit.clock import MINUTE, SECOND
from posthouse.kit.errors import Unauthenticated
from posthouse.kit.ids import new_secret
from posthouse.store import secrets
from posthouse.store.database import Database

Kind = Literal["challenge", "session", "capability"]

AUDIENCES: dict[Kind, str] = {"challenge": "session", "session": "auth", "capability": "jmap"}
LIFETIMES_MS: dict[Kind, int] = {"challenge": 10 * MINUTE, "session": 60 * MINUTE, "capability": 2 * MINUTE}
_ALGORITHM = "Ed25519"  # RFC 9864 §2.2: EdDSA (RFC 8037) with its curve named
_SECRET = "jwt"  # noqa: S105 - its name, not the secret
_MAX_CHARS = 4_096
_REMEMBERED = 4_096


class Tokens:
    """Issues and reads tokens with the installation's key. `await Tokens.open(db, at)`."""

    def __init__(self, key: OKPKey, issuer: str) -> None:
        self._key = key
        self._issuer = issuer
        self._kid = key.thumbprint()
        # Checking a signature costs more than the rest of many a request: what was good stays good till it ends.
        self._good: dict[str, dict[str, Any]] = {}

    @classmethod
    async def open(cls, db: Database, issuer: str, at: int) -> Tokens:
        """With the key the database keeps, made on the first call: every process signs with the same."""
        made = msgspec.json.encode(OKPKey.generate_key("Ed25519").as_dict(private=True)).decode()
        kept = await db.write(lambda tx: secrets.get_or_add(tx, _SECRET, made, at))
        return cls(OKPKey.import_key(msgspec.json.decode(kept)), issuer)

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK set (RFC 7517 §5)."""
        public: dict[str, Any] = dict(self._key.as_dict(private=False))
        return {"keys": [public | {"kid": self._kid, "use": "sig", "alg": _ALGORITHM}]}

    def issue(self, kind: Kind, claims: Mapping[str, Any], at: int) -> str:
        """A token of a kind. `jti`, `iat`, `exp`, `iss` and `aud` are set here."""
        whole = {
            "iss": self._issuer,
            "aud": AUDIENCES[kind],
            "typ": kind,
            "iat": at // SECOND,
            "exp": (at + LIFETIMES_MS[kind]) // SECOND,
            "jti": new_secret("", 16),
            **claims,
        }
        header = {"alg": _ALGORITHM, "kid": self._kid, "typ": "JWT"}
        return jwt.encode(header, whole, self._key, algorithms=[_ALGORITHM])

    def read(self, token: str, kind: Kind, at: int) -> dict[str, Any]:
        """The claims of a token of this kind.

        Raises:
            Unauthenticated: forged, of another kind (reason `invalid_token`), or over (reason `token_expired`).
        """
        claims = self._good.get(token)
        if claims is None:
            claims = self._check(token)
        if claims.get("aud") != AUDIENCES[kind] or claims.get("typ") != kind or claims.get("iss") != self._issuer:
            raise Unauthenticated(f"this is not a {kind} token", reason="invalid_token")
        expires_s = claims.get("exp")
        if not isinstance(expires_s, int) or expires_s * SECOND <= at:
            raise Unauthenticated(f"the {kind} token has expired", reason="token_expired")
        return claims

    def _check(self, token: str) -> dict[str, Any]:
        if len(token) > _MAX_CHARS:
            raise Unauthenticated("the token is not one of ours", reason="invalid_token")
        try:
            # The algorithm is ours to choose, never the token's (RFC 8725 §3.1).
            claims: dict[str, Any] = dict(jwt.decode(token, self._key, algorithms=[_ALGORITHM]).claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise Unauthenticated("the token is not one of ours", reason="invalid_token") from error
        if len(self._good) >= _REMEMBERED:
            self._good.clear()
        self._good[token] = claims
        return claims
