"""The one exception for what a user can mend; a traceback from this package therefore means a bug."""


class StandinError(Exception):
    """An expected failure.

    `message` is one line that says what went wrong and where; `hint` is one line that says what to do.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message
