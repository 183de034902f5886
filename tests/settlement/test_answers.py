"""What an answer to a statement may say."""

import msgspec
import pytest

from settlement.answers import Answer, StatementState

CONFIRMED = Answer.confirmed(5)
OBJECTED = Answer.objected(5, "trade 1 was for 10 t")
UPHELD = OBJECTED.ruled(True, 1, "so it was", 9)
DISMISSED = OBJECTED.ruled(False, 1, "it was for 100 t", 5)


@pytest.mark.parametrize("answer", [CONFIRMED, OBJECTED, UPHELD, DISMISSED], ids=lambda one: one.state)
def test_what_the_life_of_a_statement_leads_to_is_sound(answer: Answer) -> None:
    answer.check()


def test_an_objection_keeps_its_words_when_it_is_answered() -> None:
    assert (UPHELD.state, DISMISSED.state) == (StatementState.UPHELD, StatementState.DISMISSED)
    assert (UPHELD.objection, UPHELD.at_ns) == (OBJECTED.objection, OBJECTED.at_ns)
    assert (UPHELD.ruling, UPHELD.ruled_by, UPHELD.ruled_at_ns) == ("so it was", 1, 9)


@pytest.mark.parametrize(
    ("answer", "change"),
    [
        (CONFIRMED, {"state": StatementState.ISSUED}),
        (CONFIRMED, {"state": StatementState.ACCEPTED}),
        (CONFIRMED, {"objection": "no"}),
        (OBJECTED, {"objection": " \n"}),
        (OBJECTED, {"ruling": "yes"}),
        (OBJECTED, {"ruled_by": 1}),
        (UPHELD, {"ruling": ""}),
        (UPHELD, {"ruled_by": 0}),
        (UPHELD, {"ruled_at_ns": 4}),
        (DISMISSED, {"objection": ""}),
    ],
)
def test_an_answer_that_says_more_or_less_than_its_state_is_noticed(answer: Answer, change: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        msgspec.structs.replace(answer, **change).check()
