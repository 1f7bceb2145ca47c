"""Lives a story through, backup for backup, and holds the vault against the model."""

from __future__ import annotations

import random
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lab.imageio import ImageioDaemon
from tests.integration.roundtrip.guests import Guest, ImageGuest, Point, RawGuest, RunningGuest, Stroke
from tests.integration.roundtrip.places import restore_to
from tests.integration.roundtrip.stories import Chapter, Story, draw, write_strokes
from tests.unit.engine.naive import naive_root

from vmferry.vault import Backup, Changes, Method, Order, Vault, add_point, open_vault, verify

START = datetime(2026, 1, 1, 3, tzinfo=UTC)
VM = "web 01"


class Telling:
    """One story while it is told."""

    def __init__(self, story: Story, room: Path, daemon: ImageioDaemon, open_things: ExitStack) -> None:
        self._story, self._room, self._daemon = story, room, daemon
        self._chance = random.Random(story.seed)
        self._sector = 1 if story.guest == "raw-file" else 512
        self._model = bytearray(self._rounded(story.size_bytes))
        self._guest = self._make_guest(open_things)
        self._vault: Vault = open_vault(room / "vault")
        self._points: list[tuple[Backup, bytes]] = []

    def _rounded(self, size_bytes: int) -> int:
        """QEMU knows no disks that end within a sector."""
        return -(-size_bytes // self._sector) * self._sector

    def _make_guest(self, open_things: ExitStack) -> Guest:
        kind, _, way = self._story.guest.partition("-")
        if kind == "running":
            running = RunningGuest(self._room, way, len(self._model), self._daemon)
            open_things.callback(running.close)
            return running
        if kind == "qcow2":
            return ImageGuest(self._room, way, len(self._model), self._daemon)
        return RawGuest(self._room, way, len(self._model), self._daemon)

    def tell(self) -> None:
        """Back up chapter by chapter, then restore."""
        for chapter in self._story.chapters:
            self._live(chapter)
        for back, place in self._story.restores:
            backup, content = self._points[-1 - back % len(self._points)]
            self._restore(place, backup, content)
        if self._story.seed % 4 == 0:
            assert verify(self._vault).sound

    def _live(self, chapter: Chapter) -> None:
        if chapter.grow_bytes and self._points:
            grown = self._rounded(len(self._model) + chapter.grow_bytes)
            self._guest.grow(grown)
            self._model.extend(bytes(grown - len(self._model)))
        strokes = self._strokes(chapter.verbs)
        self._guest.write(strokes)
        draw(self._model, strokes)
        late = self._strokes(("data", "hole")) if chapter.late else []
        with self._guest.freeze(late) as point:
            self._back_up(chapter, point)
        draw(self._model, late)

    def _strokes(self, verbs: tuple[str, ...]) -> list[Stroke]:
        return [stroke for verb in verbs for stroke in write_strokes(verb, len(self._model), self._chance)]

    def _back_up(self, chapter: Chapter, point: Point) -> None:
        incremental = not chapter.full
        bitmap = None if chapter.loses_bitmap else point.bitmap
        order = Order(
            VM,
            {"root": point.source},
            incremental=incremental,
            changes={"root": Changes(bitmap)} if bitmap and incremental else {},
            now=START + timedelta(days=len(self._points)),
        )
        backup = add_point(self._vault, order)
        (disk,) = backup.disks
        assert disk.method is self._expected(incremental, bitmap)
        assert (disk.size_bytes, disk.root) == (len(self._model), naive_root(bytes(self._model)))
        self._points.append((backup, bytes(self._model)))

    def _expected(self, incremental: bool, bitmap: str | None) -> Method:
        if not incremental or not self._points:
            return Method.FULL
        return Method.DIRTY if bitmap else Method.HEALED

    def _restore(self, place: str, backup: Backup, content: bytes) -> None:
        found, root = restore_to(place, self._vault, VM, backup.id, len(content), self._room, self._daemon)
        assert found[: len(content)] == content, f"{backup.id} restored to {place} differs"
        assert not found[len(content) :].strip(b"\0"), f"{backup.id} in {place}: old bytes behind the end"
        assert root == backup.disks[0].root


def tell(story: Story, daemon: ImageioDaemon) -> None:
    """Live one story through in a room of its own."""
    with tempfile.TemporaryDirectory(prefix="story-") as room, ExitStack() as open_things:
        Telling(story, Path(room), daemon, open_things).tell()
