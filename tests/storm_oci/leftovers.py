"""What is left in the simulated OCI and on this machine when all has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import oci
from lab.airflow.oci_installation import BUCKET, OciInstallation
from lab.oci.lab import OciLab
from tests.storm.lanes import Run
from tests.storm.leftovers import list_orphans

from vmferry.platforms.oci.naming import COMPLETE, TAG, VERIFIED
from vmferry.platforms.runs import RunId, Tag, parse_tag

_OVER = {"instance": "TERMINATED", "bootvolume": "TERMINATED", "volumeattachment": "DETACHED"}


def list_leftovers(installed: OciInstallation, runs: Sequence[Run]) -> list[str]:
    """Name everything that nobody owes anything any more and that is still there. Proven volumes are told apart."""
    lab = installed.lab
    state = lab.state()
    found = [f"{kind} {one['displayName']} {one['lifecycleState']}" for kind, one in _living(state)]
    found += [f"machine of {one.name}: process {one.pid}" for one in lab.instances() if one.pid]
    found += [f"way to {one.object_name}: {one.name}" for one in list_ways(lab)]
    found += [f"volume {one['displayName']} {one['freeformTags']}" for one in _half_volumes(state)]
    return [*found, *_wrong_counts(state, runs), *list_orphans(installed.home)]


def proven_volumes(lab: OciLab) -> list[str]:
    """Name the volumes whose run failed after their bytes were proven: only a person removes them."""
    tags = [(one["displayName"], _tag(one)) for one in living_volumes(lab.state())]
    return [name for name, tag in tags if tag is not None and VERIFIED in tag.words and COMPLETE not in tag.words]


def living_volumes(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the volumes that are there."""
    return [one for one in state.get("volume", {}).values() if one["lifecycleState"] != "TERMINATED"]


def volumes_of(state: dict[str, Any], run: Run, *, living: bool = True) -> list[dict[str, Any]]:
    """Give the volumes that a run made."""
    owner = RunId.of(run.dag_id, run.run_id)
    among = living_volumes(state) if living else list(state.get("volume", {}).values())
    return [one for one in among if (tag := _tag(one)) is not None and tag.is_of(owner)]


def workers_of(state: dict[str, Any], run: Run) -> int:
    """Count the workers that a run ever had."""
    owner = RunId.of(run.dag_id, run.run_id)
    tags = [_tag(one) for one in state.get("instance", {}).values()]
    return sum(1 for tag in tags if tag is not None and tag.is_of(owner))


def list_ways(lab: OciLab) -> list[Any]:
    """List the pre-authenticated requests of the bucket, by the SDK alone."""
    client = oci.object_storage.ObjectStorageClient(lab.config, service_endpoint=lab.endpoint)
    client.base_client.session.verify = str(lab.ca)
    client.base_client.session.trust_env = False
    call = client.list_preauthenticated_requests
    try:
        return list(oci.pagination.list_call_get_all_results(call, lab.namespace, BUCKET).data)
    finally:
        client.base_client.session.close()


def _living(state: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, over in _OVER.items():
        for one in state.get(kind, {}).values():
            if one["lifecycleState"] != over:
                yield kind, one


def _half_volumes(state: dict[str, Any]) -> list[dict[str, Any]]:
    words = [(one, tag.words if (tag := _tag(one)) is not None else ()) for one in living_volumes(state)]
    return [one for one, said in words if VERIFIED not in said]


def _wrong_counts(state: dict[str, Any], runs: Sequence[Run]) -> list[str]:
    """Each run that ended well has one volume, and no run has more."""
    counts = [(run, len(volumes_of(state, run))) for run in runs]
    return [f"{run}: {count} volumes" for run, count in counts if count > 1 or (run.state == "success" and count < 1)]


def _tag(thing: dict[str, Any]) -> Tag | None:
    return parse_tag(thing["freeformTags"].get(TAG))
