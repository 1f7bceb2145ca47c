# SPDX-License-Identifier: Apache-2.0
"""A session with one project: asks through outages, never for ever, and never makes a thing twice.

The log-in is ours, not the SDK's: what OS_ variables, clouds.yaml files or proxies' bundles on a worker say must not
decide where a migration goes, and certificates are verified whatever they say.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import openstack
import requests
from keystoneauth1 import exceptions as keystone
from keystoneauth1.identity.v3 import ApplicationCredential, Password
from keystoneauth1.session import Session as KeystoneSession
from openstack.exceptions import SDKException

from vmferry.engine.errors import EngineError
from vmferry.platforms.asking import persist
from vmferry.platforms.errors import Conflict, NotThere, Refused, SiteAway
from vmferry.platforms.openstack.failures import translate
from vmferry.platforms.openstack.settings import Login, OpenstackSettings
from vmferry.platforms.openstack.waits import state_of
from vmferry.platforms.waiting import GONE, Patience, WaitTable, wait_for

_Answer = TypeVar("_Answer")
_FAILURES = (SDKException, keystone.ClientException, requests.exceptions.RequestException, OSError)


class Session:
    """One project of one cloud. Used by several threads, which take turns."""

    def __init__(self, settings: OpenstackSettings) -> None:
        self.settings = settings
        self._lock = threading.RLock()

    @property
    def site(self) -> str:
        """The site's name."""
        return self.settings.site

    @property
    def project_id(self) -> str:
        """The project we are in."""
        return self.ask("logging in", lambda cloud: str(cloud.session.get_project_id()))

    def ask(self, what: str, question: Callable[[Any], _Answer]) -> _Answer:
        """Ask something that changes nothing, or may be done twice; through outages up to `outage_s`."""
        return self._persist(lambda: self._once(what, question, change=False))

    def insist(self, what: str, order: Callable[[Any], _Answer]) -> _Answer:
        """Ask for something that may be refused for a while, because the thing is still busy."""
        return self._persist(lambda: self._once(what, order, change=False), {Conflict: self.settings.conflict_s})

    def find(self, what: str, question: Callable[[Any], _Answer]) -> _Answer | None:
        """Ask for something that need not be there."""
        try:
            return self.ask(what, question)
        except NotThere:
            return None

    def list(self, what: str, question: Callable[[Any], Iterable[Any]]) -> list[Any]:
        """List everything, page by page."""
        return self.ask(what, lambda cloud: [*question(cloud)])

    def make(self, what: str, look: Callable[[], Any | None], order: Callable[[Any], Any]) -> Any:
        """Make something unless it is there: after each answer that did not come it is looked up before it is made."""

        def once() -> Any:
            found = look()
            if found is not None:
                return found
            try:
                return self._once(what, order, change=True)
            except (Conflict, Refused):
                # A proxy may have sent it twice: the second one is told that it is there.
                found = look()
                if found is None:
                    raise
                return found

        return self._persist(once, {Conflict: self.settings.conflict_s})

    def remove(self, what: str, order: Callable[[Any], object]) -> bool:
        """Remove something; False when it was gone already."""
        try:
            self.insist(what, order)
        except NotThere:
            return False
        return True

    def wait(
        self, waited: WaitTable, look: Callable[[Any], Any], *, name: str, timeout_s: float | None = None, fix: str = ""
    ) -> str:
        """Wait for a state of a thing, which `look` gets; it is `gone` when the cloud does not know it."""

        def state() -> str:
            found = self.find(f"{name}: looking at the {waited.thing}", look)
            return GONE if found is None else state_of(found)

        limit_s = self.settings.wait_s if timeout_s is None else timeout_s
        return wait_for(waited, state, Patience(limit_s, self.settings.poll_s), name=name, fix=fix)

    def close(self) -> None:
        """Close the connections. May be called twice."""
        with self._lock:
            if self.__dict__.pop("_cloud", None) is not None:
                self.__dict__.pop("_http").close()

    def _persist(self, work: Callable[[], _Answer], more: Mapping[type[EngineError], float] | None = None) -> _Answer:
        return persist(self.site, work, {SiteAway: self.settings.outage_s, **(more or {})})

    def _once(self, what: str, question: Callable[[Any], _Answer], *, change: bool) -> _Answer:
        what = f"site {self.site}, {what}"
        with self._lock:
            try:
                return question(self._cloud)
            except _FAILURES as failure:
                raise translate(failure, what, change=change) from failure

    @functools.cached_property
    def _cloud(self) -> Any:
        given = self.settings
        session = KeystoneSession(
            auth=self._auth(),
            session=self._http,
            verify=given.ca_file or True,
            timeout=given.timeout_s,
            app_name="vmferry",
        )
        return openstack.connection.Connection(
            session=session,
            region_name=given.region or None,
            interface=given.interface,
            image_status_code_retries=0,
        )

    @functools.cached_property
    def _http(self) -> requests.Session:
        http = requests.Session()
        if self.settings.ca_file:
            # A REQUESTS_CA_BUNDLE of the environment would win over the authority that we were given.
            http.proxies.update(requests.utils.get_environ_proxies(self.settings.identity_url))
            http.trust_env = False
        return http

    def _auth(self) -> Any:
        given = self.settings
        if given.login is Login.APPLICATION_CREDENTIAL:
            return ApplicationCredential(
                given.identity_url, application_credential_id=given.user, application_credential_secret=given.password
            )
        by_id = bool(given.project_id)
        return Password(
            given.identity_url,
            username=given.user,
            password=given.password,
            user_domain_id=given.user_domain_id or None,
            user_domain_name=None if given.user_domain_id else given.user_domain,
            project_id=given.project_id or None,
            project_name=None if by_id else given.project,
            project_domain_id=None if by_id else given.project_domain_id or None,
            project_domain_name=None if by_id or given.project_domain_id else given.project_domain,
        )
