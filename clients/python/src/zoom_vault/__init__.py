"""A client of the Zoom credential vault."""

from . import errors, types
from ._call import Page
from ._client import AsyncVault, Vault
from ._errors import ApiError, NoAnswerError, NotificationError, VaultError
from ._generated.operations import VERSION as __version__
from ._notifications import Notification, verify_notification

__all__ = [
    "ApiError",
    "AsyncVault",
    "NoAnswerError",
    "Notification",
    "NotificationError",
    "Page",
    "Vault",
    "VaultError",
    "__version__",
    "errors",
    "types",
    "verify_notification",
]
