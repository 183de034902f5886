"""Claims: what has been credited once and is never credited again.

The same tonne could be asked for twice: for the same days of a project, for the same megawatt hours as green power
and as a project's reduction, for the same green certificates, for the same batch of a carbon-inclusion platform
(uniqueness: domain sheet E.3, E.4). All of these are stretches of whole numbers on some track, and one rule holds for
all: stretches of different reductions do not overlap.

| track                          | numbers on it                                       |
|--------------------------------|-----------------------------------------------------|
| the days of a project or plant | ordinals of the days of a period, both ends in it   |
| a series of certificates       | the digits at the end of a certificate's id         |
| a batch of a platform          | a single point                                      |

Projects and plants share one space of names, and one thing may have several: in another scheme, as a plant. Names that
are :meth:`Claims.identify`-ed share a track from then on. A claim ends only if its reduction is rejected; what was
retired, cancelled or revoked stays claimed.

Complexity, with n claims on a track: to look for an overlap, to add and to free a stretch O(log n); to identify names
O(n log n), once.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import msgspec
from sortedcontainers import SortedDict

_CERTIFICATE = re.compile(r"(.*?)([0-9]{1,18})", re.DOTALL)


class Kind(StrEnum):
    """What a track's numbers are."""

    DAYS = "days"
    CERTIFICATES = "certificates"
    BATCH = "batch"


class Span(NamedTuple):
    """A stretch of numbers on the track of a name; both ends belong to it."""

    kind: Kind
    name: str
    first: int
    last: int

    def __str__(self) -> str:
        if self.kind == Kind.DAYS:
            return f"{self.name} from {date.fromordinal(self.first)} to {date.fromordinal(self.last)}"
        return f"{self.name}{self.first} to {self.last}" if self.kind == Kind.CERTIFICATES else self.name


def days(name: str, first: date, last: date) -> Span:
    """The days of a project or plant."""
    return Span(Kind.DAYS, name, first.toordinal(), last.toordinal())


def certificates(first: str, last: str) -> Span | None:
    """Green certificates by the first and the last id: of one series, numbered at the end. None if they are not."""
    begin, end = _CERTIFICATE.fullmatch(first), _CERTIFICATE.fullmatch(last)
    if not begin or not end or begin[1] != end[1] or int(begin[2]) > int(end[2]):
        return None
    return Span(Kind.CERTIFICATES, begin[1], int(begin[2]), int(end[2]))


def batch(platform: str, reference: str) -> Span:
    """A batch of a carbon-inclusion platform, as the platform calls it."""
    return Span(Kind.BATCH, f"batch {reference} of {platform}", 0, 0)


class Claim(msgspec.Struct, frozen=True):
    """A stretch of a track, and the reduction that has it."""

    first: int
    last: int
    reduction: int


class Track:
    """Disjoint claims by their first number, and the names that mean this track."""

    def __init__(self, name: str) -> None:
        self.names = [name]
        self.claims: SortedDict[int, Claim] = SortedDict()

    def overlapping(self, first: int, last: int) -> Claim | None:
        """The last claim that overlaps a stretch; only the last that begins before its end can be it."""
        for start in self.claims.irange(maximum=last, reverse=True):
            claim: Claim = self.claims[start]
            return claim if claim.last >= first else None
        return None


