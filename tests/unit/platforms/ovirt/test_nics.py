"""Which network a restored card comes to."""

import pytest

from vmferry.platforms.ovirt.nics import map_network


@pytest.mark.parametrize(
    ("network", "networks", "wanted"),
    [
        ("prod", {}, "prod"),
        ("prod", {"prod": "dr"}, "dr"),
        ("prod", {"prod": None}, None),
        ("prod", {"*": "isolated"}, "isolated"),
        ("prod", {"*": None}, None),
        ("prod", {"prod": "dr", "*": None}, "dr"),
        ("prod", {"other": "dr"}, "prod"),
        (None, {"*": "dr"}, None),
    ],
    ids=["unmapped", "mapped", "to-none", "star", "star-to-none", "name-before-star", "other-mapped", "had-none"],
)
def test_mapping(network: str | None, networks: dict[str, str | None], wanted: str | None) -> None:
    assert map_network(network, networks) == wanted
