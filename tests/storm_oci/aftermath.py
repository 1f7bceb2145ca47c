"""What has to hold when the storm is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.airflow.oci_installation import IMPORT, JANITOR
from tests.storm.aftermath import unclear_reasons
from tests.storm.gale import list_lines
from tests.storm.lanes import Run
from tests.storm.reasons import find_reasons
from tests.storm.traffic import Way
from tests.storm_oci.images import find_difference
from tests.storm_oci.leftovers import list_leftovers, list_ways, proven_volumes, volumes_of, workers_of
from tests.storm_oci.moments import count_met
from tests.storm_oci.storm import OciStorm
from tests.storm_oci.traffic import begun_again, kills_in, list_copies, read_too_often

from vmferry.engine.units import format_bytes
from vmferry.platforms.runs import RunId

_JANITOR_S = 600.0


def look_after(storm: OciStorm, failed: Sequence[Run]) -> None:
    """Sweep, and look at all there is."""
    installed = storm.installed
    reasons = {str(run): find_reasons(storm.api, run) for run in failed}
    print("\n".join(list_lines(storm, storm.wish.seed, (), {r: list(map(str, said)) for r, said in reasons.items()})))
    _tell_kills(storm)
    print(f"  before the janitor: {list_leftovers(installed, storm.imports.runs) or 'nothing is left'}", flush=True)
    print(f"  janitor: {_sweep(storm)}", flush=True)
    leftovers = list_leftovers(installed, storm.imports.runs)
    copies = list_copies(installed.lab)
    _tell_copies(storm, copies)
    print(f"  leftovers: {leftovers or 'none'}; ways to objects: {len(list_ways(installed.lab))}")
    print(f"  proven volumes of failed runs, which wait for a person: {proven_volumes(installed.lab) or 'none'}")
    problems = [
        *unclear_reasons(reasons),
        *(f"left over: {one}" for one in leftovers),
        *(f"read again: {one}" for one in read_too_often(copies, storm.kills, storm.imports.image_of)),
        *_begun_again(storm),
        *_wrong_volumes(storm),
        *_unread(storm, copies),
    ]
    assert not problems, "\n".join(problems)


def _sweep(storm: OciStorm) -> Any:
    api = storm.installed.api
    api.log_in()
    api.switch_on(JANITOR)
    run = api.trigger(JANITOR)
    state = api.wait_for_run(JANITOR, run, timeout_s=_JANITOR_S)
    assert state == "success", api.explain(JANITOR, run)
    return api.xcom(JANITOR, run, "sweep")


def _wrong_volumes(storm: OciStorm) -> list[str]:
    """Compare each volume with what qemu-img read from the image, past everything of ours."""
    found, lab = [], storm.installed.lab
    state = lab.state()
    good = storm.good_runs()
    for run in good:
        done = storm.api.ask(lambda api, run=run: api.xcom(IMPORT, run.run_id, "publish"))  # type: ignore[misc]
        [volume] = volumes_of(state, run)
        assert done["volume"] == volume["id"], f"{run} published {done['volume']} and made {volume['id']}"
        found.append(find_difference(lab.volume_path(volume["id"]), storm.imports.image_of[run.vm]))
    print(f"  volumes that hold what their image holds, by qemu-img: {found.count('')} of {len(good)}", flush=True)
    return [f"wrong: {one}" for one in found if one]


def _begun_again(storm: OciStorm) -> list[str]:
    """Name the copies that began again, or did too much again, after their job had been killed."""
    found = []
    for run in storm.good_runs():
        digest = RunId.of(run.dag_id, run.run_id).digest
        moved = [done for job, done in storm.victims.moved.items() if digest in job and "-write-" in job]
        if moved:
            result = storm.api.ask(lambda api, run=run: api.xcom(IMPORT, run.run_id, "write_image_to_bv"))  # type: ignore[misc]
            resumed = int(result["resumed_bytes"])
            print(f"  {run.vm}: killed at {format_bytes(moved[0])}, went on at {format_bytes(resumed)}", flush=True)
            found.append(begun_again(run.vm, moved[0], resumed))
    return [f"begun again: {one}" for one in found if one]


def _unread(storm: OciStorm, copies: Sequence[Way]) -> list[str]:
    """Name the imports of which the simulator saw no byte go: then the count is worth nothing."""
    known = {way.name for way in copies}
    return [f"nobody read {run.vm}" for run in storm.good_runs() if run.vm not in known]


def _tell_kills(storm: OciStorm) -> None:
    met = count_met(storm.api, storm.imports.runs, storm.kills)
    print(f"  kills while a try of a task was under way: {', '.join(f'{name} {met[name]}' for name in sorted(met))}")
    state = storm.installed.lab.state()
    workers = [workers_of(state, run) for run in storm.imports.runs]
    volumes = [len(volumes_of(state, run, living=False)) for run in storm.imports.runs]
    print(f"  workers ever made for a run: at most {max(workers)}; volumes: at most {max(volumes)}", flush=True)


def _tell_copies(storm: OciStorm, copies: Sequence[Way]) -> None:
    for way in copies:
        size = storm.imports.image_of[way.name].path.stat().st_size
        kinds = ", ".join(kill.kind for kill in kills_in(way, storm.kills))
        print(f"  read {way}, of {format_bytes(size)}; kills that reached it: {kinds or 'none'}", flush=True)
    total = sum(way.repeated_bytes for way in copies)
    print(f"  read again in all: {format_bytes(total)}, with {len(storm.kills)} kills", flush=True)