class Claims:
    """All claims, by track and by reduction."""

    def __init__(self) -> None:
        self._tracks: dict[tuple[Kind, str], Track] = {}
        self._spans: dict[int, list[Span]] = {}  # by reduction

    def taken(self, spans: Iterable[Span]) -> tuple[Span, Claim] | None:
        """The first of these that overlaps a claim, and the claim."""
        for span in spans:
            track = self._tracks.get((span.kind, span.name))
            claim = track.overlapping(span.first, span.last) if track else None
            if claim:
                return span, claim
        return None

    def add(self, reduction: int, spans: Iterable[Span]) -> None:
        """Claim stretches for a reduction. ValueError, before anything is claimed, if one is taken or overlaps another.

        The same days under several names of one thing are one claim.
        """
        claim_of: dict[tuple[int, int], tuple[Track, Claim]] = {}
        wanted = list(dict.fromkeys(spans))
        found = self.taken(wanted)
        if found:
            raise ValueError(f"{found[0]} is claimed by reduction {found[1].reduction}")
        if overlap_among(wanted):
            raise ValueError("a reduction claims the same twice")

        for span in wanted:
            track = self._track(span)
            claim_of[id(track), span.first] = track, Claim(span.first, span.last, reduction)
        for track, claim in claim_of.values():
            track.claims[claim.first] = claim
        self._spans[reduction] = wanted

    def free(self, reduction: int) -> None:
        """A reduction was rejected: what it claimed may be claimed by another."""
        for span in self._spans.pop(reduction, []):
            self._track(span).claims.pop(span.first, None)

    def clash(self, names: Iterable[str]) -> tuple[Claim, Claim] | None:
        """Two reductions that claim the same day of what would be one thing if all these names meant the same."""
        tracks = {id(track): track for track in map(self._days_of, names) if track}
        claims = {claim for track in tracks.values() for claim in track.claims.values()}
        latest: Claim | None = None
        for claim in sorted(claims, key=lambda claim: (claim.first, claim.reduction)):
            if latest and claim.first <= latest.last:
                return latest, claim
            latest = claim
        return None

    def identify(self, names: list[str]) -> None:
        """From now on these names mean one project or plant. ValueError, before anything changed, if they clash."""
        if self.clash(names):
            raise ValueError(f"{', '.join(names)} cannot be one: they were credited for the same days")
        tracks = {id(track): track for track in (self._track(Span(Kind.DAYS, name, 0, 0)) for name in names)}
        kept, *others = sorted(tracks.values(), key=lambda track: -len(track.claims))
        for track in others:
            kept.names += track.names
            kept.claims.update(track.claims)
            self._tracks.update({(Kind.DAYS, name): kept for name in track.names})

    def of(self, reduction: int) -> list[Span]:
        """What a reduction claims."""
        return self._spans.get(reduction, [])

    def __iter__(self) -> Iterator[tuple[list[str], list[Claim]]]:
        """All tracks that mean something, by name: their names, and their claims in order."""
        tracks = {id(track): (kind, track) for (kind, _), track in self._tracks.items()}
        told = [([f"{kind} {name}" for name in sorted(track.names)], track) for kind, track in tracks.values()]
        for names, track in sorted(told, key=lambda one: one[0]):
            if len(names) > 1 or track.claims:
                yield names, list(track.claims.values())

    def _track(self, span: Span) -> Track:
        key = span.kind, span.name
        if key not in self._tracks:
            self._tracks[key] = Track(span.name)
        return self._tracks[key]

    def _days_of(self, name: str) -> Track | None:
        return self._tracks.get((Kind.DAYS, name))

    def check(self) -> None:
        """Assert that claims are disjoint and that tracks, names and reductions agree."""
        for (kind, name), track in self._tracks.items():
            assert name in track.names, f"{name} means a track that does not know it"
            assert all(self._tracks[kind, other] is track for other in track.names), f"{name} means two tracks"
            claims = list(track.claims.values())
            assert list(track.claims) == [claim.first for claim in claims], f"claims on {name} are out of place"
            disjoint = all(one.last < later.first for one, later in pairwise(claims))
            assert disjoint, f"something of {name} is claimed twice"
        expected = {
            (id(self._tracks[span.kind, span.name]), Claim(span.first, span.last, reduction))
            for reduction, spans in self._spans.items()
            for span in spans
        }
        found = {(id(track), claim) for track in self._tracks.values() for claim in track.claims.values()}
        assert found == expected, "claims and their reductions disagree"


def overlap_among(spans: Iterable[Span]) -> Span | None:
    """One of these stretches that overlaps another of the same name."""
    latest: Span | None = None
    for span in sorted(spans):
        if latest and span[:2] == latest[:2] and span.first <= latest.last:
            return span
        latest = span if latest is None or span[:2] != latest[:2] else max(span, latest, key=lambda one: one.last)
    return None
