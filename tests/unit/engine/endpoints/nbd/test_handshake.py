# SPDX-License-Identifier: Apache-2.0
"""The handshake against a peer that says exactly what we want it to: old servers, broken servers, refusals."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest

from vmferry.engine.endpoints.nbd import protocol
from vmferry.engine.endpoints.nbd.address import NbdAddress
from vmferry.engine.endpoints.nbd.handshake import Export, SessionBroken, negotiate
from vmferry.engine.errors import BadInput, TrustError, Unreadable

GREETING = protocol.GREETING.pack(b"NBDMAGIC", b"IHAVEOPT", 3)
ADDRESS = NbdAddress("nbd://peer/disk", "disk", host="peer")


class Peer:
    """Sends a greeting, then for each option what `answers` has for it."""

    def __init__(self, greeting: bytes, answers: dict[int, bytes]) -> None:
        self.ours, self._theirs = socket.socketpair()
        self._greeting, self._answers = greeting, answers
        self.asked: list[tuple[int, bytes]] = []
        self._thread = threading.Thread(target=self._talk)

    def __enter__(self) -> Peer:
        self.ours.settimeout(20)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ours.close()
        self._thread.join()
        self._theirs.close()

    def _talk(self) -> None:
        with contextlib.suppress(ConnectionError), self._theirs, self._theirs.makefile("rb") as said:
            self._theirs.sendall(self._greeting)
            if len(self._greeting) < protocol.GREETING.size:
                return
            said.read(4)
            while len(head := said.read(protocol.OPTION.size)) == protocol.OPTION.size:
                _, option, length = protocol.OPTION.unpack(head)
                self.asked.append((option, said.read(length)))
                if option not in self._answers:
                    return
                self._theirs.sendall(self._answers[option])


def reply(option: int, kind: int, data: bytes = b"") -> bytes:
    return protocol.OPTION_REPLY.pack(protocol.OPTION_REPLY_MAGIC, option, kind, len(data)) + data


def refused(option: int, kind: int = protocol.REP_ERR_UNSUP) -> bytes:
    return reply(option, kind, b"no such luck")


def meet(answers: dict[int, bytes], greeting: bytes = GREETING, contexts: tuple[str, ...] = ()) -> Export:
    with Peer(greeting, answers) as peer:
        return negotiate(peer.ours, ADDRESS, contexts)[1]


def test_an_old_server_without_go_and_structured_replies() -> None:
    export = meet(
        {
            protocol.OPT_STRUCTURED_REPLY: refused(protocol.OPT_STRUCTURED_REPLY),
            protocol.OPT_GO: refused(protocol.OPT_GO),
            protocol.OPT_EXPORT_NAME: struct.pack(">QH", 123456, protocol.HAS_FLAGS | protocol.READ_ONLY),
        },
        contexts=("base:allocation",),
    )
    assert (export.size, export.structured, export.contexts) == (123456, False, {})
    assert export.can(protocol.READ_ONLY)
    assert not export.can(protocol.SEND_FLUSH)


def test_an_old_server_that_pads_its_answer() -> None:
    old = protocol.GREETING.pack(b"NBDMAGIC", b"IHAVEOPT", protocol.FIXED_NEWSTYLE)
    answers = {
        protocol.OPT_STRUCTURED_REPLY: refused(protocol.OPT_STRUCTURED_REPLY),
        protocol.OPT_GO: refused(protocol.OPT_GO),
        protocol.OPT_EXPORT_NAME: struct.pack(">QH124x", 99, protocol.HAS_FLAGS),
    }
    assert meet(answers, old).size == 99


def test_contexts_and_limits_are_taken_over() -> None:
    info = protocol.OPT_GO, protocol.REP_INFO
    context = protocol.OPT_SET_META_CONTEXT
    export = meet(
        {
            protocol.OPT_STRUCTURED_REPLY: reply(protocol.OPT_STRUCTURED_REPLY, protocol.REP_ACK),
            context: reply(context, protocol.REP_META_CONTEXT, b"\0\0\0\7base:allocation")
            + reply(context, protocol.REP_ACK),
            protocol.OPT_GO: reply(*info, struct.pack(">HQH", protocol.INFO_EXPORT, 1 << 40, 0x1ED))
            + reply(*info, struct.pack(">HIII", protocol.INFO_BLOCK_SIZE, 4096, 4096, 1 << 20))
            + reply(*info, b"\xff\xffsomething new")
            + reply(protocol.OPT_GO, protocol.REP_ACK),
        },
        contexts=("base:allocation", "qemu:dirty-bitmap:x"),
    )
    assert (export.size, export.min_block, export.max_payload) == (1 << 40, 4096, 1 << 20)
    assert export.contexts == {7: "base:allocation"}


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        (protocol.REP_ERR_UNKNOWN, Unreadable, "no such export"),
        (protocol.REP_ERR_TLS_REQD, TrustError, "wants TLS"),
        (protocol.REP_ERR_POLICY, BadInput, "no such luck"),
        (protocol.REP_ERR_SHUTDOWN, SessionBroken, "shutting down"),
    ],
    ids=["unknown", "tls", "policy", "shutdown"],
)
def test_refusals_have_their_own_errors(kind: int, error: type[Exception], says: str) -> None:
    answers = {
        protocol.OPT_STRUCTURED_REPLY: refused(protocol.OPT_STRUCTURED_REPLY),
        protocol.OPT_GO: refused(protocol.OPT_GO, kind),
    }
    with pytest.raises(error, match=says):
        meet(answers)


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", BadInput),
        (struct.pack(">8sQH", b"NBDMAGIC", 0x420281861253, 0), BadInput),
        (b"NBDM", SessionBroken),
    ],
    ids=["another-protocol", "oldstyle", "cut-off"],
)
def test_greetings_that_are_none(greeting: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        meet({}, greeting)


@pytest.mark.parametrize(
    "answer",
    [b"\0" * 20, reply(99, protocol.REP_ACK), protocol.OPTION_REPLY.pack(protocol.OPTION_REPLY_MAGIC, 8, 1, 1 << 30)],
    ids=["no-magic", "another-option", "absurd-length"],
)
def test_nonsense_breaks_the_session(answer: bytes) -> None:
    with pytest.raises(SessionBroken):
        meet({protocol.OPT_STRUCTURED_REPLY: answer})
