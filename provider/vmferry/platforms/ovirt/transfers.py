# SPDX-License-Identifier: Apache-2.0
"""Image transfers: the engine's way to a disk's bytes. Opened once, found again by the next try, always given back."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from vmferry.engine.endpoint import EndpointSpec
from vmferry.engine.errors import EngineError
from vmferry.platforms.errors import BadState, BitmapBroken, Conflict, NotThere, Refused, TransferFailed
from vmferry.platforms.ovirt.sdk import types
from vmferry.platforms.ovirt.session import Session
from vmferry.platforms.ovirt.texts import correlation, ident, word
from vmferry.platforms.ovirt.waits import (
    ENDED_TRANSFERS,
    PAUSED_TRANSFERS,
    TRANSFER_ENDED,
    TRANSFER_OPEN,
    TRANSFER_SUCCEEDED,
)
from vmferry.platforms.points import Access
from vmferry.platforms.waiting import WaitTable

OPEN_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Wish:
    """Which bytes should be reached."""

    disk_id: str
    name: str
    """VM and disk, for messages."""
    owner: str
    upload: bool = False
    backup_id: str | None = None
    """Through this backup."""
    snapshot_id: str | None = None
    """This disk as it was in a snapshot."""
    changes: bool = False
    """The changes matter: a failure may mean that their bitmap is broken."""


def open_transfer(session: Session, wish: Wish) -> Any:
    """Open a transfer, or find the one a dead try left open, and wait until it serves."""
    found = _find_open(session, wish) if wish.upload else None
    renewed = _renew(session, found, wish) if found is not None else None
    transfer = renewed or _open(session, wish)
    try:
        session.wait(
            TRANSFER_OPEN,
            lambda api: word(_service(api, transfer.id).get().phase),
            name=wish.name,
            timeout_s=session.at_most(OPEN_TIMEOUT_S),
        )
    except BadState as error:
        _give_up(session, transfer.id, wish)
        raise _explain(error, wish) from error
    except BaseException:
        _give_up(session, transfer.id, wish)
        raise
    return session.ask(f"{wish.name}: reading its transfer", lambda api: _service(api, transfer.id).get())


def make_access(session: Session, transfer: Any, *, label: str, identity: str, reads_zero: bool = False) -> Access:
    """Say where the bytes are. The URL holds the ticket, which is a key, so it goes with the secrets."""
    url = transfer.transfer_url or transfer.proxy_url
    if not url:
        raise TransferFailed(f"{label}: the engine gives no address for the transfer", fix="run it again")
    options: dict[str, Any] = {"label": label, "identity": identity}
    if session.imageio_ca_file:
        options["tls_ca"] = session.imageio_ca_file
    if reads_zero:
        options["reads_zero"] = True
    secrets = {"url": url}
    if transfer.proxy_url and transfer.proxy_url != url:
        secrets["proxy_url"] = transfer.proxy_url
    return Access(EndpointSpec("imageio", url.rpartition("/")[0], options=options), secrets)


def list_transfers(session: Session) -> list[Any]:
    """List all transfers the engine knows, ended ones too."""
    found: list[Any] = session.ask("listing transfers", lambda api: api.image_transfers_service().list())
    return found


def is_running(transfer: Any) -> bool:
    """Tell whether a transfer still holds something."""
    return word(transfer.phase) not in ENDED_TRANSFERS


def disk_of(transfer: Any) -> str | None:
    """Give the id of its disk: old engines call it `image`."""
    return ident(transfer.disk) or ident(transfer.image)


def end_transfer(session: Session, transfer_id: str, name: str) -> None:
    """Give a transfer back and wait until it is. May be called again. Does not look at the disk."""
    state = session.find(f"{name}: looking at its transfer", lambda api: word(_service(api, transfer_id).get().phase))
    if state is None:
        return
    if state not in ENDED_TRANSFERS:
        _finalize(session, transfer_id, name)
    session.wait(TRANSFER_ENDED, lambda api: word(_service(api, transfer_id).get().phase), name=name)


def finish_upload(session: Session, transfer_id: str, name: str) -> str:
    """Let the engine check what was uploaded, and wait for its word."""
    state = session.find(f"{name}: looking at its transfer", lambda api: word(_service(api, transfer_id).get().phase))
    if state in PAUSED_TRANSFERS:
        session.ask(f"{name}: resuming its transfer", lambda api: _service(api, transfer_id).resume())
        session.wait(TRANSFER_OPEN, lambda api: word(_service(api, transfer_id).get().phase), name=name)
    if state is not None and state not in ENDED_TRANSFERS:
        _finalize(session, transfer_id, name)
    return session.wait(
        TRANSFER_SUCCEEDED,
        lambda api: word(_service(api, transfer_id).get().phase),
        name=name,
        fix="the engine does not accept the disk; remove it and restore again",
    )


def cancel_transfer(session: Session, transfer_id: str, name: str) -> None:
    """Drop a transfer. An upload's disk goes with it. May be called again."""
    # Refused: it has ended by itself, or is about to.
    with contextlib.suppress(Conflict, Refused):
        session.remove(f"{name}: cancelling its transfer", lambda api: _service(api, transfer_id).cancel())
    session.wait(TRANSFER_ENDED, lambda api: word(_service(api, transfer_id).get().phase), name=name)


