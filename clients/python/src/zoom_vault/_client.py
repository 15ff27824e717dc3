from __future__ import annotations

import asyncio
import ipaddress
import itertools
import json
import random
import re
import time
import uuid
from types import TracebackType
from typing import Any, Dict, List, Optional, Type, Union
from urllib.parse import quote, urlsplit

import httpx

from ._call import UNSET, Answer, Call
from ._errors import ApiError, NoAnswerError
from ._generated.async_methods import AsyncMethods
from ._generated.errors import BY_CODE
from ._generated.methods import Methods
from ._generated.operations import VERSION
from ._secrets import RedactedDict, Secret

KEY_HEADER = "x-meeting-baas-api-key"


class _Settings:
    """What both clients have in common: everything but the waiting."""

    def __init__(
        self, base_url: str, api_key: str, allow_http: bool, timeout: float, max_retries: int, max_retry_wait: float
    ) -> None:
        self.base_url = _checked_url(base_url, allow_http)
        # The error of httpx for such a header would show the key.
        if not re.fullmatch(r"[!-~]+", api_key):
            raise ValueError("api_key is empty, or has a blank or a character outside ASCII")
        self.api_key = Secret(api_key)
        self.timeout, self.max_retries, self.max_retry_wait = timeout, max_retries, max_retry_wait

    def request(self, call: Call) -> Dict[str, Any]:
        """The arguments for httpx, without the API key."""
        operation = call.operation
        headers = {"user-agent": f"zoom-vault-python/{VERSION}"}
        content = None
        if call.body is not UNSET:
            body = call.body
            if isinstance(body, dict):
                body = {name: it for name, it in body.items() if it is not UNSET}
            content = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        if operation.takes_key:
            headers["idempotency-key"] = _idempotency_key(call.idempotency_key)
        segments = {name: _path_segment(name, it) for name, it in call.path.items()}
        return {
            "method": operation.method,
            "url": self.base_url + operation.path.format(**segments),
            "params": {name: _query_value(it) for name, it in call.query.items() if it is not None},
            "content": content,
            "headers": headers,
            "timeout": self.timeout,
            # A redirect would get the API key.
            "follow_redirects": False,
        }

    def with_key(self, headers: Dict[str, str]) -> Dict[str, str]:
        return {**headers, KEY_HEADER: self.api_key.reveal()}

    def wait(self, call: Call, attempt: int, answer: Optional[httpx.Response]) -> Optional[float]:
        """The seconds to wait before another attempt. None if another attempt is not safe, or does not help.

        - After a 429 with `retry-after`, every operation may be repeated, because nothing was done.
        - After a 409 or 503 with `retry-after`, or without an answer, only a repeatable one.
        """
        if attempt >= self.max_retries:
            return None
        if answer is None:
            seconds = 2.0 ** (attempt - 2) if call.is_repeatable() else None
        else:
            repeat = answer.status_code == 429 or (answer.status_code in (409, 503) and call.is_repeatable())
            seconds = _retry_after(answer) if repeat else None
        if seconds is None or seconds > self.max_retry_wait:
            return None
        # Clients that were refused together should not return together.
        return seconds + random.random() * 0.25


