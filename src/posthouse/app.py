"""The one place where the parts are put together: a `House` with its doors and workers.

Nothing else in the package makes a database, a worker or a server. Tests build a `House` from settings as the
command line does.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from posthouse.accounts import domain_proof
from posthouse.accounts.challenges import Challenges
from posthouse.accounts.directory import Directory
from posthouse.accounts.domain_proof import Verifier
from posthouse.accounts.keys import KeyRing
from posthouse.accounts.leases import Leases
from posthouse.accounts.tokens import Tokens
from posthouse.api import connection
from posthouse.api.dispatcher import Dispatcher, frame_octets
from posthouse.api.http import HttpServer
from posthouse.api.jmap import pushing
from posthouse.api.limits import OpenStreams, RateLimiter
from posthouse.api.links import Links
from posthouse.api.services import Services
from posthouse.api.surfaces import SURFACES
from posthouse.events.pushes import PushWorker
from posthouse.events.streams import Streams
from posthouse.events.webhooks import Dialect, WebhookWorker
from posthouse.inbound.authenticate import Authenticator
from posthouse.inbound.ingest import Ingester
from posthouse.inbound.local import LocalCourier
from posthouse.inbound.spool import WAKE as SPOOL_WAKE
from posthouse.inbound.vacation import INTERVAL_MS as VACATION_INTERVAL_MS
from posthouse.inbound.vacation import JOB as VACATION_JOB
from posthouse.inbound.vacation import VacationResponder
from posthouse.jobs import JobKind, JobRunner
from posthouse.kit import log, private
from posthouse.kit.clock import DAY, MINUTE, Clock, now
from posthouse.kit.config import Settings
from posthouse.kit.errors import Conflict, Invalid
from posthouse.kit.ids import new_secret
from posthouse.kit.pace import Pace
from posthouse.kit.worker import Work, Worker
from posthouse.mail import indexing
from posthouse.mail.filing import GRAVEYARD_DAYS, INDEX_JOB
from posthouse.net import descriptors, tls
from posthouse.net.dialer import GuardedDialer
from posthouse.net.dns import DnsResolver
from posthouse.net.register import Register, is_among
from posthouse.net.room import Room
from posthouse.outbound import asking, holding
from posthouse.outbound.asking import Asker, OwnerMail
from posthouse.outbound.courier import Courier
from posthouse.outbound.delivery import DeliveryWorker
from posthouse.outbound.newcomers import Registrar
from posthouse.outbound.reports import Reporter
from posthouse.outbound.request import Limits
from posthouse.outbound.route import Router
from posthouse.outbound.scheduled import WAKE as PLANS_WAKE
from posthouse.outbound.scheduled import DraftSender
from posthouse.outbound.signing import Signer
from posthouse.outbound.submission import WAKE as DELIVERIES_WAKE
from posthouse.outbound.submission import Submitter
from posthouse.smtp.client import MxCourier, SmarthostCourier
from posthouse.smtp.doors import InboundDoor, SubmissionDoor
from posthouse.smtp.server import Limits as SmtpLimits
from posthouse.smtp.server import SmtpServer
from posthouse.store import (
    challenges,
    changes,
    draft_plans,
    events,
    graveyard,
    idempotency,
    jobs,
    leases,
    mailboxes,
    markings,
    newcomers,
    push,
    secrets,
    spool,
    submissions,
    uploads,
    vacations,
    webhooks,
)
from posthouse.store.blobfiles import Blobs, LocalBlobFiles
from posthouse.store.database import Database, Tx
from posthouse.store.jobs import Job
from posthouse.store.sqlite import SqliteDatabase
from posthouse.wire.resolver import Resolver
from posthouse.wire.smtp_events import SmtpConfig

_log = log.get("house")

ROLES = ("http", "smtp", "worker")
# How long change logs reach back before `cannotCalculateChanges` (at least 30 days), and events with them.
_HISTORY_MS = 30 * DAY
# Mails being filed at once that make a burst, and how often (a fifth of a second each) the index waits for it.
_BURST = 16
_INDEX_WAITS = 25
_SWEEP_S = 3_600.0
_STOP_GRACE_S = 20.0


class House:
    """Everything one process holds. `await House.open(settings)`, then `start` what is wanted, then `close`."""

    def __init__(self, settings: Settings, db: Database, clock: Clock, resolver: Resolver) -> None:
        self.settings = settings
        self.db = db
        self.clock = clock
        self.resolver = resolver
        self.hostname = settings.domain
        self.blobs = Blobs(db, LocalBlobFiles(settings.data_dir / "blobs"))
        self.keys = KeyRing(db, settings.master_key)
        self.leases = Leases(db, clock)
        self.directory = Directory(db)
        limited = self._limited = settings.rate_limits == "on"
        self.submitter = Submitter(
            db,
            self.blobs,
            clock,
            Limits(
                message_bytes=settings.max_message_bytes,
                submissions_a_day=10_000 if limited else None,
                ladder=settings.ladder,
            ),
        )
        self.drafts = DraftSender(db, self.blobs, self.submitter, clock)
        self.registrar = Registrar(
            db,
            self.submitter,
            clock,
            default_domain=settings.domain,
            operator_address=settings.operator_address,
        )
        self.streams = Streams(db)
        self.verifier = Verifier(db, resolver, clock, self.hostname)
        self.dialer = GuardedDialer(resolver, settings.webhooks_allow_private)
        self.local = LocalCourier(
            db,
            self.blobs,
            clock,
            hostname=self.hostname,
            operator_address=settings.operator_address,
            quota_bytes=settings.quota_bytes,
        )
        self.courier = _courier(settings, resolver, self.hostname)
        self.router = Router(self.local, self.courier)
        self.deliveries = DeliveryWorker(
            db,
            self.blobs,
            self.router,
            Signer(db, clock),
            Reporter(self.local, self.hostname),
            clock,
            schedule_ms=settings.retry_schedule_ms,
        )
        self.pace = Pace()
        owner_mail = OwnerMail(settings.owner_email, settings.operator_address, leaves=settings.outbound != "catch")
        self.asker = Asker(db, self.blobs, self.submitter, clock, owner_mail)
        self.ingester = Ingester(
            db,
            self.blobs,
            clock,
            Authenticator(resolver, clock, self.hostname),
            pace=self.pace,
            owner_mail=owner_mail,
        )
        self.dialects: dict[str, Dialect] = {each.name: each.events for each in SURFACES if each.events is not None}
        self.webhooks = WebhookWorker(db, self.dialer, self.dialects, clock)
        self.vacations = VacationResponder(db, self.submitter, clock)
        self.pushes = PushWorker(db, self.dialer, pushing.DIALECT, clock)
        self.work = self._table_of_work()
        self.services: Services | None = None
        self._dispatcher: Dispatcher | None = None
        self.ports: dict[str, int] = {}
        self._smtp: list[SmtpServer] = []
        self._http: list[HttpServer] = []
        self._workers: list[Worker] = []
        self._unlisten: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._lock: FolderLock | None = None
        self._closed = False

    @classmethod
    async def open(
        cls, settings: Settings, *, clock: Clock = now, resolver: Resolver | None = None, exclusive: bool = True
    ) -> House:
        """Open the data folder and the database.

        Args:
            exclusive: take the folder's lock; a database on a server is shared, a folder is not.

        Raises:
            Conflict: another process has the folder.
            Unavailable: the database cannot be opened.
        """
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        private.narrow(settings.data_dir)
        lock = None
        if not settings.database_url and exclusive:
            lock = FolderLock(settings.data_dir)
            lock.take()
        try:
            db = await open_database(settings)
            house = cls(settings, db, clock, resolver or DnsResolver())
            house._lock = lock
            if lock is not None:
                tables = {work.table for work in house.work}
                await db.write(lambda tx: leases.release_all(tx, tables, clock()))
            return house
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    # -- doors and workers

    def _table_of_work(self) -> tuple[Work, ...]:
        """All that is done in the background: file what comes in, carry what goes out, tell, index."""
        db = self.db

        def due(query: Callable[[Tx], Awaitable[int | None]]) -> Callable[[], Awaitable[int | None]]:
            return lambda: db.read(query)

        def of_jobs(kind: JobKind, wait: Callable[[], Awaitable[None]] | None = None) -> Work:
            runner = JobRunner(db, self.clock, kind)

            async def run_once() -> int:
                if wait is not None:
                    await wait()
                return await runner.run_once()

            return Work(kind.name, run_once, runner.next_due, (kind.topic,), table="job")

        ingester, deliveries, webhook_worker = self.ingester, self.deliveries, self.webhooks
        return (
            Work("ingest", ingester.run_once, due(spool.next_due), (SPOOL_WAKE,), "spool", ingester.drain),
            Work(
                "deliver",
                deliveries.run_once,
                due(submissions.next_due),
                (DELIVERIES_WAKE,),
                "delivery",
                deliveries.drain,
            ),
            Work(
                "webhooks",
                webhook_worker.run_once,
                due(webhooks.next_due),
                ("webhooks",),
                "webhook_delivery",
                webhook_worker.drain,
            ),
            Work("drafts", self.drafts.run_once, due(draft_plans.next_due), (PLANS_WAKE,), "draft_plan"),
            Work("push", self.pushes.run_once, self.pushes.next_due, ("push", "account:*"), "push_subscription"),
            of_jobs(JobKind(domain_proof.VERIFY_JOB, self.verifier.verify, batch=10)),
            of_jobs(JobKind(INDEX_JOB, self._index), self._after_bursts),
            of_jobs(JobKind(holding.ASK_JOB, self.asker.ask)),
            of_jobs(JobKind(asking.ANSWER_JOB, self.asker.take)),
            of_jobs(JobKind(holding.EXPIRE_JOB, self.asker.expire)),
            of_jobs(JobKind(VACATION_JOB, self.vacations.answer, lease_ms=5 * MINUTE)),
        )

    async def start_workers(self) -> None:
        """Begin the work of the table, and clean up now and then."""
        for work in self.work:
            worker = Worker(work, self.clock)
            self._unlisten.extend(self.db.listen(topic, worker.wake) for topic in work.topics)
            self._workers.append(worker)
            worker.start()
        self._tasks.append(asyncio.create_task(self._clean_up(), name="posthouse-clean-up"))

    async def _after_bursts(self) -> None:
        # A search catches up by itself: the index can wait for a burst to be filed, though not for ever.
        for _ in range(_INDEX_WAITS):
            if self.ingester.under_way <= _BURST:
                return
            await asyncio.sleep(0.2)

    async def _index(self, job: Job) -> None:
        assert job.account_id is not None
        await indexing.drain(self.db, job.account_id)

    async def _clean_up(self) -> None:
        while True:
            try:
                await self.clean_up_once()
            except Exception as error:  # a worker's outer loop
                _log.error("cleaning up failed", error=str(error))
            await asyncio.sleep(_SWEEP_S)

    async def clean_up_once(self) -> None:
        """Forget what has had its time: blobs nobody names, old history, expired answers and graves."""
        await self.keys.flush()
        at = self.clock()
        await self.db.write(lambda tx: idempotency.prune(tx, at))
        await self.db.write(lambda tx: graveyard.prune(tx, at))
        await self.db.write(lambda tx: changes.prune(tx, at - _HISTORY_MS))
        while await self.db.write(mailboxes.prune_tombstones, heavy=True):
            pass
        await self.db.write(lambda tx: jobs.prune(tx, at - _HISTORY_MS))
        await self.db.write(lambda tx: events.prune(tx, at - _HISTORY_MS))
        await self.db.write(lambda tx: markings.prune(tx, at - _HISTORY_MS))
        await self.db.write(lambda tx: webhooks.prune(tx, at - GRAVEYARD_DAYS * DAY))
        await self.db.write(lambda tx: uploads.prune(tx, at))
        await self.db.write(lambda tx: challenges.prune(tx, at))
        longest = max([_HISTORY_MS, *(age for age, _ in self.settings.ladder)])
        await self.db.write(lambda tx: newcomers.prune(tx, at - longest))
        await self.db.write(lambda tx: push.prune(tx, at))
        await self.db.write(lambda tx: vacations.prune(tx, at - VACATION_INTERVAL_MS))
        while await self.blobs.sweep(at - DAY):
            pass

    async def asgi(self) -> Dispatcher:
        """The HTTP doors as one ASGI application."""
        if self._dispatcher is None:
            at, settings = self.clock(), self.settings
            secret = await self.db.write(lambda tx: secrets.get_or_add(tx, "links", new_secret("", 32), at))
            tokens = await Tokens.open(self.db, f"https://{settings.domain}", at)
            challenges = Challenges(
                self.db,
                tokens,
                self.clock,
                salt=settings.pow_salt,
                difficulty=settings.pow_difficulty,
                rises=self._limited,
            )
            self.services = Services(
                settings=settings,
                db=self.db,
                blobs=self.blobs,
                keys=self.keys,
                tokens=tokens,
                challenges=challenges,
                leases=self.leases,
                directory=self.directory,
                submitter=self.submitter,
                dialer=self.dialer,
                links=Links(secret),
                limiter=RateLimiter(self.clock, enabled=self._limited),
                open_streams=OpenStreams(),
                clock=self.clock,
                drafts=self.drafts,
                streams=self.streams,
                registrar=self.registrar,
                hostname=self.hostname,
            )
            self._dispatcher = Dispatcher(self.services, SURFACES)
        return self._dispatcher

    async def start_http(self) -> None:
        """Listen for HTTP and, when a port is set, for HTTPS."""
        settings = self.settings
        app = await self.asgi()
        listeners: list[tuple[str, int, ssl.SSLContext | None]] = [("http", settings.http_port, None)]
        if settings.https_port is not None:
            context = self.tls_context()
            if context is None:
                raise Invalid("HTTPS needs a certificate: set TLS_CERT and TLS_KEY, or run init")
            listeners.append(("https", settings.https_port, context))
        house = connection.House(
            Register(self._shares().http, settings.http_connections_per_address if self._limited else None),
            Room(settings.incoming_bytes),
            connection.Limits(),
            frame_octets(SURFACES),
            is_among(settings.trusted_proxies),
        )
        for name, port, tls_context in listeners:
            server = HttpServer(app, house, trusted_proxies=settings.trusted_proxies)
            self.ports[name] = await server.start(settings.http_host, port, tls_context)
            self._http.append(server)

    async def start_smtp(self) -> None:
        """Listen for mail from anywhere and for submission."""
        settings = self.settings
        context = self.tls_context()
        inbound = InboundDoor(
            self.db,
            self.blobs,
            self.clock,
            hostname=self.hostname,
            operator_address=settings.operator_address,
            quota_bytes=settings.quota_bytes,
            pace=self.pace,
        )
        submission = SubmissionDoor(self.db, self.keys, self.leases, self.submitter, self.clock)
        limits = SmtpLimits(
            connections=self._shares().smtp,
            connections_per_address=settings.smtp_connections_per_address if self._limited else None,
        )
        room = Room(settings.incoming_bytes)
        size = settings.max_message_bytes
        for name, server, port in (
            (
                "smtp",
                SmtpServer(inbound, SmtpConfig(self.hostname, max_size_bytes=size), context, limits, room=room),
                settings.smtp_port,
            ),
            (
                "submission",
                SmtpServer(
                    submission,
                    SmtpConfig(
                        self.hostname,
                        max_size_bytes=size,
                        submission=True,
                        max_recipients=self.submitter.limits.recipients,
                    ),
                    context,
                    limits,
                    room=room,
                ),
                settings.submission_port,
            ),
        ):
            self.ports[name] = await server.start(settings.smtp_host, port)
            self._smtp.append(server)

    def _shares(self) -> descriptors.Shares:
        """How many connections each door may hold; with descriptors left for the database and for calls to others."""
        settings = self.settings
        return descriptors.shares(
            descriptors.raise_limit(), http=settings.http_connections, smtp=settings.smtp_connections
        )

    def tls_context(self) -> ssl.SSLContext | None:
        """The server side's TLS: the operator's certificate, else the one init made, else none."""
        settings = self.settings
        if settings.tls_cert is not None and settings.tls_key is not None:
            return tls.server_context(settings.tls_cert, settings.tls_key)
        cert, key = settings.data_dir / "tls-cert.pem", settings.data_dir / "tls-key.pem"
        return tls.server_context(cert, key) if cert.exists() and key.exists() else None

    async def settle(self) -> None:
        """Do everything that is due now, here, one after the other: for tests and for commands without workers."""
        done = True
        while done:
            done = False
            for work in self.work:
                done = bool(await work.run_once()) or done
                if work.drain is not None:
                    await work.drain(None)

    async def close(self) -> None:
        """Refuse what is new, finish what was taken on, close."""
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(
            *(server.stop(_STOP_GRACE_S) for server in self._smtp), *(server.stop() for server in self._http)
        )
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        for work in self.work:
            if work.drain is not None:
                await work.drain(_STOP_GRACE_S)
        for stop in self._unlisten:
            stop()
        try:
            await self.keys.flush()
        finally:
            await self.leases.aclose()
            await self.streams.aclose()
            await self.dialer.aclose()
            if self.services is not None:
                self.services.challenges.close()
            if self.courier is not None:
                await self.courier.aclose()
            if isinstance(self.resolver, DnsResolver):
                await self.resolver.aclose()
            await self.db.close()
            if self._lock is not None:
                self._lock.release()


async def open_database(settings: Settings) -> Database:
    """The database the settings name, migrated."""
    if settings.database_url:
        from posthouse.store.postgres import PostgresDatabase

        return await PostgresDatabase.open(settings.database_url)
    return await SqliteDatabase.open(settings.database_path)


def _courier(settings: Settings, resolver: Resolver, hostname: str) -> Courier | None:
    if settings.outbound == "catch":
        return None
    if settings.outbound == "mx":
        own = {settings.domain, hostname, socket.gethostname()}
        return MxCourier(resolver, hostname=hostname, own=own)
    return SmarthostCourier(settings.outbound, hostname=hostname)


class FolderLock:
    """One process for a data folder. The system lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._handle: int | None = None

    def take(self) -> None:
        """Raises `Conflict` when another process has it."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise Conflict(f"{self._path.parent} is in use by another posthouse", reason="folder_locked") from error
        self._handle = handle

    def release(self) -> None:
        """Let go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
