"""Compliance."""


class Compliance:
    def owed_by(self, account: int) -> str:
        return ""

    def pending(self) -> list[tuple[int, int, int]]:
        return []
