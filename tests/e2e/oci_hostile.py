"""Names and images that mean harm, or cannot mean anything: what is uploaded, and how each has to end."""

from __future__ import annotations

import gzip
import lzma
import random
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.hostile import HOSTILE

LIMIT_MIB = 64
"""`max_size` of the rule that they are uploaded under."""
EQUAL = "equal"
IGNORED = "ignored"
SECRET = "/etc/passwd"
"""What images name: a worker has one too."""
Maker = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One upload."""

    label: str
    name: str
    """``{call}`` in it is the canary's command."""
    ends: str = EQUAL
    """`EQUAL`, `IGNORED`, or what the run's note has to say."""
    make: Maker | None = None
    """Makes the image; some random bytes when not given."""
    metadata: Mapping[str, str] = field(default_factory=dict)


def content_of(case: Case, path: Path) -> Path:
    """Make the image of a case; the same case gives the same."""
    if case.make is not None:
        case.make(path)
    else:
        path.write_bytes(random.Random(case.label).randbytes(160 << 10) + bytes(96 << 10))
    return path


def _named(kind: str, named: str = SECRET) -> Maker:
    return lambda path: HOSTILE[kind](path, named)


def _bytes(content: Callable[[], bytes]) -> Maker:
    return lambda path: _write(path, content())


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _qcow2(path: Path) -> bytes:
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", str(path), "1M"]
    subprocess.run(argv, check=True)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", str(path)], check=True, stdout=subprocess.DEVNULL
    )
    return path.read_bytes()


def _torn_qcow2(path: Path) -> None:
    whole = _qcow2(path)
    path.write_bytes(whole[: len(whole) // 2])


def _qcow2_in_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(_qcow2(path)))


def _torn_gz() -> bytes:
    packed = gzip.compress(random.Random(5).randbytes(400_000), 1)
    return packed[: len(packed) // 2]


def _xz_bomb() -> bytes:
    return lzma.compress(bytes(256 << 20), preset=0)


def _gz_bomb() -> bytes:
    """512 MiB of zeros in half a megabyte; its last bytes say that they are 4 KiB."""
    packed = gzip.compress(bytes(512 << 20), 1)
    return packed[:-4] + (4096).to_bytes(4, "little")


NAMES = (
    Case("spaces-quotes", 'my "disk" it\'s.raw'),
    Case("dollar", "$({call}).raw"),
    Case("backticks", "a`{call}`b.raw"),
    Case("semicolons", "a; {call};.raw"),
    Case("pipe", "a | {call} |.raw"),
    Case("ampersands", "a && {call} & .raw"),
    Case("redirections", "a > b < c 2>&1 <({call}) >> d.raw"),
    Case("quote-and-call", "a'; {call}; '.raw"),
    Case("double-quote-and-call", 'a"; {call}; ".raw'),
    Case("newline", "a\n{call}\n.raw"),
    Case("tab-hash-bang", "\t#!/bin/sh {call}.raw"),
    Case("long", "folder/" + "x" * 1013 + ".raw"),
    Case("cyrillic", "диск № 1 ж.raw"),
    Case("emoji", "🚢👩‍🚀💾.raw"),
    Case("right-to-left", "\u202ewar.elif\u202c\u200bמאה.raw"),
    Case("dashes", "-rf --output=/etc/passwd --.raw"),
    Case("dots", "../../../../etc/cron.d/../x.raw"),
    Case("percents", "%2e%2e%2f%00%0a%24({call})%s%n.raw"),
    Case("nul-like", "\\0\\x00\\u0000$'\\x41'^@.raw"),
    Case("template", "{{{{ 7*7 }}}}{{% raw %}}{{{{ conn.vmferry_oci.password }}}}.raw"),
    Case("sql-json", '\'; DROP TABLE dag_run; --"}},{{"a":[.raw'),
    Case("globs", "~/*?[a-z]!{{1,2}}$IFS$HOME.raw"),
    Case("pseudo-protocol", 'json:{{"driver":"file","filename":"/etc/passwd"}}.raw'),
    Case("address", "https://127.0.0.1:1/p/o?x=1&y=2#z.raw"),
)
"""Each of them is only a name: the disk behind it is imported."""

IMAGES = (
    Case("backing", "backing.qcow2", "inspect_image.*backing", _named("backing.qcow2")),
    Case(
        "json-backing", "json-backing.qcow2", "inspect_image.*backing",
        _named("backing.qcow2", 'json:{"driver":"file","filename":"/etc/passwd"}'),
    ),
    Case("data-file", "data-file.qcow2", "inspect_image.*data", _named("data-file.qcow2")),
    Case("encrypted", "encrypted.qcow2", "inspect_image.*encrypt", _named("encrypted.qcow2")),
    Case("absurd-table", "l1.qcow2", "inspect_image", _named("l1-absurd.qcow2")),
    Case("too-large", "65-tib.qcow2", "inspect_image.*65.0 TiB, more than 64.0 MiB", _named("65-tib.qcow2")),
    Case("extent-elsewhere", "flat.vmdk", "inspect_image.*", _named("flat.vmdk")),
    Case("parent", "parent.vmdk", "inspect_image.*parent", _named("hidden-parent.vmdk")),
    Case("differencing", "differencing.vhdx", "inspect_image.*", _named("differencing.vhdx")),
    Case("no-image", "text.vmdk", "inspect_image.*no vmdk image", _bytes(lambda: b"hello, disk\n" * 900)),
    Case("torn", "torn.qcow2", "write_image_to_bv.*cut off", _torn_qcow2),
    Case("torn-gz", "torn.raw.gz", "inspect_image.*ends too early", _bytes(_torn_gz)),
    Case("gz-bomb", "bomb.raw.gz", "inspect_image.*gz stream is damaged", _bytes(_gz_bomb)),
    Case("xz-bomb", "bomb.raw.xz", "inspect_image.*64.0 MiB", _bytes(_xz_bomb)),
    Case("qcow2-in-gz", "inside.raw.gz", "inspect_image.*holds qcow2", _qcow2_in_gz),
    Case("empty", "empty.raw", "get_file_head.*is empty", _bytes(bytes)),
    Case("wrong-sha256", "sum.raw", "inspect_image.*SHA-256", metadata={"sha256": "0" * 64}),
    Case("no-numbers", "numbers.raw", "get_file_head.*ad_number.*size_gb.*vpus",
         metadata={"ad_number": "four", "size_gb": "1e3", "vpus": "15"}),
    Case("no-such-domain", "domain.raw", "get_file_head.*ad_number.*1 to 3", metadata={"ad_number": "9"}),
    Case("compartment", "elsewhere.raw", "get_file_head.*not allowed", metadata={"compartment": "ocid1.compartment.x"}),
    Case("custom-image", "image.raw", "get_file_head.*volume, boot_volume", metadata={"target": "image"}),
    Case("no-disk-by-name", "notes {call}.txt", IGNORED),
    Case("calls-in-metadata", "metadata.raw",
         metadata={"display_name": "$({call})", "owner": "`{call}`", "note": "; {call} #", "x-$(id)": "1"}),
    Case("many-metadata", "many.raw", metadata={f"key{number}": "value" for number in range(30)}),
)  # fmt: skip
"""Each of these is refused with a reason, but for the last two, whose disks are sound."""
CASES = (*NAMES, *IMAGES)
