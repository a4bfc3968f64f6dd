"""The `posthouse` command.

Heavy parts are imported when a command needs them, so that `--help` and a refused command answer at once.
Exit codes: 0 done, 1 refused, 2 usage (also: not part of this version), 3 not allowed, 4 not found, 5 held,
6 timed out. With `--json` one object is the last line of standard output; logs go to standard error.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from posthouse.app import House
    from posthouse.kit.config import Settings

app = typer.Typer(
    name="posthouse",
    help="A self-hosted post house for AI agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
key_app = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke.")
inbox_app = typer.Typer(no_args_is_help=True, help="Inboxes.")
events_app = typer.Typer(no_args_is_help=True, help="Events.")
level_app = typer.Typer(no_args_is_help=True, help="Oversight levels.")
jobs_app = typer.Typer(no_args_is_help=True, help="Work in the background that failed.")
app.add_typer(key_app, name="key")
app.add_typer(jobs_app, name="jobs")
app.add_typer(inbox_app, name="inbox")
app.add_typer(events_app, name="events")
app.add_typer(level_app, name="level")
organization_app = typer.Typer(no_args_is_help=True, help="Organisations, those that registered themselves too.")
suppression_app = typer.Typer(no_args_is_help=True, help="Addresses no mail is sent to: list, add, lift.")
app.add_typer(organization_app, name="organization")
app.add_typer(suppression_app, name="suppression")

REFUSED, USAGE, NOT_ALLOWED, NOT_FOUND, TIMED_OUT = 1, 2, 3, 4, 6
_EXIT_CODES = {
    "unauthenticated": NOT_ALLOWED,
    "forbidden": NOT_ALLOWED,
    "not_found": NOT_FOUND,
    "not_built": USAGE,
}

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The data folder (POSTHOUSE_DATA_DIR).")]
InOrganization = Annotated[
    str | None,
    typer.Option("--organization", help="An organisation's id or an address of it; without it, the default one."),
]
Limit = Annotated[int, typer.Option(help="Show so many.", min=1)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object as the last line of standard output.")]


def main() -> None:
    """Run the command line; an error of ours becomes a sentence and an exit code."""
    # Nothing made while modules are loaded is garbage: looking for it costs a tenth of the start.
    gc.disable()
    os.umask(0o077)  # what is made here is its owner's
    from posthouse.kit.errors import PosthouseError

    try:
        app()
    except PosthouseError as error:
        _fail(error.message, _EXIT_CODES.get(error.code, REFUSED))
    except OSError as error:
        _fail(str(error), REFUSED)


def _fail(message: str, code: int) -> NoReturn:
    print(f"posthouse: {message}", file=sys.stderr)
    sys.exit(code)


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def _settings(**flags: Any) -> Settings:
    from posthouse.kit import config, log

    settings = config.load(flags)
    log.configure(settings.log_level, settings.log_format)
    return settings


def _run(work: Awaitable[Any]) -> Any:
    import uvloop

    async def body() -> Any:
        return await work

    return uvloop.run(body())


def _command(data_dir: Path | None, name: str, **arguments: Any) -> dict[str, Any]:
    """Run an owner's command: in the server that has the folder, else here under the folder's lock."""
    settings = _settings(data_dir=data_dir)

    async def work() -> dict[str, Any]:
        from posthouse import admin, control
        from posthouse.app import House

        answer = await control.call(settings.data_dir, name, arguments)
        if answer is not None:
            return answer
        house = await House.open(settings)
        try:
            return await admin.COMMANDS[name](house, **arguments)
        finally:
            await house.close()

    result: dict[str, Any] = _run(work())
    return result


# -- the installation


@app.command()
def init(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Make the data folder, the organisation, the domain with its keys, and the owner's key."""
    settings = _settings(data_dir=data_dir)

    async def work() -> Any:
        from posthouse import admin
        from posthouse.app import House

        house = await House.open(settings)
        try:
            return await admin.init(house)
        finally:
            await house.close()

    made = _run(work())
    if as_json:
        _print_json({"organization": made.organization_id, "domain": made.domain, "owner_key": made.owner_key})
        return
    _say_initialized(settings, made)


