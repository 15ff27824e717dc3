"""The errors: `ApiError` has a subclass for each code."""

from ._errors import ApiError, NoAnswerError, NotificationError, VaultError
from ._generated.errors import *  # noqa: F403
from ._generated.errors import __all__ as _codes

__all__ = ["ApiError", "NoAnswerError", "NotificationError", "VaultError", *_codes]
