"""Gives an instance a root, devices and processes of its own: the first thing that runs in its namespaces.

Its root is an overlay: this machine's files below, unchanged, and the instance's boot volume (a real ext4 in an image
file) above. The kernel gives loop devices and mounts back when the namespaces end, however they end.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

_HIDDEN = ("tmp", "home", "root", "etc/ssh", "etc/sudoers.d", "var/log", "var/tmp", "var/lib/cloud")
"""What of this machine an instance does not see."""
_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
_LOOPS = 128
_LOOP_MAJOR, _LOOP_CONTROL = 7, (10, 237)


def enter_root(directory: Path, image: Path) -> None:
    """Make the root and go there; this machine's own is out of sight from then on."""
    _mount("--make-rprivate", "/")
    boot, root = directory / "boot", directory / "root"
    for one in (boot, root):
        one.mkdir(exist_ok=True)
    _mount("-o", "loop", str(image), str(boot))
    fresh = not (boot / "upper").exists()
    for name in ("upper", "work"):
        (boot / name).mkdir(exist_ok=True)
    if fresh:
        _hide(boot / "upper")
    _mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={boot}/upper,workdir={boot}/work", str(root))
    _keep_mounts(root)
    _mount("-t", "proc", "proc", str(root / "proc"))
    _mount("--rbind", "/sys", str(root / "sys"))
    for name in ("run", "dev"):
        _mount("-t", "tmpfs", "-o", "mode=755", name, str(root / name))
    _make_devices(root / "dev")
    _pivot(root)


def make_boot_image(path: Path, size_bytes: int) -> None:
    """Make an empty boot volume."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
    _run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", str(path))


def add_device(name: str, device: Path, kernel_name: str) -> None:
    """Let a block device appear, at the consistent path too when it has one."""
    number = os.stat(device).st_rdev  # noqa: PTH116 - the number of the device, not its size
    node = Path("/dev") / kernel_name
    node.unlink(missing_ok=True)
    os.mknod(node, stat.S_IFBLK | 0o660, number)
    if name:
        link = Path(name)
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(f"../{kernel_name}")


def remove_device(name: str, kernel_name: str) -> None:
    """Let it go."""
    for path in (Path("/dev") / kernel_name, Path(name or "/dev/none")):
        path.unlink(missing_ok=True)


def _hide(upper: Path) -> None:
    for name in _HIDDEN:
        path = upper / name
        path.mkdir(parents=True)
        os.setxattr(path, "trusted.overlay.opaque", b"y")
    for name in ("tmp", "var/tmp"):
        (upper / name).chmod(0o1777)
    (upper / "root").chmod(0o700)


def _keep_mounts(root: Path) -> None:
    """Bring mounts that programs lie on: an overlay shows only the file system that / itself is on."""
    wanted = [Path(one) for one in ("/usr", "/lib", "/opt", sys.base_prefix)]
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        at = Path(line.split()[4].replace(r"\040", " "))
        if at != Path("/") and at.is_dir() and any(at in (one, *one.parents) for one in wanted):
            _mount("--bind", str(at), str(root) + str(at))


def _make_devices(dev: Path) -> None:
    for name, (major, minor) in _NODES.items():
        _make_node(dev / name, stat.S_IFCHR | 0o666, major, minor)
    for name, target in _LINKS.items():
        (dev / name).symlink_to(target)
    for name, options in (("pts", "newinstance,ptmxmode=0666,mode=620"), ("shm", "mode=1777")):
        (dev / name).mkdir()
        _mount("-t", "devpts" if name == "pts" else "tmpfs", "-o", options, name, str(dev / name))
    _make_node(dev / "loop-control", stat.S_IFCHR | 0o660, *_LOOP_CONTROL)
    for number in range(_LOOPS):
        _make_node(dev / f"loop{number}", stat.S_IFBLK | 0o660, _LOOP_MAJOR, number)
    (dev / "oracleoci").mkdir()


def _make_node(path: Path, mode: int, major: int, minor: int) -> None:
    os.mknod(path, mode, os.makedev(major, minor))
    path.chmod(stat.S_IMODE(mode))  # whatever the umask is


def _pivot(root: Path) -> None:
    old = root / "mnt"
    _run("pivot_root", str(root), str(old))
    os.chdir("/")
    _run("umount", "-l", "/mnt")


def _mount(*arguments: str) -> None:
    _run("mount", *arguments)


def _run(program: str, *arguments: str) -> None:
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    done = subprocess.run([path or program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program} {' '.join(arguments)} failed: {done.stderr.strip()}")
