# SPDX-License-Identifier: Apache-2.0
"""A session with one region: asks through outages, never for ever, and never makes a thing twice.

The SDK's own retries are off: for ten minutes they repeat what will never work, such as deleting an attached volume.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import oci

from vmferry.engine.errors import EngineError
from vmferry.platforms.asking import persist
from vmferry.platforms.errors import Conflict, NotThere, SiteAway
from vmferry.platforms.oci.failures import TokenSpent, translate_service, translate_transport
from vmferry.platforms.oci.settings import OciSettings, Principal
from vmferry.platforms.oci.waits import DEAD
from vmferry.platforms.waiting import GONE, Patience, WaitTable, wait_for

_Answer = TypeVar("_Answer")

_CONNECT_S = 10.0


class Session:
    """One region of one tenancy."""

    def __init__(self, settings: OciSettings) -> None:
        self.settings = settings

    @property
    def site(self) -> str:
        """The site's name."""
        return self.settings.site

    @functools.cached_property
    def compute(self) -> Any:
        """Instances, images and attachments."""
        return self._client(oci.core.ComputeClient, "compute")

    @functools.cached_property
    def blockstorage(self) -> Any:
        """Volumes."""
        return self._client(oci.core.BlockstorageClient, "blockstorage")

    @functools.cached_property
    def network(self) -> Any:
        """Network cards."""
        return self._client(oci.core.VirtualNetworkClient, "network")

    @functools.cached_property
    def identity(self) -> Any:
        """Availability and fault domains."""
        return self._client(oci.identity.IdentityClient, "identity")

    @functools.cached_property
    def objectstorage(self) -> Any:
        """Buckets and objects."""
        return self._client(oci.object_storage.ObjectStorageClient, "objectstorage")

    def ask(self, what: str, call: Callable[[], _Answer]) -> _Answer:
        """Ask what changes nothing, or has a retry token, or may be done twice; through outages up to `outage_s`."""
        return self._persist(what, call)

    def insist(
        self,
        what: str,
        call: Callable[[], _Answer],
    ) -> _Answer:
        """Ask for what OCI may refuse for a while, because the thing is still busy."""
        return self._persist(what, call, {Conflict: self.settings.conflict_s})

    def make(
        self, what: str, call: Callable[..., Any], tokens: Iterator[str], look: Callable[[], Any | None] = lambda: None
    ) -> Any:
        """Make something, unless a try that was killed made it; gives what OCI shows of it.

        A token is spent when what it made is dead, or when it was used with other words: then `look` finds that.
        """
        spent: TokenSpent | None = None
        for token in tokens:
            try:
                made = self.insist(what, functools.partial(call, opc_retry_token=token)).data
            except TokenSpent as failure:
                spent, made = failure, look()
            if made is not None and made.lifecycle_state not in DEAD:
                return made
        raise spent or Conflict(f"site {self.site}, {what}: it ends as soon as it is made", fix="look at it in OCI")

    def find(self, what: str, call: Callable[[], _Answer]) -> _Answer | None:
        """Ask for something that need not be there."""
        try:
            return self.ask(what, call)
        except NotThere:
            return None

    def remove(self, what: str, call: Callable[[], object]) -> bool:
        """Remove something; False when it was gone already."""
        try:
            self.insist(what, call)
        except NotThere:
            return False
        return True

    def list(self, what: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> list[Any]:
        """List everything, page by page."""

        def pages() -> list[Any]:
            return list(oci.pagination.list_call_get_all_results(call, *arguments, **named).data)

        return self.ask(what, pages)

    def wait(
        self, waited: WaitTable, look: Callable[[], Any], *, name: str, timeout_s: float | None = None, fix: str = ""
    ) -> str:
        """Wait for a state of a thing, which `look` gets from OCI; it is `gone` when OCI does not know it."""

        def state() -> str:
            found = self.find(f"{name}: looking at the {waited.thing}", look)
            return GONE if found is None else str(found.data.lifecycle_state)

        limit_s = self.settings.wait_s if timeout_s is None else timeout_s
        return wait_for(waited, state, Patience(limit_s, self.settings.poll_s), name=name, fix=fix)

    def close(self) -> None:
        """Close the connections. May be called twice."""
        for name in ("compute", "blockstorage", "network", "identity", "objectstorage"):
            client = self.__dict__.pop(name, None)
            if client is not None:
                client.base_client.session.close()

    def _persist(
        self, what: str, call: Callable[[], _Answer], more: Mapping[type[EngineError], float] | None = None
    ) -> _Answer:
        return persist(self.site, lambda: self._once(what, call), {SiteAway: self.settings.outage_s, **(more or {})})

    def _once(self, what: str, work: Callable[[], _Answer]) -> _Answer:
        what = f"site {self.site}, {what}"
        try:
            return work()
        except oci.exceptions.ServiceError as failure:
            raise translate_service(failure, what) from failure
        except (oci.exceptions.RequestException, oci.exceptions.ConnectTimeout, OSError) as failure:
            raise translate_transport(failure, what) from failure

    def _client(self, kind: Any, service: str) -> Any:
        address = self.settings.endpoints.get(service)
        client = kind(
            self._config,
            **self._signer,
            **({"service_endpoint": address} if address else {}),
            timeout=(_CONNECT_S, self.settings.timeout_s),
            retry_strategy=oci.retry.NoneRetryStrategy(),
            circuit_breaker_strategy=oci.circuit_breaker.NoCircuitBreakerStrategy(),
        )
        if self.settings.ca_file:
            _trust(client.base_client, self.settings.ca_file)
        return client

    @functools.cached_property
    def _config(self) -> dict[str, str]:
        given = self.settings
        if given.principal is not Principal.API_KEY:
            return {"region": given.region} if given.region else {}
        wanted = {
            "tenancy": given.tenancy,
            "user": given.user,
            "fingerprint": given.fingerprint,
            "region": given.region,
            "key_content": given.key,
            "key_file": "" if given.key else given.key_file,
            "pass_phrase": given.passphrase,
        }
        return {name: value for name, value in wanted.items() if value}

    @functools.cached_property
    def _signer(self) -> dict[str, Any]:
        what = "logging in"
        try:
            if self.settings.principal is Principal.INSTANCE:
                return {"signer": oci.auth.signers.InstancePrincipalsSecurityTokenSigner()}
            if self.settings.principal is Principal.RESOURCE:
                return {"signer": oci.auth.signers.get_resource_principals_signer()}
        except oci.exceptions.ServiceError as failure:
            raise translate_service(failure, f"site {self.site}, {what}") from failure
        except (oci.exceptions.RequestException, OSError) as failure:
            raise translate_transport(failure, f"site {self.site}, {what}") from failure
        return {}


def _trust(client: Any, ca_file: str) -> None:
    """Verify with this authority alone; by default a REQUESTS_CA_BUNDLE of the environment would win."""
    client.session.verify = ca_file
    client.session.proxies = oci._vendor.requests.utils.get_environ_proxies(client.endpoint)
    client.session.trust_env = False
