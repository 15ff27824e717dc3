from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Mapping, Optional, Sequence, TypedDict, Union, cast

from ._errors import NotificationError
from ._generated.types import NotificationKind


class NotificationData(TypedDict, total=False):
    event_id: str
    credential_id: str
    session_id: str
    reason: str


class Notification(TypedDict):
    type: NotificationKind
    #: When the event happened.
    timestamp: str
    data: NotificationData


def verify_notification(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Union[str, Sequence[str]],
    *,
    tolerance: float = 300,
    now: Optional[float] = None,
) -> Notification:
    """Verifies that the vault made a call to your notification endpoint, and returns the notification.

    Raises a `NotificationError` otherwise. The vault may send a notification twice: remember the header `webhook-id`
    for a day.

    :param headers: The headers of the request. Upper and lower case are the same.
    :param body: The body as it came, not JSON that was parsed and written again.
    :param secrets: The secret of the endpoint, `whsec_…`. Several if you keep the earlier secret for a while.
    :param tolerance: How many seconds the clocks may differ, and the call may take.
    :param now: Seconds since 1970, for tests.
    """
    keys = [_decoded(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        raise ValueError("verify_notification needs at least one secret")
    lower = {name.lower(): value for name, value in headers.items()}
    identifier, timestamp = lower.get("webhook-id", ""), lower.get("webhook-timestamp", "")
    signatures = lower.get("webhook-signature", "")
    if not identifier or not timestamp or not signatures:
        message = "One of webhook-id, webhook-timestamp and webhook-signature is missing"
        raise NotificationError("header_missing", message)
    whole = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15
    if not whole or not abs((time.time() if now is None else now) - int(timestamp)) <= tolerance:
        raise NotificationError("timestamp_off", f"webhook-timestamp is more than {tolerance:g} seconds off")

    # Some servers make surrogates of bytes that are not UTF-8. No signature of the vault has them.
    signed = f"{identifier}.{timestamp}.".encode(errors="surrogatepass") + body
    expected = [b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in keys]
    sent = [signature.encode(errors="surrogatepass") for signature in signatures.split(" ")]
    if not any(hmac.compare_digest(one, other) for one in sent for other in expected):
        raise NotificationError("signature_wrong", "No secret made a signature in webhook-signature")
    return cast(Notification, json.loads(body))


def _decoded(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 24:
        raise ValueError("A secret of verify_notification is not of the form whsec_…, as the vault showed it")
    return key
