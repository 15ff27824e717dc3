"""The types of what the vault returns."""

from ._generated.types import *  # noqa: F403
from ._generated.types import __all__ as __all__
