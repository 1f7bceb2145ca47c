"""Takes things on to their next phase when their time has come, as the engine's scheduler does."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.ovirt.engine import Engine

PERIOD_S = 0.03
WORKERS = 8
AGAIN_S = 1.0

Step = Callable[["Engine", Any], None]


class Clock:
    """Calls a kind's step for each thing that is due; never two steps of one thing at once."""

    def __init__(self, engine: Engine, steps: dict[str, Step]) -> None:
        self._engine = engine
        self._steps = steps
        self._busy: set[int] = set()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="step")
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        while True:
            with self._engine.lock:
                now = time.time()
                due = [(kind, one) for kind, one in self._things() if 0 < one.due <= now and id(one) not in self._busy]
                self._busy.update(id(one) for _, one in due)
            for kind, one in due:
                self._pool.submit(self._step, kind, one)
            time.sleep(PERIOD_S)

    def _things(self) -> Iterator[tuple[str, Any]]:
        inventory = self._engine.inventory
        yield from (("disk", one) for one in inventory.disks.values())
        yield from (("backup", one) for one in inventory.backups.values())
        yield from (("transfer", one) for one in inventory.transfers.values())
        for vm in inventory.vms.values():
            yield "vm", vm
            yield from (("snapshot", one) for one in vm.snapshots)

    def _step(self, kind: str, thing: Any) -> None:
        try:
            self._steps[kind](self._engine, thing)
        except Exception:  # noqa: BLE001 - a border: whatever a step does not expect must not stop the clock
            traceback.print_exc()
            with self._engine.lock:
                thing.due = time.time() + AGAIN_S
        finally:
            with self._engine.lock:
                self._busy.discard(id(thing))
                self._engine.save()
