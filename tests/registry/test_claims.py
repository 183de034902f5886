"""Nothing is credited twice: claims against a plain set of days."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.claims import Claims, Kind, Span, batch, certificates, days, overlap_among

JANUARY = days("P1", date(2025, 1, 1), date(2025, 1, 31))
LAST_OF_JANUARY = days("P1", date(2025, 1, 31), date(2025, 2, 28))
FEBRUARY = days("P1", date(2025, 2, 1), date(2025, 2, 28))


def january_of(name):
    return JANUARY._replace(name=name)


def test_a_day_in_common_is_enough_to_be_refused():
    claims = Claims()
    claims.add(1, [JANUARY])

    assert claims.taken([FEBRUARY]) is None
    span, claim = claims.taken([FEBRUARY, LAST_OF_JANUARY])
    assert (span, claim.reduction) == (LAST_OF_JANUARY, 1)
    with pytest.raises(ValueError, match="P1 from 2025-01-31 to 2025-02-28 is claimed by reduction 1"):
        claims.add(2, [LAST_OF_JANUARY])
    claims.check()


def test_other_days_and_other_projects_are_free():
    claims = Claims()
    claims.add(1, [JANUARY])
    claims.add(2, [FEBRUARY])
    claims.add(3, [january_of("P2")])

    claims.check()


def test_what_a_rejected_reduction_claimed_is_free_again():
    claims = Claims()
    claims.add(1, [JANUARY])
    claims.free(1)
    claims.add(2, [LAST_OF_JANUARY])

    assert claims.of(1) == []
    claims.check()


def test_two_names_of_one_thing_share_their_days():
    claims = Claims()
    claims.add(1, [JANUARY])
    claims.identify(["P1", "CCER-7"])

    span, claim = claims.taken([january_of("CCER-7")])
    assert (span.name, claim.reduction) == ("CCER-7", 1)
    claims.check()


def test_names_that_were_credited_for_the_same_days_can_not_be_one():
    claims = Claims()
    claims.add(1, [JANUARY])
    claims.add(2, [january_of("CCER-7")])

    assert {claim.reduction for claim in claims.clash(["P1", "CCER-7"])} == {1, 2}
    with pytest.raises(ValueError, match="cannot be one"):
        claims.identify(["P1", "CCER-7"])
    assert [names for names, _ in claims] == [["days CCER-7"], ["days P1"]]
    claims.check()


def test_a_long_claim_hides_no_clash_behind_a_short_one():
    claims = Claims()
    claims.add(1, [days("A", date(2025, 1, 1), date(2025, 12, 31))])
    claims.add(2, [days("B", date(2026, 1, 1), date(2026, 1, 31))])
    claims.add(3, [days("C", date(2025, 6, 1), date(2025, 6, 30))])

    assert claims.clash(["A", "B"]) is None
    assert {claim.reduction for claim in claims.clash(["B", "A", "C"])} == {1, 3}


def test_a_reduction_under_two_names_is_one_claim_once_they_are_one():
    claims = Claims()
    claims.add(1, [january_of("PLANT"), january_of("P1")])
    claims.identify(["PLANT", "P1"])
    claims.check()

    assert [(names, len(held)) for names, held in claims] == [(["days P1", "days PLANT"], 1)]
    claims.free(1)
    assert [(names, len(held)) for names, held in claims] == [(["days P1", "days PLANT"], 0)]
    claims.check()


def test_the_order_in_which_names_became_one_does_not_matter():
    one, other = Claims(), Claims()
    for claims, pairs in ((one, ["AB", "CD", "BC"]), (other, ["CB", "DC", "AD"])):
        for pair in pairs:
            claims.identify(list(pair))

    assert list(one) == list(other) == [(["days A", "days B", "days C", "days D"], [])]


@pytest.mark.parametrize(
    ("first", "last", "span"),
    [
        ("GEC-2025-0007", "GEC-2025-0120", Span(Kind.CERTIFICATES, "GEC-2025-", 7, 120)),
        ("GEC-2025-7", "GEC-2025-0007", Span(Kind.CERTIFICATES, "GEC-2025-", 7, 7)),
        ("0001", "0002", Span(Kind.CERTIFICATES, "", 1, 2)),
        ("GEC-2025-2", "GEC-2025-1", None),
        ("GEC-2024-1", "GEC-2025-2", None),
        ("GEC-A", "GEC-A", None),
        ("GEC-１", "GEC-１", None),
        ("", "", None),
    ],
)
def test_certificates_are_numbered_at_the_end_of_their_ids(first, last, span):
    assert certificates(first, last) == span


def test_a_certificate_and_a_batch_are_claimed_once():
    claims = Claims()
    claims.add(1, [certificates("GEC-1", "GEC-100"), batch("platform", "2025-01")])

    assert (
        claims.taken([certificates("GEC-101", "GEC-200"), batch("platform", "2025-02"), batch("other", "2025-01")])
        is None
    )
    assert claims.taken([certificates("GEC-100", "GEC-200")])
    assert claims.taken([batch("platform", "2025-01")])


@pytest.mark.parametrize(
    ("spans", "overlap"),
    [
        ([], None),
        ([JANUARY, FEBRUARY, january_of("P2")], None),
        ([FEBRUARY, JANUARY, LAST_OF_JANUARY], LAST_OF_JANUARY),
        (
            [Span(Kind.CERTIFICATES, "G", *ends) for ends in ((1, 100), (2, 3), (50, 60))],
            Span(Kind.CERTIFICATES, "G", 2, 3),
        ),
    ],
)
def test_what_is_asked_for_twice_at_once(spans, overlap):
    assert overlap_among(spans) == overlap
    if overlap:
        with pytest.raises(ValueError):
            Claims().add(1, spans)


class PlainClaims:
    """Every day of every group of names, one by one."""

    def __init__(self):
        self.groups = {name: {name} for name in "ABCD"}
        self.days = {}  # (name, day) -> reduction

    def is_free(self, names, first, last):
        asked = {(member, day) for name in names for member in self.groups[name] for day in range(first, last + 1)}
        return not asked & self.days.keys()

    def add(self, reduction, names, first, last):
        for name in names:
            for member in self.groups[name]:
                self.days.update({(member, day): reduction for day in range(first, last + 1)})

    def free(self, reduction):
        self.days = {key: owner for key, owner in self.days.items() if owner != reduction}

    def clashes(self, names):
        owners = {}
        for name in names:
            for (member, day), owner in self.days.items():
                if member in self.groups[name]:
                    owners.setdefault(day, set()).add(owner)
        return any(len(found) > 1 for found in owners.values())

    def identify(self, names):
        together = set().union(*(self.groups[name] for name in names))
        spread = {day: owner for (name, day), owner in self.days.items() if name in together}
        for name in together:
            self.groups[name] = together
            self.days.update({(name, day): owner for day, owner in spread.items()})


NAMES = st.lists(st.sampled_from("ABCD"), min_size=1, max_size=2, unique=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NAMES, st.integers(1, 40), st.integers(0, 9)),
        st.tuples(st.just("free"), st.integers(1, 12)),
        st.tuples(st.just("identify"), NAMES),
    ),
    max_size=25,
)


@given(STEPS)
def test_claims_agree_with_a_plain_set_of_days(steps):
    claims, plain, reduction = Claims(), PlainClaims(), 0
    for step, *said in steps:
        match step:
            case "add":
                names, first, length = said
                spans = [Span(Kind.DAYS, name, first, first + length) for name in names]
                is_free = plain.is_free(names, first, first + length)
                assert (claims.taken(spans) is None) == is_free
                if is_free:
                    reduction += 1
                    claims.add(reduction, spans)
                    plain.add(reduction, names, first, first + length)
            case "free":
                claims.free(said[0])
                plain.free(said[0])
            case "identify":
                assert (claims.clash(said[0]) is not None) == plain.clashes(said[0])
                if not plain.clashes(said[0]):
                    claims.identify(said[0])
                    plain.identify(said[0])
        claims.check()
    for day in range(1, 50):
        for name in "ABCD":
            found = claims.taken([Span(Kind.DAYS, name, day, day)])
            assert (found[1].reduction if found else None) == plain.days.get((name, day))
