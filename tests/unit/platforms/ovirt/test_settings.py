"""How an engine is named."""

import pytest

from vmferry.engine.errors import BadInput
from vmferry.platforms.ovirt import OvirtSettings

PIN = "ab" * 32


def make(url: str = "engine.example", user: str = "admin@internal", pin: str | None = None) -> OvirtSettings:
    return OvirtSettings("prod", url, user, "planted-secret", ca_fingerprint=pin)


@pytest.mark.parametrize(
    "url",
    [
        "engine.example",
        "https://engine.example",
        "https://engine.example/ovirt-engine",
        "https://engine.example/ovirt-engine/api",
        "https://engine.example/ovirt-engine/api/",
    ],
)
def test_any_form_of_the_address_will_do(url: str) -> None:
    settings = make(url)
    assert settings.api_url == "https://engine.example/ovirt-engine/api"
    assert settings.root_url == "https://engine.example"


@pytest.mark.parametrize("url", ["http://engine.example", "", "ftp://engine.example/api", "https:///api"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="not the address of an engine"):
        make(url)


@pytest.mark.parametrize("user", ["", "two\nlines"])
def test_a_user_is_needed(user: str) -> None:
    with pytest.raises(BadInput, match="there is no user"):
        make(user=user)


@pytest.mark.parametrize("pin", [PIN, PIN.upper(), "SHA256:" + PIN, ":".join(["AB"] * 32), "sha-256:" + PIN])
def test_a_fingerprint_may_be_written_as_tools_print_it(pin: str) -> None:
    assert make(pin=pin).pin == PIN


@pytest.mark.parametrize("pin", ["ab" * 31, "ab" * 33, "md5:" + PIN, "xy" * 32])
def test_a_fingerprint_that_is_none_is_refused(pin: str) -> None:
    with pytest.raises(BadInput, match="not a SHA-256"):
        make(pin=pin)


def test_the_password_does_not_show() -> None:
    assert "planted-secret" not in repr(make())
