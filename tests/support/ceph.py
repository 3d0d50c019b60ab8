"""A real S3 server on loopback: Ceph's RADOS gateway from Debian's packages, one monitor, one OSD on a sparse file.

    apt-get install -y --no-install-recommends ceph-mon ceph-osd radosgw ceph-common
    python -m tests.support.ceph FOLDER        serves until it is interrupted, and prints what a client needs

It is ready in about 15 s and needs about 150 MiB of memory. The kernel chooses the ports. The daemons run in the
foreground as children, so exactly they are ended, and they die with the process that started them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

USER = "ci"
SECRET = "ci-secret"
ROLES = ("engines-trusted", "engines-pr")
"""Further users, who own nothing; the secret of each is its name with ``-secret`` behind."""

DNS_NAME = "localhost"
"""A bucket is also reached as a host of its own below this domain, at the gateway's port."""

KMS_KEY = "engines-key"
"""The one key of the gateway for ``aws:kms``."""

_PROGRAMS = ("monmaptool", "ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin", "setpriv")
_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 20.0
_OSD_STARTS = 3
_CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = [v1:127.0.0.1:{mon_port}]
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
osd objectstore = bluestore
osd memory target = 939524096
bluestore block size = {block_bytes}
bluestore block create = true
mon max pg per osd = 1000
mon allow pool size one = true
mon data avail crit = 1
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
run dir = {folder}
admin socket = {folder}/$type.$id.asok
log file = {folder}/log/$name.log
public network = 127.0.0.0/8
ms bind ipv4 = true
[client.rgw.main]
rgw frontends = beast endpoint=127.0.0.1:{gateway_port}
rgw gc obj min wait = 1
rgw gc processor period = 10
rgw dns name = {dns_name}
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = {kms_key}={kms_secret}
"""


class CephMissing(Exception):  # noqa: N818 - named after the finding
    """The programs are not installed here; the text says how to install them."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway and a user of it."""

    endpoint_url: str
    access_key: str
    secret_key: str

    def used_by(self, role: str) -> Gateway:
        """The same server for one of ``ROLES``."""
        return Gateway(self.endpoint_url, role, f"{role}-secret")

    def environment(self) -> dict[str, str]:
        """What boto3's default chain reads."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextlib.contextmanager
def running_gateway(folder: Path, *, block_bytes: int = 32 << 30) -> Iterator[Gateway]:
    """Serve from ``folder``, which must be empty and have a short path. Raises ``CephMissing``, ``RuntimeError``."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise CephMissing(
            f"{', '.join(missing)} not found: apt-get install -y --no-install-recommends "
            "ceph-mon ceph-osd radosgw ceph-common"
        )
    for name in ("mon", "osd", "rgw", "log"):
        (folder / name).mkdir(parents=True)
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    mon_port, gateway_port = _free_ports(2)
    configuration = folder / "ceph.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            fsid=fsid,
            mon_port=mon_port,
            gateway_port=gateway_port,
            folder=folder,
            block_bytes=block_bytes,
            dns_name=DNS_NAME,
            kms_key=KMS_KEY,
            kms_secret=base64.b64encode(secrets.token_bytes(32)).decode(),
        )
    )
    conf = ("-c", str(configuration))
    map_file = str(folder / "monmap")
    with contextlib.ExitStack() as daemons:
        _run(folder, "monmaptool", "--create", "--addv", "a", f"[v1:127.0.0.1:{mon_port}]", "--fsid", fsid, map_file)
        _run(folder, "ceph-mon", *conf, "--mkfs", "-i", "a", "--monmap", map_file)
        daemons.enter_context(_daemon(folder, "ceph-mon", *conf, "-i", "a"))
        _run(folder, "ceph", *conf, "--connect-timeout", "30", "osd", "create", osd)
        _run(folder, "ceph-osd", *conf, "-i", "0", "--mkfs", "--osd-uuid", osd)
        for _ in range(_OSD_STARTS):
            if _is_up(daemons.enter_context(_daemon(folder, "ceph-osd", *conf, "-i", "0")), folder, conf):
                break
        else:
            raise RuntimeError(f"the OSD does not come up:\n{_tail(folder)}")
        gateway = Gateway(f"http://127.0.0.1:{gateway_port}", USER, SECRET)
        for user in (USER, *ROLES):
            keys = ("--access-key", user, "--secret-key", f"{user}-secret")
            _run(folder, "radosgw-admin", *conf, "user", "create", "--uid", user, "--display-name", user, *keys)
        # Both make the gateway's pools when there are none, and block each other where they do it at once.
        daemons.enter_context(_daemon(folder, "radosgw", *conf, "-n", "client.rgw.main"))
        _wait_until_served(folder, gateway.endpoint_url)
        yield gateway


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with contextlib.ExitStack() as sockets:
        opened = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in opened]


def _run(folder: Path, *command: str) -> None:
    with (folder / "log" / "start.log").open("ab") as log:
        result = subprocess.run(command, stdout=log, stderr=log, timeout=_START_TIMEOUT_S, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{_tail(folder)}")


@contextlib.contextmanager
def _daemon(folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    guarded: Sequence[str] = ("setpriv", "--pdeathsig", "KILL", *command, "-f")
    with (folder / "log" / "start.log").open("ab") as log:
        process = subprocess.Popen(guarded, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_up(osd: subprocess.Popen[bytes], folder: Path, conf: Sequence[str]) -> bool:
    """Wait until the monitor counts the OSD as up; a client that comes before may wait for it for ever.

    ``False`` where it has ended: now and then it asks the monitor before it knows the cluster's id, and gives up.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and osd.poll() is None:
        command = ["ceph", *conf, "--connect-timeout", "30", "osd", "stat", "--format", "json"]
        # A monitor that is still busy with its start may refuse a client; the next one is served.
        told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False)
        if told.returncode == 0 and json.loads(told.stdout)["num_up_osds"] == 1:
            return True
        time.sleep(0.2)
    return False


def _wait_until_served(folder: Path, url: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        time.sleep(0.2)
    raise RuntimeError(f"no gateway at {url}:\n{_tail(folder)}")


def _tail(folder: Path) -> str:
    return (folder / "log" / "start.log").read_text(errors="replace")[-3000:]


def _main(folder: Path) -> None:
    with running_gateway(folder) as gateway:
        print("export", *(f"{name}={value}" for name, value in gateway.environment().items()), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
