"""The story of one disk: backed up while its guest writes, damaged, caught, pruned, and restored elsewhere."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.demo.guest import Guest, read_files, run
from lab.demo.teller import Teller
from lab.hypervisor import Hypervisor


def main() -> None:
    """Tell it."""
    room = Path(tempfile.mkdtemp(prefix="vmferry-demo-"))
    try:
        _tell(Teller(room), room)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _tell(teller: Teller, room: Path) -> None:
    guest = Guest(room)
    teller.chapter("1. A virtual machine is at work")
    guest.install()
    teller.say("web01 has a disk of 768 MiB: a GPT, an ext4 file system with 40 files, and a database.")
    teller.say("A real qemu serves it, tracks what changes, and can freeze a moment. The database never stops writing.")
    witness = _back_up(teller, guest, room)
    _damage(teller, room)
    _prune(teller)
    _restore(teller, guest, room, witness)
    teller.say("No Airflow was needed for any of this. The console in Airflow's UI comes with the Airflow provider.")
    teller.end()


def _back_up(teller: Teller, guest: Guest, room: Path) -> Path:
    """Make three backups of the running guest; give a witness of the last frozen moment, copied by other programs."""
    with Hypervisor(guest.image) as hypervisor, guest.database_running(hypervisor):
        teller.chapter("2. Three backups, while the guest goes on writing")
        point = hypervisor.freeze()
        teller.vmferry("vault", "add", "vault", "web01", f"root={point.url}")
        hypervisor.release()

        written = guest.change_files(hypervisor, 6)
        teller.say(f"The guest wrote {written >> 10} KiB of files, and its database wrote on.")
        point = hypervisor.freeze()
        teller.vmferry(
            "vault", "add", "vault", "web01", f"root={point.url}", "--incremental", "--dirty", str(point.bitmap)
        )
        hypervisor.release()

        guest.change_files(hypervisor, 4)
        teller.say("More files changed. Then the hypervisor lost its dirty bitmap: elsewhere, that ends the chain.")
        point = hypervisor.freeze()
        answer = teller.vmferry("vault", "add", "vault", "web01", f"root={point.url}", "--incremental")
        teller.check("healed" in answer, "the chain healed: only what differs from the last proof was stored")
        witness = room / "witness.raw"
        run("nbdcopy", point.url, str(witness))
        hypervisor.release()
    guest.image.unlink()
    teller.say("A witness copied the last frozen moment with nbdcopy. Then web01 and its disk are gone.")
    return witness


def _damage(teller: Teller, room: Path) -> None:
    teller.chapter("3. One bit flips in the vault")
    teller.vmferry("vault", "verify", "vault")
    incremental = sorted(room.glob("vault/web01/*_incremental"))[0]
    image = incremental / "root.qcow2"
    place = _inside_data(image)
    _flip_bit(image, place)
    teller.say(f"Bit 4 of byte {place} of {image.relative_to(room)} has flipped.")
    check = subprocess.run(["qemu-img", "check", "-q", str(image)], capture_output=True, check=False)
    teller.say(f"`qemu-img check` sees {'no error' if check.returncode == 0 else 'an error'}.")
    answer = teller.vmferry("vault", "verify", "vault", expect=1)
    damaged = [line.split(":")[0] for line in answer.splitlines() if line.endswith(": damaged")]
    teller.check(damaged == [incremental.name], "verify names exactly the backup that was hit")
    teller.check("guest offset" in answer, "and the place on the guest's disk")
    _flip_bit(image, place)
    teller.vmferry("vault", "verify", "vault")


def _prune(teller: Teller) -> None:
    teller.chapter("4. Old backups go, the chain stays whole")
    rules = ("--keep-daily", "1", "--fold", "always")
    teller.vmferry("vault", "prune", "vault", "web01", *rules, "--plan")
    teller.vmferry("vault", "prune", "vault", "web01", *rules)
    teller.vmferry("vault", "ls", "vault")


def _restore(teller: Teller, guest: Guest, room: Path, witness: Path) -> None:
    teller.chapter("5. The disk comes back")
    restored = room / "restored.raw"
    teller.vmferry("vault", "restore", "vault", "web01", "root=restored.raw")
    teller.vmferry("disk", "compare", "restored.raw", "witness.raw")
    same = subprocess.run(["cmp", str(restored), str(witness)], check=False)
    teller.check(same.returncode == 0, "byte for byte what the witness copied from the frozen disk (cmp)")
    teller.vmferry("disk", "fsck", "restored.raw")
    found = read_files(restored, guest.files, room)
    expected = {name: hashlib.sha256(content).hexdigest() for name, content in guest.files.items()}
    teller.check(found == expected, f"all {len(expected)} files of the guest have the digests they had")


def _inside_data(image: Path) -> int:
    """Pick a byte of the guest's data: around it almost every value occurs, which is so in no table of a qcow2."""
    content = image.read_bytes()
    picks = random.Random(11)
    while True:
        place = picks.randrange(4096, len(content) - 4096)
        if len(set(content[place - 2048 : place + 2048])) > 240:
            return place


def _flip_bit(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


if __name__ == "__main__":
    main()
