"""The bookings files of an exchange: what its settlement bank has to book, day by day (:mod:`settlement.bookings`)."""

from datetime import date

from exchange.state import Exchange
from settlement.bank_files import BookingFile
from settlement.bookings import bookings
from settlement.statements import Line


class BookingFiles:
    """The file of every day that has statements, drawn when somebody asks for it.

    A file names the checksum of the one before it. Those of days that are over never change and are kept.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._checksums: dict[date, str] = {}

    def of(self, day: date) -> BookingFile | None:
        """The file of a day; None if the day has no statements yet."""
        days: dict[date, list[Line]] = {}
        for batch in self._exchange.clearing.batches:
            if batch.line is not None:
                days.setdefault(batch.day, []).append(batch.line)
        if day not in days:
            return None
        previous, checksum = None, ""
        for one, lines in days.items():
            if one == day:
                break
            if one not in self._checksums:
                self._checksums[one] = self._drawn(one, previous, checksum, lines).checksum
            previous, checksum = one, self._checksums[one]
        return self._drawn(day, previous, checksum, days[day])

    def _drawn(self, day: date, previous: date | None, checksum: str, lines: list[Line]) -> BookingFile:
        exchange = self._exchange
        booked = bookings(lines, exchange.terms, exchange.account_ids, exchange.currencies)
        return BookingFile(day, previous, checksum, booked)
