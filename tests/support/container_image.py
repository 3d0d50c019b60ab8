"""The project's image, built on a stand-in base without a container engine, and started the way runners start it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
NAME = "localhost/trt-engines:test"
_READ_ONLY = """
set -e
root=$1 workspace=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mkdir -p "$root/workspace"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$workspace" "$root/workspace"
mount -o remount,ro,bind "$root"
exec "$@"
"""


class ImageToolsMissingError(Exception):
    """This machine cannot build images."""


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """An image that was built, with one container of it. ``store`` holds both."""

    store: Path
    container: str

    @property
    def config(self) -> Mapping[str, Any]:
        """The image's configuration, as OCI defines it."""
        found = json.loads(self.buildah("inspect", "--type", "image", NAME).stdout)
        config: Mapping[str, Any] = found["OCIv1"]["config"]
        return config

    @property
    def root(self) -> Path:
        """The container's file system."""
        return Path(self.buildah("mount", self.container).stdout.strip())

    def start(
        self,
        arguments: Sequence[str] = (),
        *,
        mounts: Mapping[Path, str],
        environment: Mapping[str, str],
        folder: str,
        user: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """``docker run`` with the image's entrypoint. ``mounts`` is folder here -> folder in the container."""
        options = ["--isolation", "chroot", "--workingdir", folder]
        options += [part for here, there in mounts.items() for part in ("--volume", f"{here}:{there}")]
        options += [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
        options += ["--user", user] if user else []
        return self.buildah("run", *options, self.container, "--", *self.config["Entrypoint"], *arguments, check=False)

    def start_read_only(
        self, arguments: Sequence[str], *, workspace: Path, user: str
    ) -> subprocess.CompletedProcess[str]:
        """``docker run --read-only --tmpfs /tmp --user USER``, with the workspace at ``/workspace``."""
        names = dict(entry.split("=", 1) for entry in self.config["Env"])
        shell = [*self.config["Entrypoint"], *arguments]
        inside = ["env", "-i", *(f"{name}={value}" for name, value in names.items()), *shell]
        chrooted = [
            "chroot",
            f"--userspec={user}",
            str(self.root),
            "sh",
            "-c",
            'cd /workspace; exec "$@"',
            "-",
            *inside,
        ]
        command = [
            "unshare",
            "--mount",
            "--fork",
            "bash",
            "-c",
            _READ_ONLY,
            "-",
            str(self.root),
            str(workspace),
            *chrooted,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)

    def remove_container(self) -> None:
        """Remove the container; the image stays for the next time."""
        self.buildah("rm", self.container, check=False)

    def buildah(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run buildah on the store. Raises ``RuntimeError`` where it fails and ``check`` is set."""
        return _run(*_command(self.store), *arguments, check=check)


def built_image() -> ContainerImage:
    """Build the image and make a container of it. Raises ``ImageToolsMissingError`` where this machine cannot."""
    if os.geteuid() != 0:
        raise ImageToolsMissingError("building without a container engine needs root")
    missing = [tool for tool in ("buildah", "debootstrap", "unshare") if shutil.which(tool) is None]
    if missing:
        raise ImageToolsMissingError(f"not installed: {', '.join(missing)}")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    store = caches / "trt-engines-image"
    base = _run(str(ROOT / "scripts/image-base"), str(store)).stdout.strip()
    _run(str(ROOT / "scripts/image-build"), str(store), base, NAME)
    container = _run(*_command(store), "from", "--pull-never", NAME).stdout.strip()
    return ContainerImage(store, container)


def _command(store: Path) -> tuple[str, ...]:
    return ("buildah", "--root", f"{store}/store", "--runroot", f"{store}/run", "--storage-driver", "vfs")


def _run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:8])} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done
