"""The real OpenStack of the lab, which `make test-openstack` has brought up."""

from __future__ import annotations

import pytest
from lab.openstack import lab
from lab.openstack.place import Place, default_root


@pytest.fixture(scope="session")
def place() -> Place:
    place = Place(default_root())
    wrong = lab.missing(place)
    if wrong:
        pytest.fail(f"the lab's OpenStack is not up ({wrong}): make test-openstack, or make openstack-up first")
    return place
