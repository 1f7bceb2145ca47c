"""The lab is what it says: real services, and two projects that know nothing of each other."""

from __future__ import annotations

import pytest
from lab.openstack import lab
from lab.openstack.cloud import connect
from lab.openstack.place import Place
from lab.openstack.services import APIS, BACKENDS, WORKERS
from openstack.exceptions import NotFoundException


def test_all_is_up(place: Place) -> None:
    lines = list(lab.status(place))
    assert [line.split()[0] for line in lines[: len(BACKENDS + APIS + WORKERS)]] == [*BACKENDS, *APIS, *WORKERS]
    assert not [line for line in lines if "not running" in line]


def test_projects_do_not_see_each_other(place: Place) -> None:
    source, destination = connect(place, "source"), connect(place, "destination")
    made = source.block_storage.create_volume(name="lab-secret", size=1)
    try:
        source.block_storage.wait_for_status(made, "available", interval=1, wait=100)
        with pytest.raises(NotFoundException):
            destination.block_storage.get_volume(made.id)
        assert made.id not in [one.id for one in destination.block_storage.volumes()]
    finally:
        source.block_storage.delete_volume(made.id)
        source.block_storage.wait_for_delete(made, interval=1, wait=100)
