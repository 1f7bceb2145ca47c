# SPDX-License-Identifier: Apache-2.0
"""The forms in which a schedule may be written, and how each becomes a `Schedule`."""

import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from vmferry.policy import days as rules
from vmferry.policy.cron import parse_cron
from vmferry.policy.errors import BadValue
from vmferry.policy.models.base import Bits, CronWeekday, Model, MonthDay, MonthWeek, TimeOfDay, Weekday, Zone
from vmferry.policy.schedules import Schedule, make_schedule
from vmferry.policy.values import LAST, parse_date

_ALL_DAYS = frozenset(range(7))
_SUNDAY = frozenset({6})
_SIMPLE = {"daily": _ALL_DAYS, "weekdays": frozenset(range(5)), "weekends": frozenset({5, 6})}


class _Timed(Model):
    time: TimeOfDay | None = None
    """When; without it `backup_settings.default_backup_time` holds."""
    times: list[TimeOfDay] | None = Field(default=None, min_length=1)
    """Several times a day, instead of `time`."""
    timezone: Zone | None = None
    """Time zone of the times; without it the policy's."""

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        if self.time is not None and self.times is not None:
            raise BadValue("both time and times are given", fix="keep one of the two")
        return self

    def schedule(self, default_time: datetime.time, timezone: str) -> Schedule:
        """Give the schedule that this entry means."""
        times = self.times or [self.time or default_time]
        return make_schedule(self.rule(), tuple(times), self.timezone or timezone)

    def rule(self) -> rules.DayRule:
        """Give the rule for the dates."""
        raise NotImplementedError


class SimpleSchedule(_Timed):
    """Common patterns."""

    type: Literal["simple"] = "simple"
    pattern: Literal["daily", "weekdays", "weekends", "weekly", "biweekly", "monthly"] = "daily"
    day: Weekday | None = None
    """For weekly and biweekly; Sunday when not given."""
    days: list[Weekday] | None = Field(default=None, min_length=1)
    """For weekly and biweekly: several days instead of `day`."""
    anchor: Annotated[str, AfterValidator(lambda text: parse_date(text).isoformat())] | None = None
    """For biweekly: a date in a week that counts; without it weeks are counted from 2024-01-01."""
    day_of_month: MonthDay | None = None
    """For monthly; 1 when not given, "last" for the last day."""

    def idle_keys(self) -> list[str]:
        """Name the keys that are given but mean nothing with this pattern (the ancestor ignored them too)."""
        weekly = self.pattern in {"weekly", "biweekly"}
        fits = {"day": weekly, "days": weekly, "anchor": self.pattern == "biweekly"}
        fits["day_of_month"] = self.pattern == "monthly"
        return [key for key, read in fits.items() if not read and getattr(self, key) is not None]

    def rule(self) -> rules.DayRule:
        """Give the rule for the dates."""
        weekdays = frozenset(self.days) if self.days else frozenset({self.day}) if self.day is not None else _SUNDAY
        if self.pattern == "weekly":
            return rules.Weekdays(weekdays)
        if self.pattern == "biweekly":
            anchor = parse_date(self.anchor) if self.anchor else rules.BIWEEKLY_ANCHOR
            return rules.EveryOtherWeek(weekdays, anchor)
        if self.pattern == "monthly":
            return rules.MonthDays(frozenset({self.day_of_month or 1}))
        return rules.Weekdays(_SIMPLE[self.pattern])


class HourlySchedule(_Timed):
    """Every few hours between two hours of the day."""

    type: Literal["hourly"] = "hourly"
    interval: int = Field(default=1, ge=1, le=24)
    """Hours between two runs of a day."""
    start_hour: int = Field(default=0, ge=0, le=23)
    end_hour: int = Field(default=23, ge=0, le=23)
    """The last hour in which a run may begin."""
    days: list[CronWeekday] | None = Field(default=None, min_length=1)
    """Weekdays; all when not given."""

    @model_validator(mode="after")
    def _hours_run_forward(self) -> Self:
        if self.end_hour < self.start_hour:
            raise BadValue("end_hour is before start_hour", fix="the hours of one day only; use cron for others")
        if self.times is not None:
            raise BadValue("'times' means nothing with the type 'hourly'", fix="'time' gives the minute of the hour")
        return self

    def rule(self) -> rules.DayRule:
        """Give the rule for the dates."""
        return rules.Weekdays(frozenset(self.days) if self.days else _ALL_DAYS)

    def schedule(self, default_time: datetime.time, timezone: str) -> Schedule:
        """Give the schedule that this entry means; of `time` only the minute counts."""
        minute = self.time.minute if self.time else 0
        hours = range(self.start_hour, self.end_hour + 1, self.interval)
        return make_schedule(
            self.rule(), tuple(datetime.time(hour, minute) for hour in hours), self.timezone or timezone
        )


