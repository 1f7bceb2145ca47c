# SPDX-License-Identifier: Apache-2.0
"""Makes disk images that try to make their reader open other files, or to lead it astray; and a wire that tells.

They are built from real, sound images by changing the very fields that an attacker would.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

MiB = 1 << 20
Maker = Callable[[Path, str], None]
"""Makes one image at a path; the text is the file that it names."""
_IN_ACCESS, _IN_OPEN, _IN_NONBLOCK = 0x1, 0x20, 0o4000


class Tripwire:
    """Tells whether anybody, child programs included, opened a file while it was watched (inotify)."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(_IN_NONBLOCK)
        if self._fd < 0 or self._libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_ACCESS | _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), f"cannot watch {path}")

    def was_touched(self) -> bool:
        """Tell whether the file was opened or read since the last question."""
        try:
            return bool(os.read(self._fd, 4096))
        except BlockingIOError:
            return False

    def __enter__(self) -> Tripwire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)


def make_image(path: Path, kind: str, size_bytes: int = 8 * MiB, options: str = "") -> Path:
    """Make a sound image with some data in it."""
    extra = ("-o", options) if options else ()
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, *extra, str(path), str(size_bytes)], check=True)
    write = ["qemu-io", "-f", kind, "-c", "write -P 7 1M 128k", str(path)]
    subprocess.run(write, check=True, stdout=subprocess.DEVNULL)
    return path


def patch(path: Path, offset: int, data: bytes) -> None:
    """Change bytes of an image."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def vmdk_descriptor(path: Path, extents: str, extra: str = "parentCID=ffffffff") -> None:
    """Write a VMDK descriptor whose extent lines are given."""
    text = f'# Disk DescriptorFile\nversion=1\nCID=12345678\n{extra}\ncreateType="monolithicFlat"\n{extents}\n'
    path.write_text(text)


def _qcow2_named_backing(path: Path, named: str) -> None:
    make_image(path, "qcow2")
    patch(path, 0x8000, named.encode())
    patch(path, 8, struct.pack(">QI", 0x8000, len(named.encode())))


def _qcow2_data_file(path: Path, named: str) -> None:
    make_image(path, "qcow2")
    patch(path, 72, struct.pack(">Q", 1 << 2))
    _prepend_extension(path, 0x44415441, named.encode())


def _qcow2_data_file_name_only(path: Path, named: str) -> None:
    make_image(path, "qcow2")
    _prepend_extension(path, 0x44415441, named.encode())


def _prepend_extension(path: Path, kind: int, data: bytes) -> None:
    raw = path.read_bytes()
    at = struct.unpack_from(">I", raw, 100)[0]
    extension = struct.pack(">II", kind, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")
    patch(path, at, extension + bytes(8))


def _qcow2_patched(offset: int, data: bytes) -> Maker:
    def make(path: Path, _named: str) -> None:
        make_image(path, "qcow2")
        patch(path, offset, data)

    return make


def _vmdk_flat(path: Path, named: str) -> None:
    vmdk_descriptor(path, f'RW 16384 FLAT "{named}" 0')


def _vmdk_commented(path: Path, named: str) -> None:
    """Start with comments, as qemu allows; an upper-case key and strange spaces on top."""
    path.write_text(f'#x\n\n  # y\nversion=1\nparentCID=ffffffff\ncreateType="vmfs"\n RW  16384  VMFS  "{named}"\n')


def _vmdk_parent(path: Path, named: str) -> None:
    vmdk_descriptor(path, "", f'parentCID=1234abcd\nparentFileNameHint="{named}"')


def _vmdk_carrier(path: Path, named: str) -> None:
    """A sparse VMDK of capacity 0: qemu takes the descriptor inside it for the whole truth."""
    make_image(path, "vmdk")
    inside = path.with_suffix(".text")
    _vmdk_flat(inside, named)
    text = inside.read_bytes()
    inside.unlink()
    patch(path, 0x200, text.ljust(20 * 512, b"\0"))
    patch(path, 12, bytes(8))


def _vmdk_hidden_parent(path: Path, named: str) -> None:
    """A parent's name in an otherwise sound sparse VMDK."""
    make_image(path, "vmdk")
    at = path.read_bytes().index(b"parentCID=ffffffff")
    patch(path, at, f'parentCID=1234abcd\nparentFileNameHint="{named}"\n'.encode())


def _vhd_differencing(path: Path, _named: str) -> None:
    make_image(path, "vpc")
    for offset in (0, path.stat().st_size - 512):
        footer = bytearray(path.read_bytes()[offset : offset + 512])
        struct.pack_into(">I", footer, 60, 4)
        struct.pack_into(">I", footer, 64, 0)
        struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
        patch(path, offset, bytes(footer))


def _vdi_differencing(path: Path, _named: str) -> None:
    make_image(path, "vdi")
    patch(path, 0x4C, struct.pack("<I", 4))
    patch(path, 0x1A8, b"linked-to-parent")


def _vhdx_differencing(path: Path, _named: str) -> None:
    make_image(path, "vhdx", 64 * MiB)
    raw = path.read_bytes()
    at = raw.index(b"metadata")
    # "Has parent" of the file parameters, which are the first item: their offset stands in the first entry.
    item = struct.unpack_from("<I", raw, at + 32 + 16)[0]
    flags = struct.unpack_from("<I", raw, at + item + 4)[0]
    patch(path, at + item + 4, struct.pack("<I", flags | 2))


HOSTILE: dict[str, Maker] = {
    "backing.qcow2": _qcow2_named_backing,
    "data-file.qcow2": _qcow2_data_file,
    "data-file-name.qcow2": _qcow2_data_file_name_only,
    "8-eib.qcow2": _qcow2_patched(24, struct.pack(">Q", 1 << 63)),
    "65-tib.qcow2": _qcow2_patched(24, struct.pack(">Q", 65 << 40)),
    "encrypted.qcow2": _qcow2_patched(32, struct.pack(">I", 1)),
    "corrupt.qcow2": _qcow2_patched(72, struct.pack(">Q", 1 << 1)),
    "unknown-feature.qcow2": _qcow2_patched(72, struct.pack(">Q", 1 << 40)),
    "l1-behind-end.qcow2": _qcow2_patched(40, struct.pack(">Q", 1 << 40)),
    "l1-absurd.qcow2": _qcow2_patched(36, struct.pack(">I", 0xFFFFFFFF)),
    "cluster-bits.qcow2": _qcow2_patched(20, struct.pack(">I", 63)),
    "snapshots.qcow2": _qcow2_patched(60, struct.pack(">I", 0xFFFFFFFF)),
    "flat.vmdk": _vmdk_flat,
    "commented.vmdk": _vmdk_commented,
    "parent.vmdk": _vmdk_parent,
    "carrier.vmdk": _vmdk_carrier,
    "hidden-parent.vmdk": _vmdk_hidden_parent,
    "differencing.vhd": _vhd_differencing,
    "differencing.vdi": _vdi_differencing,
    "differencing.vhdx": _vhdx_differencing,
}
"""File name -> how that hostile image is made."""
