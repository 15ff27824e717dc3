from __future__ import annotations

from typing import Literal, Optional


class VaultError(Exception):
    """Every error of this package."""


class ApiError(VaultError):
    """The vault, or something in front of it, answered with a failure. The text says what to do."""

    def __init__(
        self,
        message: str,
        *,
        code: Optional[str] = None,
        status_code: int = 0,
        details: Optional[str] = None,
        request_id: Optional[str] = None,
        retry_after: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        #: For programs. None if the answer has not the form of the vault's errors: then a proxy answered.
        self.code = code
        self.status_code = status_code
        #: More about the cause, depending on `code`.
        self.details = details
        #: Names the request in the vault's log.
        self.request_id = request_id
        #: Seconds until the same request can succeed.
        self.retry_after = retry_after


class NoAnswerError(VaultError):
    """No complete answer arrived. The request may have taken effect."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The vault did not answer ({reason}). The request may have taken effect")
        #: `TIMEOUT`, or the name of the failure, such as `ConnectError`.
        self.reason = reason

    def __reduce__(self) -> tuple[type[NoAnswerError], tuple[str]]:
        return NoAnswerError, (self.reason,)


NotificationReason = Literal["header_missing", "timestamp_off", "signature_wrong"]


class NotificationError(VaultError):
    """A notification is not genuine. Answer with the status 401, and do not read its body."""

    def __init__(self, reason: NotificationReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[NotificationError], tuple[NotificationReason, str]]:
        return NotificationError, (self.reason, str(self))
