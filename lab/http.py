"""A small real HTTP(S) object server on loopback, whose faults can be switched on.

It knows ranges, ETag, Last-Modified and the conditional headers, as an object storage does, and counts what it was
asked, so that a test can say what went over the wire. `python -m lab.http DIRECTORY` serves the files of a directory.
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from lab.http_object import HttpObject
from lab.http_request import ObjectRequest
from lab.pki import Certificate


@dataclass(slots=True)
class Fault:
    """Something that goes wrong for the next `times` requests."""

    times: int = 1
    status: int | None = None
    """Answer with this status instead of the object."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of that answer, e.g. Retry-After."""
    drop_after_bytes: int | None = None
    """Cut the connection after so many bytes of the body; -1 cuts it before the answer."""
    ignore_range: bool = False
    """Send the whole object with status 200, as a server without ranges does."""
    then: Callable[[], object] = lambda: None
    """Called when a body was cut, e.g. to replace the object just then."""


@dataclass(slots=True)
class Counts:
    """What was asked of the server so far."""

    requests: int = 0
    connections: int = 0
    body_bytes: int = 0
    methods: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    """Headers of every request, to see which ones were sent where."""


class HttpServer:
    """Serves objects put into it until it is closed."""

    def __init__(self, certificate: Certificate | None = None, *, rate_bytes_per_s: float | None = None) -> None:
        self.rate_bytes_per_s = rate_bytes_per_s
        """What one connection gets at most; object storages limit each connection, not the client."""
        self.required_header: tuple[str, str] | None = None
        """Without this header every request is answered 401."""
        self.refused_methods: tuple[str, ...] = ()
        """Methods answered 403, as HEAD is for a pre-signed URL."""
        self.redirects: dict[str, str] = {}
        self.counts = Counts()
        self.lock = threading.Lock()
        self._objects: dict[str, HttpObject] = {}
        self._faults: deque[Fault] = deque()
        self._sockets: set[socket.socket] = set()
        self._offline = False
        self._scheme = "https" if certificate else "http"
        self._listener = _Listener(self, certificate)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the server is, without a slash at the end."""
        return f"{self._scheme}://127.0.0.1:{self._listener.server_address[1]}"

    def put(self, path: str, content: bytes | Path, *, etag: str | None = "strong", dated: bool = True) -> str:
        """Store an object (again), return its URL; `etag` is "strong", "weak" or None."""
        with self.lock:
            self._objects[path] = HttpObject.create(content, etag=etag, dated=dated)
        return self.url + path

    def find(self, path: str) -> HttpObject | None:
        """Return the object at a path."""
        with self.lock:
            return self._objects.get(path)

    def fail(self, fault: Fault) -> None:
        """Let the next requests go wrong; faults queue up."""
        with self.lock:
            self._faults.append(fault)

    def next_fault(self) -> Fault | None:
        """Take the fault of the request that begins now."""
        with self.lock:
            if not self._faults:
                return None
            fault = self._faults[0]
            fault.times -= 1
            if fault.times <= 0:
                self._faults.popleft()
            return fault

    def offline(self) -> None:
        """Cut every connection and refuse new ones, as a network that is gone."""
        with self.lock:
            self._offline = True
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    # SSLSocket.shutdown() would make the connection's thread go on in clear text.
                    socket.socket.shutdown(each, socket.SHUT_RDWR)

    def online(self) -> None:
        """Come back."""
        with self.lock:
            self._offline = False

    def admit(self, connection: socket.socket) -> bool:
        """Note a new connection; False while offline."""
        with self.lock:
            self.counts.connections += 1
            self._sockets.add(connection)
            return not self._offline

    def dismiss(self, connection: socket.socket) -> None:
        """Forget a connection that ended."""
        with self.lock:
            self._sockets.discard(connection)

    def close(self) -> None:
        """Stop; connections still open are cut."""
        self.offline()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    def __enter__(self) -> HttpServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Listener(http.server.ThreadingHTTPServer):
    """Accepts connections; the TLS handshake happens in the connection's own thread."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, lab: HttpServer, certificate: Certificate | None) -> None:
        self.lab = lab
        self.context = certificate.server_context() if certificate else None
        super().__init__(("127.0.0.1", 0), ObjectRequest)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are part of the tests."""


@contextlib.contextmanager
def serve_directory(directory: Path, *, rate_bytes_per_s: float | None = None) -> Iterator[str]:
    """Serve files from a process of its own, which ends with us; yields the URL (a bench needs a GIL of its own)."""
    import subprocess

    command = [sys.executable, "-m", "lab.http", str(directory), str(rate_bytes_per_s or "")]
    root = Path(__file__).resolve().parent.parent
    child = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout
        yield child.stdout.readline().strip()
    finally:
        child.communicate()


def _serve_until_stdin_ends(directory: str, rate: str = "") -> None:
    with HttpServer(rate_bytes_per_s=float(rate) if rate else None) as server:
        for path in sorted(Path(directory).iterdir()):
            if path.is_file():
                server.put(f"/{path.name}", path)
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve_until_stdin_ends(*sys.argv[1:])
