# SPDX-License-Identifier: Apache-2.0
"""What all models of the policy share: unknown keys are errors, and the small values have one way to be written."""

from datetime import time, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, model_validator

from vmferry.policy import values


class Model(BaseModel):
    """Base of all models. With a dict as validation context it notes there which keys each object may have."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, strict=False)

    @model_validator(mode="before")
    @classmethod
    def _note_keys(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(info.context, dict) and isinstance(data, dict):
            info.context[id(data)] = tuple(cls.model_fields)
        return data


def _text_schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


TimeOfDay = Annotated[
    time, BeforeValidator(values.parse_time), _text_schema(r"^([01]?\d|2[0-3]):[0-5]\d(:00)?$", "02:00")
]
"""A time of day."""

Duration = Annotated[
    timedelta,
    BeforeValidator(values.parse_duration),
    _text_schema(r"^[1-9]\d*\s*(m|min|minutes?|h|hours?|d|days?|w|weeks?)$", "24h", "7d"),
]
"""A span of time."""

Rate = Annotated[
    int,
    BeforeValidator(values.parse_rate),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["50MiB", 0]}),
]
"""Bytes per second; 0 is no limit."""

Weekday = Annotated[
    int,
    BeforeValidator(values.parse_weekday),
    _text_schema(r"(?i)^(mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?$", *values.WEEKDAYS),
]
"""A weekday; 0 is Monday."""

CronWeekday = Annotated[
    int,
    BeforeValidator(values.parse_cron_weekday),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["monday", 1]}),
]
"""A weekday by name, or by cron's number (0 is Sunday)."""

MonthDay = Annotated[
    int,
    BeforeValidator(values.parse_month_day),
    WithJsonSchema({"type": ["integer", "string"], "minimum": -1, "maximum": 31, "examples": [15, "last"]}),
]
"""A day of the month; -1 is the last."""

MonthWeek = Annotated[
    int,
    BeforeValidator(values.parse_month_week),
    WithJsonSchema({"type": ["integer", "string"], "minimum": -1, "maximum": 5, "examples": [1, "last"]}),
]
"""Which such weekday of the month; -1 is the last."""

Bits = Annotated[frozenset[int], BeforeValidator(values.parse_bits), _text_schema(r"^[01]{7}$", "1111100")]
"""A 7-bit pattern, Monday first."""

Zone = Annotated[str, BeforeValidator(values.parse_zone), WithJsonSchema({"type": "string", "examples": ["UTC"]})]
"""An IANA time zone."""

Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^\S(.*\S)?$")]
"""A name: not empty, no blanks around it."""

Count = Annotated[int, Field(ge=0, le=100_000)]
"""How many; strings of digits work too, as in the ancestor's file."""

Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]
"""An http or https address."""