def _say_initialized(settings: Settings, made: Any) -> None:
    if made.is_new:
        print(f"Made {settings.data_dir.resolve()} for the domain {made.domain}.")
    else:
        print(f"{settings.data_dir.resolve()} is there already; nothing was changed.")
    if made.owner_key:
        print(f"Owner key: {made.owner_key}")
    elif settings.master_key:
        print("Owner key: the one in POSTHOUSE_MASTER_KEY.")
    else:
        print(f"Owner key: saved in {settings.data_dir / 'owner.key'}")


@app.command()
def serve(
    data_dir: DataDir = None,
    role: Annotated[str, typer.Option(help="Which parts to run: http, smtp, worker, joined by commas.")] = "",
) -> None:
    """Run the server in the foreground; on an empty folder make what init makes first."""
    _serve(data_dir, role, quickstart=False)


@app.command()
def quickstart(data_dir: DataDir = None) -> None:
    """Init, then serve, with an agent's address and key and a call to try it with."""
    _serve(data_dir, "", quickstart=True)


def _serve(data_dir: Path | None, role: str, *, quickstart: bool) -> None:
    settings = _settings(data_dir=data_dir)
    _note_ignored_variables()
    from posthouse.app import ROLES, House

    roles = [name.strip() for name in role.split(",") if name.strip()] or list(ROLES)
    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        _fail(f"the roles are {', '.join(ROLES)}, not {unknown[0]}", USAGE)

    async def work() -> None:
        from posthouse import admin
        from posthouse.control import ControlServer

        house = await House.open(settings)
        control = None
        try:
            made = await admin.init(house)
            control = ControlServer(house)
            await control.start()
            if "worker" in roles:
                await house.start_workers()
            if "smtp" in roles:
                await house.start_smtp()
            if "http" in roles:
                await house.start_http()
            if made.is_new or quickstart:
                _say_initialized(settings, made)
            if quickstart:
                await _say_hello(house)
            # What is there now stays: the collector need not look at it again.
            gc.freeze()
            gc.enable()
            _say_listening(house)
            await _until_signal()
        finally:
            if control is not None:
                await control.stop()
            await house.close()

    sys.setswitchinterval(0.001)  # the writer thread waits less for the loop's
    _run(work())


def _note_ignored_variables() -> None:
    import os

    from posthouse.kit import config, log

    named = [name for name in config.IGNORED if os.environ.get(name)]
    if named:
        log.get("cli").warning("ignored: they name the mail server AgenticMail needed", variables=", ".join(named))


async def _until_signal() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def _say_listening(house: House) -> None:
    parts = [f"{name} on port {port}" for name, port in house.ports.items()]
    print(f"Listening: {', '.join(parts) or 'nowhere, working only'}. Stop with Ctrl-C.", flush=True)


async def _say_hello(house: House) -> None:
    """An agent to begin with: its address, its key and the first calls."""
    from posthouse import admin

    address = f"agent@{house.settings.domain}"
    marker = house.settings.data_dir / "agent.key"
    await admin.inbox_create(house, address=address)
    if marker.exists():
        key = marker.read_text("utf-8").strip()
    else:
        made = await admin.key_create(house, surface="agentmail", name="quickstart")
        key = made["key"]
        admin.write_secret(marker, key)
    base = house.settings.public_base_url or f"http://127.0.0.1:{house.ports['http']}"
    print(
        f"""
Agent:     {address}
Agent key: {key}

Send it a mail:
  curl --url smtp://127.0.0.1:{house.ports["smtp"]} --mail-from you@example.org --mail-rcpt {address} \\
    -T - <<< $'From: you@example.org\\r\\nTo: {address}\\r\\nSubject: Hello\\r\\n\\r\\nAre you there?\\r\\n'

Read it:
  curl -H 'Authorization: Bearer {key}' {base}/v0/inboxes/{address}/messages

The API: {base}/docs
"""
    )


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database's schema up to date; every other command does so too."""
    settings = _settings(data_dir=data_dir)

    async def work() -> None:
        from posthouse.app import House

        await (await House.open(settings)).close()

    _run(work())
    print("The schema is up to date.")


