from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from lab.oci.lab import OciLab
from tests.integration.lab_oci.clients import Clients, Keys


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OciLab]:
    with OciLab(tmp_path_factory.mktemp("oci"), delay=0.05) as made:
        yield made


@pytest.fixture(scope="package")
def clients(lab: OciLab) -> Clients:
    return Clients(lab)


@pytest.fixture(autouse=True)
def _no_faults(lab: OciLab) -> Iterator[None]:
    yield
    lab.hook("faults", clear=True)
    lab.settings(full=[], limits={}, delays={}, page_size=100, cut_until=0.0)


@pytest.fixture(scope="package")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.create(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="package")
def worker(clients: Clients, keys: Keys, lab: OciLab) -> str:
    """An instance that runs; tests attach volumes to it and leave it as it was."""
    made = clients.launch(display_name="worker", metadata=keys.metadata)
    keys.await_ssh(clients.address(made.id), lab.instances()[0].port)
    return str(made.id)


@pytest.fixture
def run(worker: str, clients: Clients, keys: Keys, lab: OciLab) -> Callable[[str], str]:
    """Run a command in the worker, and return what it printed."""
    address, port = clients.address(worker), lab.instances()[0].port

    def run_there(command: str) -> str:
        done = keys.ssh(address, port, command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_there