class AdvancedSchedule(_Timed):
    """Patterns of the month: some dates, the nth weekday, the last day."""

    type: Literal["advanced"] = "advanced"
    pattern: Literal["monthly", "days_of_month", "nth_weekday", "last_day"] = "monthly"
    days: list[MonthDay] | None = Field(default=None, min_length=1)
    days_of_month: list[MonthDay] | None = Field(default=None, min_length=1)
    """The same as `days`."""
    weeks: list[MonthWeek] | None = Field(default=None, min_length=1)
    """With `day`: which such weekday of the month."""
    week: MonthWeek | None = None
    """The same as `weeks` with one element."""
    day: Weekday | None = None
    weekday: Weekday | None = None
    """The same as `day`."""
    last_day: bool = False
    """The last day of the month, alone or besides `days`."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        for one, other in (("days", "days_of_month"), ("weeks", "week"), ("day", "weekday")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise BadValue(f"both {one!r} and {other!r} are given", fix="they mean the same: keep one")
        if self._weeks and self._dates:
            raise BadValue("dates and weeks are both given", fix="make two entries, or use cron")
        if self._weekday is not None and not self._weeks:
            raise BadValue("a weekday without 'weeks'", fix='add "weeks": [1, 3] or "weeks": ["last"]')
        if self.pattern == "nth_weekday" and not self._weeks:
            raise BadValue("the pattern 'nth_weekday' needs 'weeks'", fix='add "weeks": [2] and "day": "friday"')
        return self

    @property
    def _weeks(self) -> frozenset[int]:
        return frozenset(self.weeks or ([self.week] if self.week is not None else []))

    @property
    def _weekday(self) -> int | None:
        return self.day if self.day is not None else self.weekday

    @property
    def _dates(self) -> frozenset[int]:
        last = [LAST] if self.last_day or self.pattern == "last_day" else []
        return frozenset([*(self.days or self.days_of_month or []), *last])

    def rule(self) -> rules.DayRule:
        """Give the rule for the dates."""
        if self._weeks:
            weekday = self._weekday
            return rules.NthWeekdays(self._weeks, _SUNDAY if weekday is None else frozenset({weekday}))
        return rules.MonthDays(self._dates or frozenset({1}))


class CronSchedule(Model):
    """A cron expression."""

    type: Literal["cron"] = "cron"
    expression: str = Field(examples=["15 6,18 * * 1-5"])
    time: TimeOfDay | None = None
    """Read, but without effect: the expression has the times."""
    pattern: str | None = None
    """Read, but without effect."""
    timezone: Zone | None = None

    @model_validator(mode="after")
    def _parses(self) -> Self:
        parse_cron(self.expression)
        return self

    def schedule(self, default_time: datetime.time, timezone: str) -> Schedule:
        """Give the schedule that this entry means."""
        days, times = parse_cron(self.expression)
        return make_schedule(days, times, self.timezone or timezone)


class CustomSchedule(_Timed):
    """A 7-bit pattern, Monday first."""

    type: Literal["custom"] = "custom"
    pattern: Bits

    def rule(self) -> rules.DayRule:
        """Give the rule for the dates."""
        return rules.Weekdays(self.pattern)


class LegacySchedule(_Timed):
    """A 7-bit pattern under its oldest name."""

    type: Literal["legacy"] = "legacy"
    backup_policy: Bits = _ALL_DAYS

    def rule(self) -> rules.DayRule:
        """Give the rule for the dates."""
        return rules.Weekdays(self.backup_policy)


_TAGS = {"simple", "hourly", "advanced", "cron", "custom", "legacy"}


def _tag_of(raw: Any) -> str | None:
    """Give the tag of a schedule's form; tags are in <> so that `load` can take them out of the path."""
    kind = raw.get("type", _guess_type(raw)) if isinstance(raw, dict) else getattr(raw, "type", None)
    return f"<{kind}>" if isinstance(kind, str) and kind in _TAGS else None


def _guess_type(raw: dict[str, Any]) -> str:
    """Without a type the ancestor took the legacy form; a key of another form is a better witness."""
    pattern = raw.get("pattern")
    if pattern is not None:
        return "custom" if str(pattern).isdigit() else "simple"
    return "cron" if "expression" in raw else "hourly" if "interval" in raw else "legacy"


ScheduleEntry = Annotated[
    Annotated[SimpleSchedule, Tag("<simple>")]
    | Annotated[HourlySchedule, Tag("<hourly>")]
    | Annotated[AdvancedSchedule, Tag("<advanced>")]
    | Annotated[CronSchedule, Tag("<cron>")]
    | Annotated[CustomSchedule, Tag("<custom>")]
    | Annotated[LegacySchedule, Tag("<legacy>")],
    Discriminator(
        _tag_of,
        custom_error_type="schedule_type",
        custom_error_message="not a schedule",
    ),
]
"""Any form of a schedule."""
