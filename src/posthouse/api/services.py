"""The parts of the house that every surface is handed."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.accounts.challenges import Challenges
from posthouse.accounts.directory import Directory
from posthouse.accounts.keys import KeyRing
from posthouse.accounts.leases import Leases
from posthouse.accounts.tokens import Tokens
from posthouse.api.limits import OpenStreams, RateLimiter
from posthouse.api.links import Links
from posthouse.events.streams import Streams
from posthouse.kit.clock import Clock
from posthouse.kit.config import Settings
from posthouse.net.dialer import GuardedDialer
from posthouse.outbound.newcomers import Registrar
from posthouse.outbound.scheduled import DraftSender
from posthouse.outbound.submission import Submitter
from posthouse.store.blobfiles import Blobs
from posthouse.store.database import Database


@dataclass(frozen=True, slots=True)
class Services:
    """What `app.House` hands to every surface."""

    settings: Settings
    db: Database
    blobs: Blobs
    keys: KeyRing
    tokens: Tokens
    challenges: Challenges
    leases: Leases
    directory: Directory
    submitter: Submitter
    dialer: GuardedDialer
    links: Links
    limiter: RateLimiter
    open_streams: OpenStreams
    clock: Clock
    drafts: DraftSender
    streams: Streams
    registrar: Registrar
    hostname: str
