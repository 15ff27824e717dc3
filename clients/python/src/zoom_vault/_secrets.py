from __future__ import annotations

import re
from typing import Any, Callable, Dict

_SECRET = re.compile(r"^(token|secret|url|connect_url)$|_(token|secret|key)$")


class Secret:
    """A text that no `repr` and no error shows."""

    __slots__ = ("_reveal",)

    def __init__(self, text: str) -> None:
        self._reveal: Callable[[], str] = lambda: text

    def reveal(self) -> str:
        return self._reveal()

    def __repr__(self) -> str:
        return "Secret([hidden])"


class RedactedDict(Dict[str, Any]):
    """A dict whose `repr` hides secret fields. Programs and `json.dumps` still read them."""

    def __repr__(self) -> str:
        def shown(name: str, value: Any) -> Any:
            return "[hidden]" if isinstance(value, str) and _SECRET.search(name) else value

        return repr({name: shown(name, value) for name, value in self.items()})
