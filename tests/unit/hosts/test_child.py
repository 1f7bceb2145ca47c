from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from lab.jobs import engine_environment, is_alive, wait_until

from vmferry.hosts.child import Spawner, bound, stop
from vmferry.hosts.private import PrivateDirectory

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    spawner = Spawner()
    made: list[subprocess.Popen[bytes]] = []
    worker = threading.Thread(target=lambda: made.append(spawner.spawn(bound(SLEEPER), stdout=subprocess.PIPE)))
    worker.start()
    worker.join()
    child = made[0]
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    assert is_alive(child.pid)
    stop(child)
    stop(child)
    spawner.close()
    assert not is_alive(child.pid)


PARENT = f"""
import os, signal, subprocess
from vmferry.hosts.child import Spawner, bound
child = Spawner().spawn(bound({SLEEPER!r}), stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_child_ends_when_its_parent_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=engine_environment())
    wait_until(lambda: not is_alive(int(done.stdout)), "the child is gone")
    assert done.returncode == -9


def test_a_spawner_works_after_a_fork() -> None:
    code = """
import os, sys
from vmferry.hosts.child import Spawner
spawner = Spawner()
spawner.spawn(["true"]).wait()
pid = os.fork()
if pid == 0:
    os._exit(spawner.spawn(["true"]).wait())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], env=engine_environment()).returncode == 0


def test_a_dead_process_leaves_no_private_directory(tmp_path: Path) -> None:
    code = """
import os
from vmferry.hosts.private import PrivateDirectory
print(PrivateDirectory().path, flush=True)
os._exit(9)
"""
    env = {**engine_environment(), "TMPDIR": str(tmp_path)}
    left = Path(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env).stdout.decode().strip())
    assert left.is_dir()
    old = time.time() - 3600
    os.utime(left, (old, old))
    mine = subprocess.run(
        [sys.executable, "-c", code.replace("os._exit(9)", "")], stdout=subprocess.PIPE, env=env, check=True
    )
    assert Path(mine.stdout.decode().strip()).parent == tmp_path
    assert not left.exists()


def test_a_private_directory_goes_with_its_owner() -> None:
    with PrivateDirectory() as private:
        assert private.path.stat().st_mode & 0o777 == 0o700
        (private.path / "socket").touch()
    assert not private.path.exists()
    private.close()