def _open(session: Session, wish: Wish) -> Any:
    what = f"{wish.name}: opening a transfer"
    _await_ending(session, wish)
    try:
        return session.make(what, lambda: _find_open(session, wish), lambda api: _order(session, api, wish))
    except (Conflict, Refused) as error:
        # oVirt engine #896: a broken bitmap is noticed when the transfer is asked for, not when the backup begins.
        if wish.changes:
            raise _broken(error, wish) from error
        raise


def _service(api: Any, transfer_id: str) -> Any:
    return api.image_transfers_service().image_transfer_service(transfer_id)


def _finalize(session: Session, transfer_id: str, name: str) -> None:
    """Ask for the end. A daemon that still counts our connections refuses for a moment (ovirt-imageio #208)."""

    def finalize(api: Any) -> None:
        phase = word(_service(api, transfer_id).get().phase)
        if phase not in ENDED_TRANSFERS:
            _service(api, transfer_id).finalize()

    # Not there: engines before 4.4.7 forget a transfer as soon as it has ended.
    with contextlib.suppress(NotThere):
        session.insist(f"{name}: finalizing its transfer", finalize)


def serves(transfer: Any, wish: Wish) -> bool:
    """Tell whether a transfer is the wished one and still holds something."""
    return (
        is_running(transfer)
        and disk_of(transfer) in (wish.disk_id, wish.snapshot_id)
        and word(transfer.direction) == ("upload" if wish.upload else "download")
        and ident(transfer.backup) == wish.backup_id
        and (wish.snapshot_id is None or ident(transfer.snapshot) in (None, wish.snapshot_id))
    )


def _find_open(session: Session, wish: Wish) -> Any | None:
    return next((one for one in list_transfers(session) if serves(one, wish)), None)


def _order(session: Session, api: Any, wish: Wish) -> Any:
    direction = types.ImageTransferDirection
    policy = types.ImageTransferTimeoutPolicy
    wanted = types.ImageTransfer(
        direction=direction.UPLOAD if wish.upload else direction.DOWNLOAD,
        # Raw: what the guest sees, whatever the disk's own format is.
        format=types.DiskFormat.RAW,
        # An idle upload waits for us (cancelling it would remove the disk), an idle download is nobody's.
        timeout_policy=policy.PAUSE if wish.upload else policy.CANCEL,
        inactivity_timeout=session.settings.transfer_idle_s,
        backup=types.Backup(id=wish.backup_id) if wish.backup_id else None,
    )
    if wish.snapshot_id:
        wanted.snapshot = types.DiskSnapshot(id=wish.snapshot_id)
    else:
        wanted.disk = types.Disk(id=wish.disk_id)
    return api.image_transfers_service().add(wanted, query=correlation(wish.owner, "transfer"))


def _renew(session: Session, transfer: Any, wish: Wish) -> Any | None:
    """Take over an upload that an earlier try left: resume a paused one, else end it so that a new one can begin.

    The engine may call a transfer fine whose ticket a restarted daemon has forgotten, so one that merely looks open is
    not trusted. Ending it well keeps the disk and its bytes; cancelling it would remove the disk.
    """
    if word(transfer.phase) in PAUSED_TRANSFERS:
        with contextlib.suppress(BadState, Conflict, Refused, NotThere):
            session.ask(f"{wish.name}: resuming its transfer", lambda api: _service(api, transfer.id).resume())
            # It pauses again at once when the daemon has lost its ticket.
            _await(session, TRANSFER_OPEN, transfer.id, wish.name)
            return transfer
    _finalize(session, transfer.id, wish.name)
    _await(session, TRANSFER_ENDED, transfer.id, wish.name)
    return None


def _await(session: Session, table: WaitTable, transfer_id: str, name: str) -> str:
    return session.wait(
        table,
        lambda api: word(_service(api, transfer_id).get().phase),
        name=name,
        timeout_s=session.at_most(OPEN_TIMEOUT_S),
    )


def _await_ending(session: Session, wish: Wish) -> None:
    """Wait for transfers of the disk that are about to end: until then the engine opens no other."""
    for transfer in list_transfers(session):
        if disk_of(transfer) == wish.disk_id and not is_running(transfer):
            _await(session, TRANSFER_ENDED, transfer.id, wish.name)


def _give_up(session: Session, transfer_id: str, wish: Wish) -> None:
    """Leave nothing behind of a transfer that does not serve. An upload's disk is not ours to lose: it is kept."""
    state = session.find(f"{wish.name}: its transfer", lambda api: word(_service(api, transfer_id).get().phase))
    if state is not None and state not in ENDED_TRANSFERS and not wish.upload:
        cancel_transfer(session, transfer_id, wish.name)


def _explain(error: BadState, wish: Wish) -> TransferFailed:
    if wish.changes:
        return _broken(error, wish)
    failed = TransferFailed(f"{error.what}; nothing of it is left at the engine", fix=error.fix)
    failed.state = error.state
    return failed


def _broken(error: EngineError, wish: Wish) -> BitmapBroken:
    broken = BitmapBroken(
        f"{error.what}: the bitmap of the changes may be broken",
        fix="the point has to be opened again without it; the disk is then healed by its proof",
    )
    broken.state = getattr(error, "state", "")
    return broken
