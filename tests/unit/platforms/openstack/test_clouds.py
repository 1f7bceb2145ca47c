"""A clouds.yaml as Horizon gives it out, and what is wrong with others."""

from __future__ import annotations

import pytest

from vmferry.engine.errors import BadInput
from vmferry.platforms.openstack.clouds import read_cloud
from vmferry.platforms.openstack.settings import Login, OpenstackSettings

HORIZON = """
clouds:
  openstack:
    auth_type: v3applicationcredential
    auth:
      auth_url: https://keystone.example.com:5000
      application_credential_id: abc
      application_credential_secret: hush-hush
    region_name: RegionOne
    interface: internal
"""
PASSWORD = """
clouds:
  lab:
    auth: {auth_url: "https://k:5000/v3", username: ann, password: hush-hush, project_id: 42, user_domain_id: default}
  other:
    auth: {auth_url: "https://k:5000/v3", username: bob, password: hush-hush, project_name: web}
"""


def test_application_credential() -> None:
    found = read_cloud("cloud", HORIZON)

    assert (found.login, found.user, found.password) == (Login.APPLICATION_CREDENTIAL, "abc", "hush-hush")
    assert (found.region, found.interface) == ("RegionOne", "internal")
    assert found.identity_url == "https://keystone.example.com:5000/v3"
    assert "hush-hush" not in repr(found)


def test_password_and_ids() -> None:
    found = read_cloud("cloud", PASSWORD, "lab", poll_s=0.5)

    assert (found.user, found.project, found.project_id, found.user_domain_id) == ("ann", "", "42", "default")
    assert (found.poll_s, found.project_domain, found.identity_url) == (0.5, "Default", "https://k:5000/v3")


@pytest.mark.parametrize(
    ("text", "cloud", "says"),
    [
        ("clouds: {a: [", "", "cannot be read, line 1"),
        ("- a", "", "names no cloud"),
        ("clouds: {}", "", "names no cloud"),
        (PASSWORD, "", "has several clouds; use one of lab, other"),
        (PASSWORD, "labb", "no cloud 'labb'; did you mean 'lab'"),
        ("clouds: {a: {region_name: x}}", "a", "no section `auth`"),
        ("clouds: {a: {auth_type: v3kerberos, auth: {}}}", "a", "cannot log in by 'v3kerberos'"),
        ("clouds: {a: {verify: false, auth: {}}}", "a", "certificates are always verified"),
        ("clouds: {a: {auth: {auth_url: keystone}}}", "a", "no address of keystone"),
        ("clouds: {a: {auth: {auth_url: 'https://k', username: ann}}}", "a", "needs password, project too"),
        ("clouds: {a: {cacert: /no/ca, auth: {auth_url: 'https://k', username: a, password: b, project_name: c}}}",
         "a", "no file /no/ca"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, cloud: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_cloud("cloud", text, cloud)

    assert says in str(caught.value)
    assert caught.value.fix


def test_a_broken_file_does_not_show_its_secrets() -> None:
    with pytest.raises(BadInput) as caught:
        read_cloud("cloud", "clouds:\n  a:\n    auth: {password: 'hush-hush\n")

    assert "hush-hush" not in str(caught.value)


def test_an_application_credential_needs_no_project() -> None:
    login = Login.APPLICATION_CREDENTIAL
    assert OpenstackSettings("s", "https://k:5000/identity", login, "id", "secret").identity_url.endswith(
        "/identity/v3"
    )
