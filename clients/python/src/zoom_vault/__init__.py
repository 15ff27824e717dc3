"""A client of the Zoom credential vault."""

from . import errors, types
from ._call import AsyncPages, Page, Pages, Step
from ._client import AsyncVault, Vault
from ._errors import ApiError, NoAnswerError, NotificationError, VaultError
from ._generated.operations import VERSION as __version__
from ._notifications import Notification, verify_notification

__all__ = [
    "ApiError",
    "AsyncPages",
    "AsyncVault",
    "NoAnswerError",
    "Notification",
    "NotificationError",
    "Page",
    "Pages",
    "Step",
    "Vault",
    "VaultError",
    "__version__",
    "errors",
    "types",
    "verify_notification",
]
