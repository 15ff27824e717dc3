"""What the vault must answer: the state of each credential as far as its caller can know it.

A change whose answer was lost, or was an error of a service, may or may not have happened. So each field is the set of
values that it can have. A later answer shows which value it is.
"""

import asyncio
import time

# A function that goes on after its caller has an error ends within this time: API Gateway's 29 s, and some.
SETTLE_SECONDS = 35
REASONS_OF_REMOVAL = {"deauthorized", "revoked", "refresh_outcome_lost"}


class Credential:
    def __init__(self, credential_id, user, name):
        self.id, self.user = credential_id, user
        self.names, self.deleted = {name}, {False}
        self.removed = False  # the user has removed the app at Zoom
        self.lost = False  # a kill has lost the outcome of a refresh
        self.ambiguous = False  # the user has authorized again, and nobody knows whether the vault has stored that
        self.urls = []
        self.unknown_until = 0
        self.version = 0
        self.users, self.exclusive = 0, False
        self.changed = asyncio.Condition()

    def begin_change(self, field, value):
        """A change is on its way: the field may have its old values or the new one."""
        self.version += 1
        getattr(self, field).add(value)

    def acknowledge(self, field, value):
        self.version += 1
        setattr(self, field, {value})

    def leave_unknown(self):
        self.version += 1
        self.unknown_until = time.monotonic() + SETTLE_SECONDS

    def observe(self, field, value):
        """An answer shows a value. Returns whether the field can have it."""
        if value not in getattr(self, field):
            return False
        if time.monotonic() > self.unknown_until:
            setattr(self, field, {value})
        return True

    def is_live(self):
        return self.deleted == {False}


class Use:
    """Uses a credential. Uses wait for changes and changes for uses, so that each answer has one right value."""

    def __init__(self, credential, exclusive=False):
        self.credential, self.exclusive = credential, exclusive

    async def __aenter__(self):
        it = self.credential
        async with it.changed:
            await it.changed.wait_for(lambda: not it.exclusive and not (self.exclusive and it.users))
            it.exclusive = self.exclusive
            it.users += 1
        return it

    async def __aexit__(self, *_):
        it = self.credential
        async with it.changed:
            it.users -= 1
            it.exclusive = False
            it.changed.notify_all()
