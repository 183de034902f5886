"""Working days and anniversaries, for the periods that rules set.

A working day is Monday to Friday and not a holiday of the region. Weekend days that are worked in place of a bridge
day (调休) are not counted, so a period is never shorter than by the official calendar. The day on which something
happens is not counted; a period of n working days ends with the n-th after it.
"""

from collections.abc import Iterable
from datetime import date

import numpy as np


def after_working_days(day: date, count: int, holidays: Iterable[date] = ()) -> date:
    """The last day of a period of `count` working days that begins the day after `day`; `day` itself for none."""
    if count == 0:
        return day
    closed = np.array(sorted(holidays), "datetime64[D]")
    end = np.busday_offset(np.datetime64(day), count, roll="backward", holidays=closed)
    return date.fromisoformat(str(min(end, np.datetime64(date.max))))


def years_later(day: date, years: int) -> date:
    """The same day so many years later, or earlier if negative; 28 February for the 29th where there is none."""
    year = min(max(day.year + years, date.min.year), date.max.year)
    try:
        return day.replace(year=year)
    except ValueError:
        return day.replace(year=year, day=28)
