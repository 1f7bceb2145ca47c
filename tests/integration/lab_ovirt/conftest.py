from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from lab.ovirt import OvirtLab
from tests.integration.lab_ovirt.client import Client


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OvirtLab]:
    with OvirtLab(tmp_path_factory.mktemp("prod"), "prod", delay=0.05) as made:
        yield made


@pytest.fixture
def client(lab: OvirtLab) -> Iterator[Client]:
    made = Client(lab)
    yield made
    lab.hook("faults", clear=True)
    made.close()


_numbers = itertools.count()


@pytest.fixture
def new_name() -> Callable[[], str]:
    return lambda: f"vm{next(_numbers)}"