class Vault(Methods):
    """A client of the vault. Its methods return the field `data` of the answer, and raise a `VaultError`.

    :param base_url: The address of the vault, without `/v2`.
    :param timeout: Seconds. The vault answers within 29.
    :param max_retries: How often a call is repeated at most.
    :param max_retry_wait: The longest wait in seconds. If `retry-after` asks for more, the call fails at once.
    :param allow_http: Allows `http` to another host than this machine. Then everybody on the way can read the API key.
    :param http_client: Your own client of httpx, for example with a proxy. Close it yourself.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 35,
        max_retries: int = 3,
        max_retry_wait: float = 30,
        allow_http: bool = False,
        http_client: Optional[httpx.Client] = None,
    ) -> None:
        self._settings = _Settings(base_url, api_key, allow_http, timeout, max_retries, max_retry_wait)
        self._http, self._close = http_client or httpx.Client(), http_client is None

    def __repr__(self) -> str:
        return f"Vault({self._settings.base_url!r})"

    def __enter__(self) -> Vault:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._close:
            self._http.close()

    def _call(self, call: Call) -> Answer:
        request = self._settings.request(call)
        headers = request.pop("headers")
        for attempt in itertools.count():
            answer, reason = None, ""
            try:
                answer = self._http.request(headers=self._settings.with_key(headers), **request)
            except httpx.RequestError as error:
                reason = _reason(error)
            wait = self._settings.wait(call, attempt, answer)
            if wait is None:
                return _read(answer, reason)
            time.sleep(wait)
        raise AssertionError("unreachable")


class AsyncVault(AsyncMethods):
    """As `Vault`, for asyncio."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 35,
        max_retries: int = 3,
        max_retry_wait: float = 30,
        allow_http: bool = False,
        http_client: Optional[httpx.AsyncClient] = None,
    ) -> None:
        self._settings = _Settings(base_url, api_key, allow_http, timeout, max_retries, max_retry_wait)
        self._http, self._close = http_client or httpx.AsyncClient(), http_client is None

    def __repr__(self) -> str:
        return f"AsyncVault({self._settings.base_url!r})"

    async def __aenter__(self) -> AsyncVault:
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._close:
            await self._http.aclose()

    async def _call(self, call: Call) -> Answer:
        request = self._settings.request(call)
        headers = request.pop("headers")
        for attempt in itertools.count():
            answer, reason = None, ""
            try:
                answer = await self._http.request(headers=self._settings.with_key(headers), **request)
            except httpx.RequestError as error:
                reason = _reason(error)
            wait = self._settings.wait(call, attempt, answer)
            if wait is None:
                return _read(answer, reason)
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")


def _read(answer: Optional[httpx.Response], reason: str) -> Answer:
    """What an answer says. The errors are made here, outside of any `except`: an error of httpx has the request, and so
    the API key."""
    if answer is None:
        raise NoAnswerError(reason)
    if answer.status_code == 204:
        return Answer(None, None)
    body = _json(answer)
    if answer.is_success and body.get("success") is True and "data" in body:
        return Answer(body["data"], answer.headers.get("x-next-cursor"))
    code, message = body.get("code"), body.get("message")
    if body.get("success") is not False or not isinstance(code, str) or not isinstance(message, str):
        code = None
        message = f"The answer with status {answer.status_code} is not from the vault: a proxy may have made it"
    details = body.get("details") if code is not None else None
    raise BY_CODE.get(code or "", ApiError)(
        message,
        code=code,
        status_code=answer.status_code,
        details=details if isinstance(details, str) else None,
        request_id=answer.headers.get("x-request-id"),
        retry_after=_retry_after(answer),
    )


def _json(answer: httpx.Response) -> Dict[str, Any]:
    # The error of `json` has the whole answer, which can be a token.
    try:
        body = json.loads(answer.content, object_hook=RedactedDict)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _reason(error: httpx.RequestError) -> str:
    return "TIMEOUT" if isinstance(error, httpx.TimeoutException) else type(error).__name__


def _retry_after(answer: httpx.Response) -> Optional[int]:
    """The seconds in `retry-after`. The vault never sends a date."""
    value = answer.headers.get("retry-after", "")
    return int(value) if re.fullmatch(r"[0-9]{1,6}", value) else None


def _idempotency_key(given: Optional[str]) -> str:
    if given is None:
        return str(uuid.uuid4())
    if not re.fullmatch(r"[!-~]+", given):
        raise ValueError("idempotency_key is empty, or has a blank or a character outside ASCII")
    return given


def _path_segment(name: str, value: str) -> str:
    # These would name another path.
    if value in ("", ".", ".."):
        raise ValueError(f"{name} must not be empty, `.` or `..`")
    return quote(value, safe="")


def _query_value(value: Any) -> Union[str, List[str]]:
    if isinstance(value, list):
        return [str(_query_value(it)) for it in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _checked_url(base_url: str, allow_http: bool) -> str:
    url = urlsplit(base_url)
    if not url.hostname:
        raise ValueError("base_url is not a URL")
    if url.username or url.password or url.query or url.fragment:
        raise ValueError("base_url must not have a user, a query or a fragment")
    if url.scheme != "https" and not (url.scheme == "http" and (allow_http or _is_this_machine(url.hostname))):
        raise ValueError("base_url must begin with https://, because each request carries the API key")
    return base_url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
