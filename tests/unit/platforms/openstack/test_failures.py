"""Each error of a service becomes the one of ours that says what to do; answers as real services gave them."""

from __future__ import annotations

import pytest
import requests
from keystoneauth1 import exceptions as keystone
from openstack.exceptions import HttpException, SDKException

from vmferry.engine.errors import BadInput, EngineError, TrustError
from vmferry.platforms.errors import (
    Conflict,
    LoginRefused,
    NoRoom,
    NotPermitted,
    NotThere,
    OutcomeUnknown,
    PlatformError,
    Refused,
    SiteAway,
)
from vmferry.platforms.openstack.failures import translate


def answer(status: int, text: str) -> HttpException:
    return HttpException(message=text, http_status=status, request_id="req-1")


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (answer(400, "Invalid input for field volume_id"), Refused),
        (answer(400, "Invalid volume: Volume status must be available, but current status is: deleting"), Conflict),
        (answer(401, "The request you have made requires authentication."), LoginRefused),
        (answer(403, "Policy doesn't allow os_compute_api:servers:create to be performed."), NotPermitted),
        (answer(403, "Quota exceeded for cores: Requested 1, but already used 20 of 20 cores"), NoRoom),
        (answer(404, "Volume abc could not be found."), NotThere),
        (answer(409, "Cannot 'stop' instance abc while it is in task_state powering-off"), Conflict),
        (answer(409, "Quota exceeded for resources: ['port']."), NoRoom),
        (answer(413, "VolumeSizeExceedsAvailableQuota: Requested volume exceeds allowed gigabytes quota."), NoRoom),
        (answer(413, "This request was rate-limited."), SiteAway),
        (answer(429, "Too Many Requests"), SiteAway),
        (answer(503, "Service Unavailable"), SiteAway),
        (answer(418, "?"), PlatformError),
        (keystone.Unauthorized("no"), LoginRefused),
        (keystone.ConnectFailure("refused"), SiteAway),
        (keystone.SSLError("certificate verify failed"), TrustError),
        (keystone.EndpointNotFound("volumev3"), BadInput),
        (requests.exceptions.ChunkedEncodingError("torn"), SiteAway),
        (SDKException("what?"), SiteAway),
    ],
    ids=lambda value: f"{value}"[:40] if isinstance(value, Exception) else value.__name__,
)  # fmt: skip
def test_question(failure: Exception, kind: type[EngineError]) -> None:
    made = translate(failure, "site lab, asking", change=False)

    assert type(made) is kind
    assert made.what.startswith("site lab, asking")
    assert made.fix


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (answer(504, "Gateway Timeout"), OutcomeUnknown),
        (keystone.ConnectTimeout("slow"), OutcomeUnknown),
        (keystone.UnknownConnectionError("reset", OSError()), OutcomeUnknown),
        (keystone.ConnectFailure("refused, or broken"), OutcomeUnknown),
        (answer(429, "Too Many Requests"), SiteAway),
    ],
    ids=["504", "timeout", "reset", "refused", "429"],
)
def test_a_change_whose_answer_is_lost_may_have_happened(failure: Exception, kind: type[EngineError]) -> None:
    assert type(translate(failure, "making it", change=True)) is kind


def test_the_request_can_be_found_in_the_cloud_s_log() -> None:
    assert "req-1" in translate(answer(500, "oops"), "asking", change=False).what
