"""What participants say to their statements, and what the clearing house says to that.

National settlement rules, art. 11: who does not agree objects in writing before the next opening; silence is consent.
The next opening is the first that the timetable has after the statement was issued, be that days late.

| state     | entered by        | next                          |
|-----------|-------------------|-------------------------------|
| issued    | IssueStatements   | confirmed, objected, accepted |
| confirmed | ConfirmStatement  | none                          |
| accepted  | OpenDay           | none: nobody said anything    |
| objected  | ObjectToStatement | upheld, dismissed             |
| upheld    | AnswerObjection   | none                          |
| dismissed | AnswerObjection   | none                          |

An objection stands until it is answered, be that after the window. Whichever way it goes, the batch stays as it is:
what was wrong is put right by new entries.
"""

from enum import StrEnum

import msgspec


class StatementState(StrEnum):
    """How far an account and the clearing house agree on a statement."""

    ISSUED = "issued"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    OBJECTED = "objected"
    UPHELD = "upheld"
    DISMISSED = "dismissed"


class Answer(msgspec.Struct, frozen=True):
    """What an account said to its statement, and what it was told. Times are UTC nanoseconds."""

    state: StatementState
    at_ns: int  # of the confirmation or the objection
    objection: str = ""
    ruling: str = ""
    ruled_by: int = 0  # account; 0: nobody yet
    ruled_at_ns: int = 0

    @classmethod
    def confirmed(cls, at_ns: int) -> "Answer":
        return cls(StatementState.CONFIRMED, at_ns)

    @classmethod
    def objected(cls, at_ns: int, objection: str) -> "Answer":
        return cls(StatementState.OBJECTED, at_ns, objection)

    def ruled(self, upheld: bool, by: int, ruling: str, at_ns: int) -> "Answer":
        """The objection with the clearing house's answer."""
        state = StatementState.UPHELD if upheld else StatementState.DISMISSED
        return msgspec.structs.replace(self, state=state, ruling=ruling, ruled_by=by, ruled_at_ns=at_ns)

    def check(self) -> None:
        """Assert that it says what its state claims, and no more."""
        is_objection = self.state in (StatementState.OBJECTED, StatementState.UPHELD, StatementState.DISMISSED)
        is_ruled = self.state in (StatementState.UPHELD, StatementState.DISMISSED)
        assert is_objection or self.state == StatementState.CONFIRMED, f"{self.state} is no answer"
        assert bool(self.objection.strip()) == is_objection, f"a statement is {self.state}, its objection is not"
        told = bool(self.ruling.strip()), self.ruled_by > 0, self.ruled_at_ns >= self.at_ns
        assert all(told) if is_ruled else not any(told), f"a statement is {self.state}, its ruling is not"
