"""Credits: reductions that were registered once, and the units that stand for them.

A project earns credits by a methodology (domain sheet E.1; for HBCER the same with a regional authority, E.3):

| project    | how it comes there                               | next                  |
|------------|--------------------------------------------------|-----------------------|
| filed      | its owner files it                               | validated, rejected   |
| validated  | a verifier's opinion is positive                 | public, rejected      |
| public     | the authority publishes it for 20 working days   | registered, rejected  |
| registered | the authority registers it, within 15 more       | suspended             |
| suspended  | the authority suspects fraud: no step of a batch | registered            |
| rejected   | a negative opinion, or the authority             | none: it is over      |

Its reductions are reported in batches. Green power (MWh x factor) and carbon inclusion (grams) enter the same
register and end in the same act of the authority; they are metered, so nobody verifies and publishes them:

| reduction  | how it comes there                               | next                  |
|------------|--------------------------------------------------|-----------------------|
| reported   | a project's owner reports a batch                | verified, rejected    |
| verified   | another verifier than the project's confirms it  | public, rejected      |
| public     | the authority publishes it for 20 working days   | issued, rejected      |
| metered    | green power or carbon inclusion is reported      | issued, rejected      |
| issued     | the authority issues its units, within 15 more   | revoked               |
| rejected   | the authority: what it claimed is free again     | none: it is over      |
| revoked    | it was fraud                                     | none: it is over      |

A methodology is approved until it is withdrawn; projects that were filed by it go on.

The units of a project and year are one kind, `<scheme>-<project>-<vintage>`, of one region, where the vintage is the
year in which a batch's period ends; each batch has a range of their serial numbers. Only this register issues them.

If a batch is revoked, what its owner has of it on its registry side is cancelled, and for what has gone elsewhere the
owner owes other units. Whoever bought keeps what it bought. The owner may file nothing for some years.

A platform's grams add up per vintage: whole tonnes are issued, the rest waits for the next batch. If a batch is revoked
on whose grams a later tonne stood, one tonne more is owed.

What is filed when is in the state, what may be done when follows from it and the rules; dates are days of the market.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from enum import StrEnum
from fractions import Fraction
from typing import Any

import msgspec

from registry.claims import Claims, Span
from registry.rules import CreditScheme
from registry.units import Unit
from registry.workdays import after_working_days, years_later

GRAMS = 1_000_000  # in a tonne
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


class ProjectState(StrEnum):
    """Where a project stands in its life."""

    FILED = "filed"
    VALIDATED = "validated"
    PUBLIC = "public"
    REGISTERED = "registered"
    SUSPENDED = "suspended"
    REJECTED = "rejected"


class ReductionState(StrEnum):
    """Where a batch of reductions stands in its life."""

    REPORTED = "reported"
    VERIFIED = "verified"
    PUBLIC = "public"
    METERED = "metered"
    ISSUED = "issued"
    REJECTED = "rejected"
    REVOKED = "revoked"


NEXT_PROJECT = {
    ProjectState.FILED: frozenset({ProjectState.VALIDATED, ProjectState.REJECTED}),
    ProjectState.VALIDATED: frozenset({ProjectState.PUBLIC, ProjectState.REJECTED}),
    ProjectState.PUBLIC: frozenset({ProjectState.REGISTERED, ProjectState.REJECTED}),
    ProjectState.REGISTERED: frozenset({ProjectState.SUSPENDED}),
    ProjectState.SUSPENDED: frozenset({ProjectState.REGISTERED}),
    ProjectState.REJECTED: frozenset[ProjectState](),
}
NEXT_REDUCTION = {
    ReductionState.REPORTED: frozenset({ReductionState.VERIFIED, ReductionState.REJECTED}),
    ReductionState.VERIFIED: frozenset({ReductionState.PUBLIC, ReductionState.REJECTED}),
    ReductionState.PUBLIC: frozenset({ReductionState.ISSUED, ReductionState.REJECTED}),
    ReductionState.METERED: frozenset({ReductionState.ISSUED, ReductionState.REJECTED}),
    ReductionState.ISSUED: frozenset({ReductionState.REVOKED}),
    ReductionState.REJECTED: frozenset[ReductionState](),
    ReductionState.REVOKED: frozenset[ReductionState](),
}


class Methodology(msgspec.Struct, frozen=True):
    """How reductions of one kind are reckoned, and for how many years a project may be credited."""

    code: str
    title: str
    sector: str
    crediting_years: int
    approved_on: date
    withdrawn_on: date | None = None


class Project(msgspec.Struct, frozen=True):
    """A project with the dates of its life. Both ends of the crediting period belong to it."""

    project_id: str
    scheme: str
    owner: int
    methodology: str
    title: str
    kind: str
    region: str
    also_known_as: tuple[str, ...]  # in other schemes, or as a plant
    started_on: date
    crediting_from: date
    crediting_to: date
    filed_on: date
    state: ProjectState = ProjectState.FILED
    validator: int = 0
    validated_on: date | None = None
    public_until: date | None = None  # the last day
    decide_by: date | None = None
    decided_on: date | None = None  # registered or rejected
    grade: str = ""
    reason: str = ""  # why it was rejected or suspended

    @property
    def names(self) -> list[str]:
        """All that it is called, its id first."""
        return list(dict.fromkeys([self.project_id, *self.also_known_as]))


class GreenPower(msgspec.Struct, frozen=True, tag=True):
    """What a plant fed in. Decimal strings: MWh, and tCO2 per MWh of the power it replaces."""

    mwh: str
    factor: str
    factor_source: str  # where the factor is published
    certificates: tuple[tuple[str, str], ...]  # first and last id
    also_known_as: tuple[str, ...]  # the plant, as a project


class Inclusion(msgspec.Struct, frozen=True, tag=True):
    """What the users of a platform saved by behaving so, in gCO2e."""

    batch_ref: str
    grams: int
    scenario: str


class Reduction(msgspec.Struct, frozen=True):
    """A batch of reductions with the dates of its life. Both ends of its period belong to it."""

    number: int
    scheme: str
    project: str  # or plant, or platform
    batch: int  # of the project
    owner: int
    first_day: date
    last_day: date
    tonnes: int  # reported, then verified, then issued
    state: ReductionState
    reported_on: date
    metered: GreenPower | Inclusion | None = None
    region: str = ""
    verifier: int = 0
    verified_on: date | None = None
    public_until: date | None = None  # the last day
    decide_by: date | None = None
    decided_on: date | None = None  # issued, rejected or revoked
    unit: int = 0
    first_serial: int = 0  # 0: nothing was issued
    last_serial: int = 0
    excess: int = 0  # tonnes issued later that stood on its grams when it was revoked
    reason: str = ""  # why it was rejected or revoked

    @property
    def vintage(self) -> int:
        return self.last_day.year

    @property
    def unit_code(self) -> str:
        return f"{self.scheme}-{self.project}-{self.vintage}"

    @property
    def names(self) -> list[str]:
        """All that the project or plant is called here."""
        also = self.metered.also_known_as if isinstance(self.metered, GreenPower) else ()
        return list(dict.fromkeys([self.project, *also]))

    @property
    def title(self) -> str:
        """How a refusal names it."""
        return f"reduction {self.number} ({self.scheme} {self.project}, {self.first_day} to {self.last_day})"


class Duty(msgspec.Struct, frozen=True):
    """So many tonnes of a revoked reduction are still to be replaced by its owner."""

    reduction: int
    owner: int
    tonnes: int
    replace_by: date


class Deadline(msgspec.Struct, frozen=True, order=True):
    """A day by which somebody had to act."""

    due: date
    what: str


class ProjectStatus(msgspec.Struct, frozen=True):
    """A project, its batches, and what may come next: not before a day, and by which."""

    project: Project
    reductions: list[int]
    next: list[ProjectState]
    not_before: date | None
    due: date | None
    is_overdue: bool


def is_decimal(text: str) -> bool:
    """Whether a text is a plain decimal number, not below zero."""
    return _DECIMAL.fullmatch(text) is not None


def green_power_tonnes(mwh: str, factor: str) -> int:
    """Whole tonnes that power replaced: MWh x tCO2/MWh, floored (domain sheet E.4). Both decimal strings."""
    return int(Fraction(mwh) * Fraction(factor))


def display_serial(unit: Unit, batch: int, first: int, last: int) -> str:
    """Serial numbers as people write them: `HBCER-<project>-<vintage>-<batch>-<first>-<last>` (domain sheet E.3)."""
    return f"{unit.scheme}-{unit.project}-{unit.vintage}-{batch}-{first:08d}-{last:08d}"


def publicity(scheme: CreditScheme, today: date, holidays: Iterable[date]) -> dict[str, date]:
    """Last day of the publicity that begins today, and the day by which to decide thereafter."""
    until = after_working_days(today, scheme.publicity_working_days, holidays)
    return {
        "public_until": until,
        "decide_by": after_working_days(until, scheme.registration_working_days, holidays),
    }


class Credits:
    """Methodologies, projects, reductions, and what they claim, leave over and owe."""

    def __init__(self) -> None:
        self.methodologies: dict[str, Methodology] = {}
        self.projects: dict[str, Project] = {}
        self.reductions: dict[int, Reduction] = {}
        self.batches: dict[tuple[str, str], list[int]] = {}  # reductions by scheme and project
        self.claims = Claims()
        self.grams: Counter[tuple[str, str, int]] = Counter()  # not yet a tonne, by scheme, platform and vintage
        self.units: set[int] = set()  # that only this register issues
        self.duties: dict[int, Duty] = {}  # by reduction
        self.banned_until: dict[int, date] = {}  # by account; from that day it may file again

    # ---------------------------------------------------------------- projects

    def file(self, project: Project) -> Project:
        """Enter a new project. KeyError if its id is taken."""
        if project.project_id in self.projects:
            raise KeyError(project.project_id)
        self.projects[project.project_id] = project
        return project

    def move_project(self, project: Project, state: ProjectState, **changes: Any) -> Project:
        """The project in its next state. ValueError if its life does not lead there."""
        if state not in NEXT_PROJECT[project.state]:
            raise ValueError(f"a project that is {project.state} does not become {state}")
        moved = msgspec.structs.replace(project, state=state, **changes)
        self.projects[project.project_id] = moved
        return moved

    # ---------------------------------------------------------------- reductions

    def report(
        self,
        scheme: str,
        project: str,
        owner: int,
        period: tuple[date, date],
        tonnes: int,
        today: date,
        spans: list[Span],
        *,
        metered: GreenPower | Inclusion | None = None,
        decide_by: date | None = None,
        region: str = "",
    ) -> Reduction:
        """Enter a new batch and what it claims. ValueError, before anything changed, if that is claimed already."""
        number = len(self.reductions) + 1
        self.claims.add(number, spans)
        batches = self.batches.setdefault((scheme, project), [])
        batches.append(number)
        reduction = Reduction(
            number, scheme, project, len(batches), owner, *period, tonnes,
            ReductionState.METERED if metered else ReductionState.REPORTED,
            today, metered=metered, decide_by=decide_by, region=region,
        )  # fmt: skip
        self.reductions[number] = reduction
        return reduction

    def move_reduction(self, reduction: Reduction, state: ReductionState, **changes: Any) -> Reduction:
        """The reduction in its next state. ValueError if its life does not lead there. Rejection frees its claims."""
        if state not in NEXT_REDUCTION[reduction.state]:
            raise ValueError(f"a reduction that is {reduction.state} does not become {state}")
        moved = msgspec.structs.replace(reduction, state=state, **changes)
        self.reductions[reduction.number] = moved
        if state == ReductionState.REJECTED:
            self.claims.free(reduction.number)
        return moved

    def to_issue(self, reduction: Reduction) -> tuple[int, int]:
        """Whole tonnes to issue for a batch, and the grams that its platform then has left."""
        if not isinstance(reduction.metered, Inclusion):
            return reduction.tonnes, 0
        return divmod(self.grams[_purse(reduction)] + reduction.metered.grams, GRAMS)

    def issue(self, reduction: Reduction, unit: int, serials: list[tuple[int, int]], today: date) -> Reduction:
        """The units of a batch were issued, under a range of serial numbers, if it came to a tonne."""
        tonnes, left = self.to_issue(reduction)
        if isinstance(reduction.metered, Inclusion):
            self.grams[_purse(reduction)] = left
        self.units.add(unit)
        first, last = serials[0] if serials else (0, 0)
        return self.move_reduction(
            reduction, ReductionState.ISSUED,
            tonnes=tonnes, unit=unit, first_serial=first, last_serial=last, decided_on=today,
        )  # fmt: skip

    def revoke(
        self,
        reduction: Reduction,
        cancelled: int,
        scheme: CreditScheme,
        today: date,
        holidays: Iterable[date],
        reason: str,
    ) -> Reduction:
        """A batch was fraud and so many of its tonnes are cancelled: the rest is owed, and its owner is banned."""
        excess = self._take_back_grams(reduction)
        owed = reduction.tonnes - cancelled + excess
        if owed:
            replace_by = after_working_days(today, scheme.replacement_working_days, holidays)
            self.duties[reduction.number] = Duty(reduction.number, reduction.owner, owed, replace_by)
        until = years_later(today, scheme.ban_years)
        self.banned_until[reduction.owner] = max(until, self.banned_until.get(reduction.owner, until))
        return self.move_reduction(reduction, ReductionState.REVOKED, excess=excess, decided_on=today, reason=reason)

    def _take_back_grams(self, reduction: Reduction) -> int:
        """Take the grams of a revoked batch from what is left; tonnes of later batches that stood on them."""
        if not isinstance(reduction.metered, Inclusion):
            return 0
        left = self.grams[_purse(reduction)] + reduction.tonnes * GRAMS - reduction.metered.grams
        excess = max(0, -(left // GRAMS))
        self.grams[_purse(reduction)] = left + excess * GRAMS
        return excess

    def replace(self, duty: Duty, tonnes: int) -> None:
        """So many tonnes of a duty were made good. ValueError if it is less."""
        if not 0 < tonnes <= duty.tonnes:
            raise ValueError(f"{duty.tonnes} t are owed")
        if tonnes == duty.tonnes:
            del self.duties[duty.reduction]
        else:
            self.duties[duty.reduction] = msgspec.structs.replace(duty, tonnes=duty.tonnes - tonnes)

    # ---------------------------------------------------------------- questions

    def is_banned(self, account: int, today: date) -> bool:
        """Whether an account may file nothing today."""
        return today < self.banned_until.get(account, date.min)

    def owed_by(self, account: int) -> str:
        """What an account has still to replace, in words; nothing if it owes nothing."""
        return ", ".join(
            f"{duty.tonnes} t for the revoked {self.reductions[duty.reduction].title}"
            for duty in self.duties.values()
            if duty.owner == account
        )

    def status(self, project_id: str, today: date) -> ProjectStatus:
        """Where a project stands and what may come next. KeyError if there is none."""
        project = self.projects[project_id]
        is_public = project.state == ProjectState.PUBLIC
        due = project.decide_by if is_public else None
        return ProjectStatus(
            project,
            self.batches.get((project.scheme, project_id), []),
            sorted(NEXT_PROJECT[project.state]),
            _day_after(project.public_until) if is_public else None,
            due,
            due is not None and due < today,
        )

    def overdue(self, today: date) -> list[Deadline]:
        """What should have been decided or replaced before today, the oldest first."""
        waiting = (ReductionState.PUBLIC, ReductionState.METERED)
        projects = (project for project in self.projects.values() if project.state == ProjectState.PUBLIC)
        reductions = (reduction for reduction in self.reductions.values() if reduction.state in waiting)
        deadlines = [
            *((project.decide_by, f"decide on project {project.project_id}") for project in projects),
            *((reduction.decide_by, f"decide on {reduction.title}") for reduction in reductions),
            *(
                (duty.replace_by, f"replace {duty.tonnes} t for {self.reductions[duty.reduction].title}")
                for duty in self.duties.values()
            ),
        ]
        return sorted(Deadline(due, what) for due, what in deadlines if due and due < today)

    def content(self) -> Iterator[tuple[object, ...]]:
        """Everything remembered, in an order of its own."""
        for _, methodology in sorted(self.methodologies.items()):
            yield "methodology", methodology
        for _, project in sorted(self.projects.items()):
            yield "project", project
        for reduction in self.reductions.values():
            yield "reduction", reduction
        for names, claims in self.claims:
            yield "claims", names, claims
        yield "grams", sorted((purse, grams) for purse, grams in self.grams.items() if grams)
        yield "duties", sorted(self.duties.items())
        yield "bans", sorted(self.banned_until.items())

    def check(self) -> None:
        """Assert that claims, states, serial ranges and grams agree."""
        self.claims.check()
        for reduction in self.reductions.values():
            issued = reduction.state in (ReductionState.ISSUED, ReductionState.REVOKED)
            is_free = reduction.state == ReductionState.REJECTED
            assert bool(self.claims.of(reduction.number)) != is_free, f"{reduction.title} claims what it should not"
            assert issued == bool(reduction.unit), f"{reduction.title} is {reduction.state} with unit {reduction.unit}"
            numbers = reduction.last_serial - reduction.first_serial + 1 if reduction.first_serial else 0
            assert numbers == (reduction.tonnes if issued else 0), f"{reduction.title} has {numbers} serial numbers"
        for duty in self.duties.values():
            assert self.reductions[duty.reduction].state == ReductionState.REVOKED, "a duty without a revocation"
            assert duty.tonnes > 0, "a duty of nothing"
        assert {purse: grams for purse, grams in self.grams.items() if grams} == self._grams_left(), "grams are lost"

    def _grams_left(self) -> dict[tuple[str, str, int], int]:
        """What platforms have left, reckoned from their batches."""
        left: Counter[tuple[str, str, int]] = Counter()
        for reduction in self.reductions.values():
            if isinstance(reduction.metered, Inclusion) and reduction.unit:
                if reduction.state == ReductionState.ISSUED:
                    left[_purse(reduction)] += reduction.metered.grams - reduction.tonnes * GRAMS
                left[_purse(reduction)] += reduction.excess * GRAMS
        return {purse: grams for purse, grams in left.items() if grams}


def _purse(reduction: Reduction) -> tuple[str, str, int]:
    """Whose grams add up."""
    return reduction.scheme, reduction.project, reduction.vintage


def _day_after(day: date | None) -> date | None:
    return date.fromordinal(day.toordinal() + 1) if day and day < date.max else day
