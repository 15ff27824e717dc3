"""What a call is, and what it returns."""

from __future__ import annotations

import dataclasses
import enum
from typing import (
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    Dict,
    Final,
    Generic,
    Iterator,
    List,
    NamedTuple,
    Optional,
    TypeVar,
)

T = TypeVar("T")
PAGE_SIZE = 100


class Unset(enum.Enum):
    """The value of a field that was not given. `None` is null in JSON."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


class Operation(NamedTuple):
    method: str
    path: str
    #: Whether a second request does no harm if the first one took effect, and others have acted since.
    repeatable: bool = False
    #: Whether the operation takes an `Idempotency-Key`.
    takes_key: bool = False
    #: The field of the body without which the vault ignores the key. Then the operation is not repeatable.
    key_needs: Optional[str] = None


@dataclasses.dataclass(frozen=True, repr=False)
class Call:
    """An operation with its parameters, which can have secrets."""

    operation: Operation
    path: Dict[str, str] = dataclasses.field(default_factory=dict)
    query: Dict[str, Any] = dataclasses.field(default_factory=dict)
    body: Any = UNSET
    idempotency_key: Optional[str] = None

    def is_repeatable(self) -> bool:
        needed = self.operation.key_needs
        return self.operation.repeatable and (needed is None or isinstance(self.body.get(needed), str))

    def at(self, cursor: str) -> Call:
        return dataclasses.replace(self, query={**self.query, "cursor": cursor})


class Answer(NamedTuple):
    data: Any
    next_cursor: Optional[str]


class Step(Generic[T]):
    """What a call did that works in steps. `data, next_cursor = step` works too."""

    def __init__(self, data: T, next_cursor: Optional[str]) -> None:
        self.data = data
        #: The `cursor` of the next call. None if there is none.
        self.next_cursor = next_cursor

    def __iter__(self) -> Iterator[Any]:
        return iter((self.data, self.next_cursor))


@dataclasses.dataclass(frozen=True)
class Page(Generic[T]):
    items: List[T]
    #: The `cursor` of the next page. None after the last page.
    next_cursor: Optional[str]


class Pages(Generic[T]):
    """All items of a list. Iterating fetches page by page, and iterating again fetches again."""

    def __init__(self, send: Callable[[Call], Answer], call: Call) -> None:
        self._send, self._call = send, with_page_size(call)

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.items

    def pages(self) -> Iterator[Page[T]]:
        """The pages. A page can be empty and have a next page."""
        call = self._call
        while True:
            answer = self._send(call)
            yield Page(answer.data, answer.next_cursor)
            if answer.next_cursor is None:
                return
            call = call.at(answer.next_cursor)


class AsyncPages(Generic[T]):
    """All items of a list. Iterating fetches page by page, and iterating again fetches again."""

    def __init__(self, send: Callable[[Call], Awaitable[Answer]], call: Call) -> None:
        self._send, self._call = send, with_page_size(call)

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page.items:
                yield item

    async def pages(self) -> AsyncIterator[Page[T]]:
        """The pages. A page can be empty and have a next page."""
        call = self._call
        while True:
            answer = await self._send(call)
            yield Page(answer.data, answer.next_cursor)
            if answer.next_cursor is None:
                return
            call = call.at(answer.next_cursor)


def with_page_size(call: Call) -> Call:
    limit = call.query.get("limit")
    return dataclasses.replace(call, query={**call.query, "limit": PAGE_SIZE if limit is None else limit})
