"""Two simulated oVirt sites over real imageio daemons and real qemu: production and disaster recovery."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.ovirt import OvirtLab
from tests.integration.ovirt.stage import Stage, connect


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test starts and asks a dozen programs: on a busy machine that takes minutes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OvirtLab]:
    with OvirtLab(tmp_path_factory.mktemp("prod"), "prod") as lab:
        yield lab


@pytest.fixture(scope="session")
def dr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OvirtLab]:
    with OvirtLab(tmp_path_factory.mktemp("dr"), "dr") as lab:
        yield lab


@pytest.fixture
def new_name(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Names of VMs that no other test uses: the sites live as long as the session."""
    counter = itertools.count()
    return lambda: f"vm-{abs(hash(request.node.nodeid)) % 10**8:08}-{next(counter)}"


@pytest.fixture
def stage(
    prod: OvirtLab, dr: OvirtLab, tmp_path: Path, new_name: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for lab in (prod, dr):
        lab.hook("faults", clear=True)
    with connect(prod) as source, connect(dr) as target:
        yield Stage(prod, dr, source, target, tmp_path, new_name)
    for lab in (prod, dr):
        lab.hook("faults", clear=True)
