"""The peer for JMAP: Debian's Cyrus (cyrus-imapd, cyrus-caldav for its httpd) in an instance of its own.

Configuration and data lie in the folder handed over; one IMAP and one HTTP listener on 127.0.0.1. What costs it time
and we do not do is off (compression, TLS, anything logged), and what makes it faster is on: conversations, the text
index, a process for every connection before it comes, no limit on how long one serves.
"""

from __future__ import annotations

import base64
import grp
import http.client
import imaplib
import json
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from bench import processes
from bench.report import Skipped

USER, PASSWORD = "box", "secret"
_HOST = "peer.invalid"
_BIN = Path("/usr/lib/cyrus/bin")
_TOGETHER = 100
_FOLDERS = ("Drafts", "Sent", "Trash", "Junk", "Archive")

_IMAPD = """\
configdirectory: {folder}/conf
defaultpartition: default
partition-default: {folder}/spool
proc_path: {folder}/proc
mboxname_lockpath: {folder}/lock
admins: admin
servername: {host}
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {folder}/sasldb2
sasl_mech_list: PLAIN
allowplaintext: yes
altnamespace: yes
unixhierarchysep: yes
virtdomains: off
umask: 077
httpmodules: jmap
httpallowcompress: no
httpkeepalive: 300
conversations: yes
conversations_db: twoskip
search_engine: xapian
defaultsearchtier: t1
t1searchpartition-default: {folder}/search
# Its indexer begins anew after each batch of 20 when it is told a user: all is one batch.
search_batchsize: 1000000
jmap_max_calls_in_request: 50
maxlogins_per_user: 0
"""

_MASTER = """\
START {{
  recover cmd="ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="imapd -C {folder}/imapd.conf" listen="127.0.0.1:{imap}" prefork=0
  http cmd="httpd -C {folder}/imapd.conf -U 1000000" listen="127.0.0.1:{http}" prefork=10
}}
EVENTS {{
}}
"""


class Cyrus:
    """A running instance with one user and the six usual mailboxes."""

    name = "cyrus"

    def __init__(self, folder: Path, http_port: int, imap_port: int) -> None:
        self.folder = folder
        self.http_port = http_port
        self.imap_port = imap_port
        self.account_id = USER

    @property
    def authorization(self) -> str:
        """The header's value."""
        return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def call(self, calls: list[Any]) -> list[Any]:
        """One JMAP request."""
        using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        try:
            headers = {"Authorization": self.authorization, "Content-Type": "application/json"}
            connection.request("POST", "/jmap/", json.dumps({"using": using, "methodCalls": calls}), headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"Cyrus answered {response.status}: {text[:300]!r}")
        answer: list[Any] = json.loads(text)["methodResponses"]
        return answer

    def fill(self, messages: list[tuple[bytes, int, bool]]) -> None:
        """Put messages into the inbox: bytes, instant in seconds, whether they have been read."""
        with (
            socket.create_connection(("127.0.0.1", self.imap_port), 300) as connection,
            connection.makefile("rb") as said,
        ):
            said.readline()
            _command(connection, said, f"a LOGIN {USER} {PASSWORD}".encode())
            for begin in range(0, len(messages), _TOGETHER):
                parts = []
                for raw, at, is_seen in messages[begin : begin + _TOGETHER]:
                    flags = "(\\Seen)" if is_seen else "()"
                    parts.append(f"{flags} {imaplib.Time2Internaldate(at)} {{{len(raw)}+}}\r\n".encode() + raw)
                # One commit for all of them (RFC 3502), with literals that wait for no reply (RFC 7888).
                _command(connection, said, b"a APPEND INBOX " + b" ".join(parts))

    def index(self) -> None:
        """Bring the text index up to date."""
        _run([_BIN / "squatter", "-C", self.folder / "imapd.conf", "-u", USER], user="cyrus")


def _command(connection: socket.socket, said: BinaryIO, line: bytes) -> None:
    connection.sendall(line + b"\r\n")
    while not (answer := said.readline()).startswith(b"a "):
        if not answer:
            raise RuntimeError("Cyrus closed the connection")
    if not answer.startswith(b"a OK"):
        raise RuntimeError(f"Cyrus refused: {answer!r}")


def _login(port: int, name: str) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", port, timeout=60)
    client.login(name, PASSWORD)
    return client


def _run(command: list[Any], *, user: str | None = None, text: str = "") -> None:
    line = [str(each) for each in command]
    done = subprocess.run(
        line, input=text, capture_output=True, text=True, timeout=600, user=user, group="mail" if user else None
    )
    if done.returncode:
        raise RuntimeError(f"{line[0]} failed: {(done.stderr or done.stdout).strip()[-500:]}")


@contextmanager
def running(folder: Path) -> Iterator[Cyrus]:
    """Start an instance in `folder`, stop it afterwards.

    Raises:
        Skipped: it is not installed, or we are not root, which its master process has to be, or it does not come up.
    """
    passwords = shutil.which("saslpasswd2", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not (_BIN / "httpd").exists() or not (_BIN / "master").exists() or passwords is None:
        raise Skipped("no peer")
    if os.geteuid() != 0:
        raise Skipped("no peer: Cyrus is started by root only")
    peer = Cyrus(folder, processes.free_port(), processes.free_port())
    _lay_out(peer, passwords)
    line = [str(_BIN / "master"), "-C", str(folder / "imapd.conf"), "-M", str(folder / "cyrus.conf")]
    line += ["-p", str(folder / "master.pid"), "-D"]
    with processes.child(line, folder / "log", processes.clean_environment()) as process:
        try:
            processes.wait_for(
                lambda: process.poll() is not None or processes.accepts(peer.http_port), "Cyrus listening", 20
            )
            if process.poll() is not None:
                raise RuntimeError("its master process ended")
            _make_mailboxes(peer)
        except (RuntimeError, TimeoutError, OSError, imaplib.IMAP4.error) as error:
            raise Skipped(f"no peer: Cyrus does not come up: {error}") from error
        yield peer


def _lay_out(peer: Cyrus, passwords: str) -> None:
    folder, owner, group = peer.folder, pwd.getpwnam("cyrus").pw_uid, grp.getgrnam("mail").gr_gid
    for name in ("conf/db", "conf/proc", "conf/log", "conf/socket", "conf/sync", "spool", "search", "proc", "lock"):
        (folder / name).mkdir(parents=True)
    (folder / "imapd.conf").write_text(_IMAPD.format(folder=folder, host=_HOST))
    (folder / "cyrus.conf").write_text(_MASTER.format(folder=folder, imap=peer.imap_port, http=peer.http_port))
    for user in (USER, "admin"):
        _run([passwords, "-p", "-c", "-f", folder / "sasldb2", "-u", _HOST, user], text=PASSWORD + "\n")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, group)
    folder.chmod(0o755)


def _make_mailboxes(peer: Cyrus) -> None:
    admin = _login(peer.imap_port, "admin")
    admin.create(f"user/{USER}")
    admin.setacl(f"user/{USER}", USER, "lrswipkxtecda")
    admin.logout()
    client = _login(peer.imap_port, USER)
    for name in _FOLDERS:
        client.xatom("CREATE", name, f"(USE (\\{name}))")
    client.logout()
