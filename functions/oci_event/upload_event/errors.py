# SPDX-License-Identifier: Apache-2.0
"""What can go wrong. Each message says what to do; none holds a secret.

FunctionError
├── BadSettings      the function's configuration
├── BadEvent         not an event of Object Storage
├── NoAccess         Object Storage or Vault refuse the function
├── CloudAway        Object Storage or Vault do not answer as they should
├── AirflowRefuses   Airflow answers, but not with yes
└── AirflowAway      Airflow does not answer, or its DAG is paused
"""

from __future__ import annotations


class FunctionError(Exception):
    """Raised to the platform, which may call again or put the event aside."""

    def __init__(self, what: str, *, fix: str) -> None:
        super().__init__(f"{what}; {fix}")


class BadSettings(FunctionError):
    """The function's configuration is wrong."""


class BadEvent(FunctionError):
    """This is not an event of Object Storage."""


class NoAccess(FunctionError):
    """Object Storage or Vault refuse the function."""


class CloudAway(FunctionError):
    """Object Storage or Vault do not answer as they should; the same again may help."""


class AirflowRefuses(FunctionError):
    """Airflow answers, but not with yes."""


class AirflowAway(FunctionError):
    """Airflow does not answer now, or its DAG is paused."""