@app.command()
def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say what is well and what is not."""
    answer = _command(data_dir, "doctor")
    if as_json:
        _print_json(answer)
    else:
        for check in answer["checks"]:
            print(f"{'ok  ' if check['ok'] else 'LOOK'}  {check['check']}: {check['text']}")


@app.command()
def backup(path: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Copy everything, as of one instant, into a new folder, beside a running server or not."""
    answer = _command(data_dir, "backup", path=str(Path(path).resolve()))
    if as_json:
        _print_json(answer)
    else:
        print(f"Backed up into {answer['path']}.")


@app.command()
def reindex(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Build the text index anew."""
    answer = _command(data_dir, "reindex")
    if as_json:
        _print_json(answer)
    else:
        print(f"Indexed {answer['messages']} messages.")


@jobs_app.command("list")
def jobs_list(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show jobs that were given up, and those that failed and will be tried again."""
    answer = _command(data_dir, "jobs_list")
    if as_json:
        _print_json(answer)
        return
    for job in answer["jobs"]:
        print(f"{job['id']}  {job['kind']:14}  {job['state']:5}  {job['attempts']} tries  {job['error'] or ''}")
    if not answer["jobs"]:
        print("No job has failed.")


@jobs_app.command("retry")
def jobs_retry(
    id: Annotated[str | None, typer.Argument(help="The job; without one all that were given up.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Try jobs again that were given up."""
    answer = _command(data_dir, "jobs_retry", id=id)
    if as_json:
        _print_json(answer)
    else:
        print(f"{len(answer['retried'])} jobs are tried again.")


@app.command()
def undelete(
    id: Annotated[str | None, typer.Argument(help="What to bring back.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show what can be brought back.")] = False,
    organization: InOrganization = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Bring back a destroyed message, or an inbox with its mail, for 30 days after."""
    if list_ or id is None:
        answer = _command(data_dir, "undelete_list", organization=organization)
        if as_json:
            _print_json(answer)
        for grave in [] if as_json else answer["graves"]:
            print(f"{grave['id']}  {grave['kind']:8}  {grave['destroyed_at']}  {grave['what']}")
        return
    answer = _command(data_dir, "undelete", id=id)
    if as_json:
        _print_json(answer)
    else:
        print(f"Brought back {answer['messages']} messages.")


# -- keys, inboxes, levels


@inbox_app.command("create")
def inbox_create(
    address: str, organization: InOrganization = None, data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Make an inbox; one that is there already is no error."""
    answer = _command(data_dir, "inbox_create", address=address, organization=organization)
    if as_json:
        _print_json(answer)
    else:
        print(answer["address"])


@key_app.command("create")
def key_create(
    surface: Annotated[str, typer.Option(help="agentmail, mailgi, agenticmail, commune or atomicmail.")],
    inbox: Annotated[str | None, typer.Option(help="Bind the key to one inbox.")] = None,
    scopes: Annotated[str | None, typer.Option(help="The surface's permissions, joined by commas.")] = None,
    level: Annotated[str | None, typer.Option(help="Tighten the oversight level for this key.")] = None,
    organization: InOrganization = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once."""
    listed = [scope.strip() for scope in scopes.split(",") if scope.strip()] if scopes is not None else None
    answer = _command(
        data_dir, "key_create", surface=surface, inbox=inbox, scopes=listed, level=level, organization=organization
    )
    if as_json:
        _print_json(answer)
    else:
        print(answer["key"])


@key_app.command("list")
def key_list(organization: InOrganization = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the keys, never their secrets."""
    answer = _command(data_dir, "key_list", organization=organization)
    if as_json:
        _print_json(answer)
    for key in [] if as_json else answer["keys"]:
        print(f"{key['id']}  {key['prefix']}…  {key['surface']:10}  {key['inbox'] or '(organisation)'}  {key['name']}")


@key_app.command("revoke")
def key_revoke(id: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Make a key worthless from now on, whosever it is."""
    answer = _command(data_dir, "key_revoke", id=id)
    if as_json:
        _print_json(answer)
    else:
        print(f"Revoked {answer['revoked']}.")


@level_app.command("set")
def level_set(
    level: str,
    inbox: Annotated[str | None, typer.Option(help="One inbox; without it, the organisation's default.")] = None,
    organization: InOrganization = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Set the oversight level: read_only, gated, monitored or autonomous."""
    answer = _command(data_dir, "level_set", level=level, inbox=inbox, organization=organization)
    if as_json:
        _print_json(answer)
    else:
        print(f"{answer['inbox'] or 'The organisation'} is {answer['level']} now.")


# -- everybody's organisations


@organization_app.command("list")
def organization_list(limit: Limit = 100, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show all organisations, newest first."""
    answer = _command(data_dir, "organization_list", limit=limit)
    if as_json:
        _print_json(answer)
        return
    for each in answer["organizations"]:
        human = f"  {each['human']}{'' if each['verified_at'] else ' (not verified)'}" if each["human"] else ""
        origin = "registered itself" if each["self_registered"] else "yours"
        print(f"{each['id']}  {each['level']:10}  {origin:17}  {each['inboxes']:4} inboxes  {each['name']}{human}")
    _say_more(answer)


@suppression_app.command("list")
def suppression_list(
    inbox: Annotated[str | None, typer.Option(help="Of one inbox, with what is suppressed for all.")] = None,
    limit: Limit = 100,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the addresses no mail is sent to, newest first."""
    answer = _command(data_dir, "suppression_list", inbox=inbox, limit=limit)
    if as_json:
        _print_json(answer)
        return
    for each in answer["suppressions"]:
        print(f"{each['address']}  {each['inbox'] or '(everybody)'}  {each['reason']}  {each['text'] or ''}".rstrip())
    _say_more(answer)


def _say_more(answer: dict[str, Any]) -> None:
    if answer["has_more"]:
        print("There are more: --limit shows them.")


@suppression_app.command("add")
def suppression_add(
    address: str,
    reason: Annotated[str, typer.Option(help="bounce, complaint, unsubscribe, manual, or your own words.")] = "manual",
    inbox: Annotated[str | None, typer.Option(help="For one inbox; without it, for all there are or will be.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Send an address no more mail."""
    answer = _command(data_dir, "suppression_add", address=address, reason=reason, inbox=inbox)
    if as_json:
        _print_json(answer)
    else:
        print(f"No mail goes to {answer['address']} from {answer['inbox'] or 'anybody here'}.")


@suppression_app.command("lift")
def suppression_lift(
    address: str,
    inbox: Annotated[str | None, typer.Option(help="For one inbox; without it, for all.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Let an address be written to again."""
    answer = _command(data_dir, "suppression_lift", address=address, inbox=inbox)
    if as_json:
        _print_json(answer)
    else:
        print(f"{answer['address']} may be written to again.")


# -- what waits for the owner


@app.command()
def pending(
    id: Annotated[str | None, typer.Argument(help="One of them, whole.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Whole bodies.")] = False,
    short: Annotated[bool, typer.Option("--short", help="Two lines each, without bodies.")] = False,
    after: Annotated[str | None, typer.Option(help="Go on where the page before ended.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many on a page.")] = 20,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show what waits for your decision, what waits longest first: all that would leave."""
    answer = _command(data_dir, "pending", id=id, full=full, short=short, after=after, limit=limit)
    if as_json:
        _print_json(answer)
        return
    for hold in answer["pending"]:
        print("\n".join(_lines_of(hold, short=short)))
    if answer["next"]:
        print(f"{answer['total']} wait. Go on with: posthouse pending --after {answer['next']}")


def _lines_of(hold: dict[str, Any], *, short: bool) -> list[str]:
    """A held mail for a terminal; its strings have been made safe for one."""
    if "error" in hold:
        return [f"{hold['id']}  {hold['error']}"]
    lines = [f"{hold['id']}  {hold['from']} -> {', '.join(hold['to'])}: {hold['subject']}"]
    if short:
        extra = [f"{len(hold['attachments'])} attachments"] if hold["attachments"] else []
        extra += [f"answers go to {', '.join(hold['reply_to'])}"] if hold["reply_to"] else []
        extra += [f"{hold['hidden_parts']} hidden parts"] if hold["hidden_parts"] else []
        return [*lines, "    " + "; ".join([hold["preview"], *extra])]
    for name, people in hold["header"].items():
        if people:
            lines.append(f"    {name}: {', '.join(people)}")
    lines += [f"    {name}: {value}" for name, value in hold["directing"] if name.lower() != "reply-to"]
    lines += [f"    not sent to (suppressed): {', '.join(hold['suppressed'])}"] if hold["suppressed"] else []
    lines += [f"    not before: {hold['send_at']}"] if hold["send_at"] else []
    lines += [f"    looked at: {finding.get('text', finding)}" for finding in hold["findings"]]
    lines += ["    --- text", *(f"    {line}" for line in hold["text"].split("\n"))] if hold["text"] else []
    if hold["html_text"] is not None:
        lines += ["    --- HTML", *(f"    {line}" for line in hold["html_text"].split("\n"))]
    lines += [f"    HIDDEN {part['what']}: {part['text']}" for part in hold["hidden"]]
    if hold["cut_chars"]:
        lines.append(f"    ({hold['cut_chars']} more characters: posthouse pending {hold['id']})")
    for file in hold["attachments"]:
        lines.append(f"    attached: {file['name']} ({file['type']}, {file['size']} octets, sha256 {file['sha256']})")
    lines += [f"    unclear: {defect}" for defect in hold["defects"]]
    return [*lines, f"    {hold['size']} octets, sha256 {hold['sha256']}", ""]


@app.command()
def approve(id: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Send the very message that was held."""
    answer = _command(data_dir, "approve", id=id)
    if as_json:
        _print_json(answer)
    else:
        print("Sent.")


@app.command()
def reject(
    id: str,
    reason: Annotated[str | None, typer.Option(help="Told to the agent.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Never send the message that was held."""
    answer = _command(data_dir, "reject", id=id, reason=reason)
    if as_json:
        _print_json(answer)
    else:
        print("Rejected.")


@events_app.command("tail")
def events_tail(
    data_dir: DataDir = None,
    once: Annotated[bool, typer.Option("--once", help="Print what there is and end.")] = False,
    organization: InOrganization = None,
) -> None:
    """Print events as they happen, one JSON object a line."""
    settings = _settings(data_dir=data_dir)
    if once:
        for event in _command(settings.data_dir, "events", limit=50, organization=organization)["events"]:
            _print_json(event)
        return
    _run(_tail(settings, organization))


async def _tail(settings: Settings, organization: str | None) -> None:
    from posthouse import control

    seen: dict[str, None] = {}
    while True:
        answer = await control.call(settings.data_dir, "events", {"limit": 200, "organization": organization})
        if answer is None:
            _fail("no server runs on this folder", REFUSED)
        for event in answer["events"]:
            if event["id"] not in seen:
                seen[event["id"]] = None
                _print_json(event)
        while len(seen) > 1_000:
            seen.pop(next(iter(seen)))
        await asyncio.sleep(0.5)


@app.command()
def scan(
    outbound: Annotated[bool, typer.Option("--outbound", help="Messages to be sent: what would wait for you?")] = False,
    inbound: Annotated[bool, typer.Option("--inbound", help="Not part of this version.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Not part of this version.")] = False,
) -> None:
    """Look at messages without sending them: one JSON object a line in, one a line out."""
    if inbound + outbound + clean != 1:
        _fail("say one of --outbound, --inbound, --clean", USAGE)
    if not outbound:
        _fail("this version has no score for incoming mail yet", USAGE)
    from posthouse.scan.lines import scan_outbound

    scan_outbound(sys.stdin, sys.stdout)


# -- known, and not part of this version


def _not_built(name: str, what: str) -> Callable[..., None]:
    def command(context: typer.Context) -> None:
        _fail(f"this version has no {what} yet", USAGE)

    command.__doc__ = f"Not part of this version: the {what}."
    app.command(name, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, hidden=True)(command)
    return command


_not_built("shell", "shell")
_not_built("credit", "prepaid billing")
