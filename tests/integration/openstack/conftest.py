"""The real OpenStack of the lab, which `make test-openstack` has brought up, and our driver in both of its projects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from lab.openstack import lab
from lab.openstack.cloud import connect
from lab.openstack.place import Place, default_root
from tests.integration.openstack.project import Project

from vmferry.operations import sweep
from vmferry.platforms.openstack import OpenstackSettings, OpenstackSite
from vmferry.platforms.openstack.clouds import read_cloud
from vmferry.platforms.runs import RunId


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Guests boot on emulated processors, and the machine may have other work."""
    for item in items:
        if "integration/openstack" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def place() -> Place:
    place = Place(default_root())
    wrong = lab.missing(place)
    if wrong:
        pytest.fail(f"the lab's OpenStack is not up ({wrong}): make test-openstack, or make openstack-up first")
    return place


@pytest.fixture(scope="session")
def settings(place: Place) -> OpenstackSettings:
    text = place.clouds.read_text()
    return read_cloud("source", text, "source", outage_s=30.0, conflict_s=60.0, wait_s=400.0, poll_s=0.3)


@pytest.fixture(scope="session")
def source_project(place: Place) -> Iterator[Project]:
    with Project(place, "source") as made:
        yield made


@pytest.fixture
def source(source_project: Project) -> Iterator[Project]:
    yield source_project
    source_project.clear()


@pytest.fixture(scope="session")
def admin(place: Place) -> Any:
    return connect(place)


@pytest.fixture
def owner(request: pytest.FixtureRequest) -> RunId:
    return RunId.of("test", request.node.name)


@pytest.fixture
def site(settings: OpenstackSettings, owner: RunId) -> Iterator[OpenstackSite]:
    with OpenstackSite(settings) as made:
        yield made
        check_nothing_left(made, owner)


@pytest.fixture
def destination(place: Place, settings: OpenstackSettings, owner: RunId) -> Iterator[OpenstackSite]:
    there = read_cloud("destination", place.clouds.read_text(), "destination")
    patience = {name: getattr(settings, name) for name in ("outage_s", "conflict_s", "wait_s", "poll_s")}
    with OpenstackSite(replace(there, **patience)) as made:
        yield made
        check_nothing_left(made, owner)


def check_nothing_left(site: OpenstackSite, owner: RunId) -> None:
    """Give back what a test that failed left, and fail where one that passed left something."""
    left = [lease for lease in site.leases() if lease.owner == owner.text]
    if left:
        sweep(site, lambda name: name == owner.text)
    assert not left
