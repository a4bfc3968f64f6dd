"""The peer: Debian's postfix in an instance of its own, beside whatever the machine runs.

Configuration, queue and data lie in the folder handed over, it listens on one loopback port, no process is
chrooted and nothing is relayed. The machine's own instance in /etc/postfix is neither read nor touched, except for
`postfix-files` and the dynamic maps that the program itself looks up there.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import processes
from bench.report import Skipped

DOMAIN = "box.invalid"
RECIPIENT = f"box@{DOMAIN}"

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = {owner}
setgid_group = {group}
myhostname = peer.invalid
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
biff = no
smtpd_tls_security_level = none
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = {restrictions}
# The brake that keeps clients from filling the queue faster than it empties: off, in the peer's favour.
in_flow_delay = 0
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
# What leaves the machine: nothing.
default_transport = error:nothing is relayed
"""

# Debian's services, without those that send or filter; chroot is "n" throughout.
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
local     unix - n n - - local
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
"""


class Postfix:
    """A running instance. `port` takes mail for `RECIPIENT`."""

    name = "postfix"

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._mail_box = folder / "mail" / "box" / "new"

    def command(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of postfix's own programs, told which instance is meant."""
        path = _program(program)
        return subprocess.run(
            [path, "-c", str(self.folder / "etc"), *arguments], capture_output=True, text=True, timeout=60
        )

    def queued(self) -> int:
        """Messages held: accepted, and touched by nobody since."""
        return sum(1 for _ in os.scandir(self.folder / "queue" / "hold"))

    def delivered(self) -> int:
        """Messages in the maildir."""
        return sum(1 for _ in os.scandir(self._mail_box)) if self._mail_box.is_dir() else 0

    def empty(self) -> None:
        """Throw away what lies in queue and maildir, so that each run begins alike."""
        self.command("postsuper", "-d", "ALL")
        shutil.rmtree(self._mail_box, ignore_errors=True)
        os.sync()


@contextmanager
def running(folder: Path, *, hold: bool) -> Iterator[Postfix]:
    """Start an instance in `folder`, stop it afterwards.

    Args:
        hold: take mail and leave it in the queue; else deliver it to a maildir.

    Raises:
        Skipped: it is not installed, or we are not root, which its master process has to be.
    """
    if shutil.which("postfix", path=_path()) is None:
        raise Skipped("no peer")
    if os.geteuid() != 0:
        raise Skipped("no peer: postfix is started by root only")
    peer = _lay_out(folder, hold)
    started = peer.command("postfix", "start")
    try:
        if started.returncode:
            raise RuntimeError(f"postfix did not start: {started.stderr.strip()}")
        processes.wait_for(lambda: processes.accepts(peer.port), "postfix listening", 10)
        yield peer
    finally:
        _stop(peer)


def _lay_out(folder: Path, hold: bool) -> Postfix:
    owner, reader = pwd.getpwnam("postfix"), pwd.getpwnam("nobody")
    for name in ("etc", "queue", "data", "mail"):
        (folder / name).mkdir(parents=True)
    os.chown(folder / "data", owner.pw_uid, owner.pw_gid)
    os.chown(folder / "mail", reader.pw_uid, reader.pw_gid)
    for path in (folder, folder / "etc", folder / "queue"):
        path.chmod(0o755)
    port = processes.free_port()
    (folder / "etc" / "main.cf").write_text(
        _MAIN.format(
            folder=folder,
            owner=owner.pw_name,
            group=grp.getgrnam("postdrop").gr_name,
            domain=DOMAIN,
            uid=reader.pw_uid,
            gid=reader.pw_gid,
            restrictions=("check_recipient_access static:HOLD, " if hold else "") + "permit_mynetworks, reject",
        )
    )
    (folder / "etc" / "master.cf").write_text(_MASTER.format(port=port))
    return Postfix(folder, port)


def _stop(peer: Postfix) -> None:
    """Stop it, and see that it is gone before its folder is."""
    pid_file = peer.folder / "queue" / "pid" / "master.pid"
    pid = int(pid_file.read_text()) if pid_file.exists() and pid_file.read_text().strip() else None
    peer.command("postfix", "stop")
    end = time.monotonic() + 10
    while pid is not None and _runs(pid):
        if time.monotonic() > end:
            peer.command("postfix", "abort")
            break
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Whether a master process with this id is there; the id alone might be someone else's by now."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "master"
    except OSError:
        return False


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _program(name: str) -> str:
    path = shutil.which(name, path=_path())
    if path is None:
        raise Skipped("no peer")
    return path
