#!/usr/bin/env python3
"""Loads the local stack: first to its saturation, then for minutes with faults and kills, and checks each answer.

    python3 tests/load/soak.py --local target/release/local --minutes 10 --report
    python3 tests/load/soak.py --local target/debug/local --short

docs/load.md explains what is done and what is checked. The exit code is 1 if anything was wrong. The logs and the
report in JSON are in target/ci/load. `--report` also writes tests/load/report.md.
"""
# assures 69
# assures 43. Seen to fail: a proxy that lost some answers of Zoom to refreshes. The script named five lost grants

import argparse
import asyncio
import collections
import contextlib
import json
import pathlib
import random
import resource
import shutil
import signal
import statistics
import sys
import time

import report
import saturation
from documented import ROOT, Documented
from model import REASONS_OF_REMOVAL, Credential, Use
from proxy import ERROR, RESET_AFTER, RESET_BEFORE, SLOW, THROTTLE, Fault, Proxy
from stack import APP, SECRET, Client, Gone, Process, operator, vault

KEY_HEADER = "x-meeting-baas-api-key"
REDIRECT = APP["redirect_uri"]
# How many of 100 operations are of each kind.
OPERATIONS = {
    "get": 28, "list": 3, "mint": 34, "token url, GET": 8, "token url, POST": 8, "update": 8, "delete": 3, "restore": 3,
    "create": 2, "remove app": 1, "authorize again": 2,
}
# A kill can lose the outcome of a refresh until its tokens are stored. A commit tries until DynamoDB is back.
COMMIT_SECONDS = 20
# A killed function leaves a lease, which ends with the time-out of the function: 90 s, and 2 s.
LEASE_SECONDS = 95
# The growth that a process may show between the second and the last quarter of a stretch without kills.
MEMORY_GROWTH, MEMORY_GROWTH_BYTES, FILES_GROWTH = 0.05, 4 << 20, 16

ZOOM_FAULTS = [
    ("429 with retry-after", {"endpoint": "any", "kind": "reply_before", "status": 429, "retry_after": "1"}),
    ("500", {"endpoint": "any", "kind": "reply_before", "status": 500}),
    ("503", {"endpoint": "any", "kind": "reply_before", "status": 503}),
    ("slow", {"endpoint": "any", "kind": "delay", "delay_ms": 1500}),
    ("slow answer", {"endpoint": "any", "kind": "delay_answer", "answer_delay_ms": 1500}),
    ("reset before Zoom acts", {"endpoint": "any", "kind": "drop_before"}),
    ("reset after a mint", {"endpoint": "mint", "kind": "drop_after"}),
    ("half an answer to a mint", {"endpoint": "mint", "kind": "truncate"}),
    ("500 after a mint", {"endpoint": "mint", "kind": "reply_after", "status": 500}),
]
AWS_FAULTS = [
    Fault(service, kind, share)
    for service, kind, share in [
        ("dynamodb", THROTTLE, 1), ("dynamodb", THROTTLE, 0.4), ("dynamodb", ERROR, 0.4), ("dynamodb", SLOW, 0.2),
        ("dynamodb", RESET_BEFORE, 0.3), ("dynamodb", RESET_AFTER, 0.3), ("kms", THROTTLE, 1), ("kms", ERROR, 1),
        ("kms", SLOW, 0.5), ("kms", RESET_BEFORE, 0.5),
    ]
]


class Soak:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.seed = options.seed
        self.documented = Documented()
        self.credentials, self.maybe_created = [], set()
        self.done, self.failures = collections.Counter(), collections.Counter()
        self.refused_removed = self.cut_off = self.explained = 0
        self.times = collections.defaultdict(list)
        self.wrong, self.lost = [], []
        self.kills, self.windows, self.faults = [], [], collections.Counter()
        self.samples = []
        self.numbers = iter(range(1, 1 << 30))
        self.stopped = False

    # The stack

    async def start(self):
        program = self.options.local
        self.services = Process(program, self.work / "services").start()
        env = self.services.env()
        upstreams = {
            "dynamodb": env["AWS_ENDPOINT_URL_DYNAMODB"], "kms": env["AWS_ENDPOINT_URL_KMS"],
            "zoom": env["ZOOM_OAUTH_BASE_URL"],
        }
        self.proxy = await Proxy(self.seed, upstreams).start()
        urls = self.proxy.urls
        endpoints = {
            "AWS_ENDPOINT_URL_DYNAMODB": urls["dynamodb"], "AWS_ENDPOINT_URL_KMS": urls["kms"],
            "ZOOM_OAUTH_BASE_URL": urls["zoom"], "ZOOM_API_BASE_URL": urls["zoom"],
        }
        # The proxy answers in this process, so the start must not block it.
        self.vault = vault(program, self.work / "vault", self.services, endpoints)
        await asyncio.to_thread(self.vault.start)
        # The key of the team `local`, which may make 8,000 changes and 8,000 mints a second.
        self.key = (self.services.data / "api-key").read_text().strip()
        self.api = Client(self.vault.api, {KEY_HEADER: self.key})
        self.vendor = Client(self.vault.api)
        self.sandbox = Client(upstreams["zoom"])

    async def zoom(self, path, body, method="POST"):
        answer = await self.sandbox.call(method, f"/sandbox/{path}", body)
        if answer.status >= 300:
            raise SystemExit(f"the sandbox refuses {path}: {answer.status} {answer.body[:200]}")
        return answer.json()

    async def code(self, user):
        code = (await self.zoom("codes", {**APP, "user_id": user}))["code"]
        self.proxy.zoom.codes[code] = user
        return code

    async def seed_credentials(self):
        app = {"name": "Load", "client_secret": SECRET, "webhook_secret_token": "load-webhook-secret"}
        answer = await self.api.call("PUT", "/v2/zoom-apps/sandbox-app", app)
        webhooks = {"url": f"{self.vault.api}/webhooks/zoom/sandbox-app", "secret_token": "load-webhook-secret"}
        validated = (await self.zoom("webhooks", webhooks))["validated"]
        if answer.status != 200 or not validated:
            raise SystemExit(f"the app is not registered: {answer.status} {answer.body[:200]}")
        gate = asyncio.Semaphore(8)

        async def one():
            async with gate:
                await self.create()

        await asyncio.gather(*(one() for _ in range(self.options.users)))
        if len(self.credentials) != self.options.users or self.wrong:
            raise SystemExit(f"the team is not complete: {self.wrong[:3]}")

    # Calls

    def in_window(self, start, end):
        return any(start < until and end > kill for kill, until in self.windows)

    async def call(self, kind, method, path, body=None, headers=None, client=None):
        """Sends a request, and counts what came back. `None` if no answer came because of a kill."""
        start = time.monotonic()
        try:
            answer = await (client or self.api).call(method, path, body, headers)
        except Gone as error:
            await asyncio.sleep(0.3)
            if self.in_window(start, time.monotonic()):
                self.cut_off += 1
            else:
                self.wrong.append(f"{kind}: no answer, and no kill: {error}")
            return None
        self.times[kind].append(time.monotonic() - start)
        if answer.status < 300:
            self.done[kind] += 1
            return answer
        problem = self.documented.problem(method, path, answer)
        if problem:
            self.wrong.append(problem)
        code, detail = f"{answer.status}", ""
        if isinstance(data := answer.json(), dict):
            code += f" {data.get('code')}"
            detail = (data.get("details") or "").split(":")[0].split(" ")[0]
            has_word = data.get("code") in ("FST_ERR_UNAVAILABLE", "FST_ERR_ZOOM_RECONNECT_REQUIRED")
            detail = f" {detail}" if has_word else ""
        self.failures[code + detail] += 1
        return answer

    @staticmethod
    def is_transient(answer):
        return answer is None or answer.status >= 500

    def expect(self, is_right, text, answer=None):
        if not is_right:
            shown = f": {answer.status} {answer.body[:300]}" if answer else ""
            self.wrong.append(text + shown)
        return is_right

    # Operations. Each one knows what it may be answered.

    async def create(self, retries=4):
        number = next(self.numbers)
        user, name = f"user-{number}", f"Credential {number}"
        await self.zoom("users", {"id": user, "account_id": "load", "email": f"{user}@load.example"})
        body = {**APP, "name": name, "client_secret": SECRET, "authorization_code": await self.code(user)}
        headers = {"idempotency-key": f"load-{self.seed}-{number}"}
        self.maybe_created.add(name)
        answer = None
        for attempt in range(retries):
            answer = await self.call("create", "POST", "/v2/zoom-credentials", body, headers)
            if answer and answer.status == 201:
                data = answer.json()["data"]
                self.expect(data["name"] == name, f"create: another name than {name}", answer)
                credential = Credential(data["credential_id"], user, name)
                self.credentials.append(credential)
                await self.create_urls(credential)
                return
            if answer and answer.status < 500 and answer.status != 409:
                break
            await asyncio.sleep(0.5 * (attempt + 1))
        # A code that Zoom has seen once may be spent, and its answer lost.
        code = answer and answer.status < 500 and answer.json().get("code")
        allowed = (None, False, "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED", "FST_ERR_CONFLICT")
        self.expect(code in allowed, f"create of {name}", answer)

    async def create_urls(self, credential):
        for kind in ("onbehalf", "zak"):
            path = f"/v2/zoom-credentials/{credential.id}/token-urls"
            answer = await self.call("create token url", "POST", path, {"type": kind, "label": "load"})
            if answer and self.expect(answer.status == 201 or answer.status >= 500, "create of a token URL", answer):
                if answer.status == 201:
                    credential.urls.append("/t/" + answer.json()["data"]["url"].rpartition("/t/")[2])

    async def get(self, credential):
        async with Use(credential):
            answer = await self.call("get", "GET", f"/v2/zoom-credentials/{credential.id}")
            self.check_read(credential, answer)

    def check_read(self, credential, answer):
        if self.is_transient(answer):
            return
        if answer.status == 404:
            self.expect(credential.observe("deleted", True), f"get of {credential.id}, which is not deleted", answer)
            return
        if not self.expect(answer.status == 200, "get", answer):
            return
        data = answer.json()["data"]
        self.expect(credential.observe("deleted", False), f"get of {credential.id}, which is deleted", answer)
        self.expect(credential.observe("names", data["name"]), f"get: not one of {credential.names}", answer)
        user = data.get("zoom_user_id") or data.get("credential_user_id")
        self.expect(user in (None, credential.user), f"get: the user is not {credential.user}", answer)

    async def list(self, _):
        """Reads all pages. Compares what did not change meanwhile."""
        quiet = [it for it in self.credentials if not it.exclusive]
        before = {it.id: (it, it.version, set(it.names), set(it.deleted)) for it in quiet}
        seen, cursor = {}, ""
        while cursor is not None:
            path = f"/v2/zoom-credentials?limit=100{cursor}"
            answer = await self.call("list", "GET", path)
            if self.is_transient(answer):
                return
            if not self.expect(answer.status == 200, "list", answer):
                return
            for data in answer.json()["data"]:
                self.expect(data["credential_id"] not in seen, f"list: {data['credential_id']} comes twice")
                seen[data["credential_id"]] = data
            following = answer.headers.get("x-next-cursor")
            cursor = f"&cursor={following}" if following else None
        for it, version, names, deleted in before.values():
            if it.version != version:
                continue
            data = seen.get(it.id)
            self.expect((data is None) in deleted, f"list: {it.id} is {'missing' if data is None else 'not deleted'}")
            self.expect(data is None or data["name"] in names, f"list: the name of {it.id} is not one of {names}")
        known = {it.id for it in self.credentials}
        for credential_id, data in seen.items():
            is_known = credential_id in known or data["name"] in self.maybe_created
            self.expect(is_known, f"list: nobody created {credential_id}")

    def check_token(self, credential, answer, token):
        user = self.proxy.zoom.issued_to(token)
        self.expect(user == credential.user, f"a token of {credential.user} is one of {user}", answer)
        if credential.ambiguous:
            # The authorization whose answer was lost has succeeded.
            credential.removed = credential.lost = credential.ambiguous = False
        self.expect(not credential.removed, f"a token of {credential.user}, who has removed the app", answer)

    def check_refusal(self, credential, answer, kind):
        """A mint was refused for good."""
        if answer.status == 404:
            self.expect(credential.observe("deleted", True), f"{kind}: {credential.id} is not deleted", answer)
            return
        if not self.expect(answer.status == 409, kind, answer):
            return
        if credential.removed:
            self.refused_removed += 1
            reason = (answer.json() or {}).get("details")
            self.expect(reason is None or reason in REASONS_OF_REMOVAL, f"{kind}: the reason after a removal", answer)
        elif not credential.lost:
            self.check_lost(credential, answer)

    def check_lost(self, credential, answer):
        """The vault says that a user must connect again. That is right only if a kill has lost a refresh."""
        reason = (answer.json() or {}).get("details")
        grants = [grant for grant, user in self.proxy.zoom.user_of_grant.items() if user == credential.user]
        refreshes = [it for grant in grants for it in self.proxy.zoom.refreshes[grant] if it.executed]
        last = max(refreshes, key=lambda it: it.sent, default=None)
        cause = None
        if last:
            until = (last.delivered or last.sent) + COMMIT_SECONDS
            cause = next((kill for kill in self.kills if last.sent <= kill <= until), None)
        # The text of a GET has no field for the reason. The next mint of the credential shows the reason.
        is_honest = cause is not None and reason in ("refresh_outcome_lost", None)
        self.expect(is_honest, f"a LOST GRANT of {credential.user} without a kill during its refresh", answer)
        credential.lost = True
        times = {"sent": last and last.sent, "answered": last and last.delivered, "killed": cause}
        times = {name: at and round(at - self.began, 2) for name, at in times.items()}
        self.lost.append({"user": credential.user, "reason": reason, "honest": is_honest, **times})

    async def mint(self, credential, kind=None):
        kind = kind or random.Random(f"{self.seed}-{next(self.numbers)}").choice(("onbehalf", "zak"))
        async with Use(credential):
            answer = await self.call("mint", "POST", "/v2/zoom-tokens", {"credential_id": credential.id, "type": kind})
            if self.is_transient(answer):
                return answer
            if answer.status == 200:
                self.check_token(credential, answer, answer.json()["data"]["token"])
                self.expect(credential.observe("deleted", False), f"mint of {credential.id}, which is deleted", answer)
            else:
                self.check_refusal(credential, answer, "mint")
            return answer

    async def token_url_get(self, credential):
        """The dialects of MeetingBaas, Recall.ai and MeetStream: the token as text."""
        if not credential.urls:
            return
        number = next(self.numbers)
        path = credential.urls[number % 2 % len(credential.urls)]
        query = ("?bot_uuid=6f7c2a1e&extra=%7B%7D", "", "?meeting_number=98765432101")[number % 3]
        headers = {"x-bot-id": "ms-1"} if number % 3 == 2 else {}
        async with Use(credential):
            answer = await self.call("token url, GET", "GET", path + query, headers=headers, client=self.vendor)
            if self.is_transient(answer):
                return
            if answer.status == 200:
                self.check_token(credential, answer, answer.body.decode().strip())
                self.expect(credential.observe("deleted", False), f"token URL of {credential.id}, deleted", answer)
            else:
                self.check_refusal(credential, answer, "token URL")

    async def token_url_post(self, credential):
        """The dialect of Attendee: the token under several names."""
        if not credential.urls:
            return
        path = credential.urls[next(self.numbers) % 2 % len(credential.urls)]
        body = {"bot_id": "bot_1", "callback_type": "zoom_tokens", "meeting_url": "https://zoom.us/j/98765432101"}
        async with Use(credential):
            answer = await self.call("token url, POST", "POST", path, body, client=self.vendor)
            if self.is_transient(answer):
                return
            if answer.status == 200:
                tokens = set(answer.json().values())
                self.expect(len(tokens) == 1, "token URL: several tokens in one answer", answer)
                self.check_token(credential, answer, tokens.pop())
                self.expect(credential.observe("deleted", False), f"token URL of {credential.id}, deleted", answer)
            else:
                self.check_refusal(credential, answer, "token URL")

    async def update(self, credential):
        name = f"Name {next(self.numbers)}"
        async with Use(credential, exclusive=True):
            credential.begin_change("names", name)
            answer = await self.call("update", "PATCH", f"/v2/zoom-credentials/{credential.id}", {"name": name})
            if self.is_transient(answer) or answer.status == 409:
                credential.leave_unknown()
            elif answer.status == 404:
                credential.names.discard(name)
                self.expect(credential.observe("deleted", True), f"update of {credential.id}, not deleted", answer)
            elif self.expect(answer.status == 200, "update", answer):
                self.expect(answer.json()["data"]["name"] == name, "update: another name", answer)
                self.expect(credential.observe("deleted", False), f"update of {credential.id}, deleted", answer)
                credential.acknowledge("names", name)

    async def change_deleted(self, credential, deleted, kind, method, path):
        async with Use(credential, exclusive=True):
            before = set(credential.deleted)
            credential.begin_change("deleted", deleted)
            answer = await self.call(kind, method, f"/v2/zoom-credentials/{credential.id}{path}")
            if self.is_transient(answer) or answer.status == 409:
                credential.leave_unknown()
            elif answer.status == 404:
                # It was so already.
                self.expect(deleted in before, f"{kind} of {credential.id}", answer)
                credential.acknowledge("deleted", deleted)
            elif self.expect(answer.status == 200, kind, answer):
                self.expect((not deleted) in before, f"{kind} of {credential.id}, which was {before}", answer)
                credential.acknowledge("deleted", deleted)

    async def delete(self, credential):
        await self.change_deleted(credential, True, "delete", "DELETE", "")

    async def restore(self, credential):
        gone = [it for it in self.credentials if True in it.deleted]
        if gone:
            await self.change_deleted(gone[next(self.numbers) % len(gone)], False, "restore", "POST", "/restore")
        else:
            await self.get(credential)

    async def remove_app(self, credential):
        """The user removes the app at Zoom. Zoom calls the webhook, and no token may come from then on."""
        async with Use(credential, exclusive=True):
            credential.version += 1
            body = {"client_id": APP["client_id"], "user_id": credential.user}
            delivery = await self.zoom("deauthorizations", body)
            credential.removed = True
            self.done["remove app"] += 1
            self.done["webhook heard"] += bool(delivery and delivery.get("heard"))

    async def authorize_again(self, credential):
        """Gives a new authorization to a credential whose grant has ended."""
        ended = [it for it in self.credentials if (it.removed or it.lost) and it.is_live()]
        if not ended:
            await self.get(credential)
            return
        await self.authorize(ended[next(self.numbers) % len(ended)])

    async def authorize(self, credential):
        async with Use(credential, exclusive=True):
            credential.version += 1
            body = {"authorization_code": await self.code(credential.user), "redirect_uri": REDIRECT}
            path, answer = f"/v2/zoom-credentials/{credential.id}", None
            for attempt in range(4):
                answer = await self.call("authorize again", "PATCH", path, body)
                if answer and answer.status < 500 and answer.status != 409:
                    break
                await asyncio.sleep(0.5 * (attempt + 1))
            if answer and answer.status == 200:
                credential.removed = credential.lost = credential.ambiguous = False
            elif answer and answer.status == 404:
                self.expect(credential.observe("deleted", True), "authorize again: not deleted", answer)
            elif not self.is_transient(answer) and answer.status != 409:
                code = answer.json().get("code")
                self.expect(code == "FST_ERR_ZOOM_CODE_EXCHANGE_FAILED", "authorize again", answer)
            if not (answer and answer.status == 200):
                # The new grant may be stored although no answer said so.
                credential.ambiguous = True

    # The load

    async def worker(self, until):
        act = {
            "get": self.get, "list": self.list, "mint": self.mint, "token url, GET": self.token_url_get,
            "token url, POST": self.token_url_post, "update": self.update, "delete": self.delete,
            "restore": self.restore, "create": lambda _: self.create(), "remove app": self.remove_app,
            "authorize again": self.authorize_again,
        }
        kinds, weights = list(OPERATIONS), list(OPERATIONS.values())
        while time.monotonic() < until:
            number = next(self.operations)
            chosen = random.Random(f"{self.seed}-operation-{number}")
            kind = chosen.choices(kinds, weights)[0]
            credential = self.credentials[int(chosen.random() ** 2 * len(self.credentials))]
            due = self.began + number / self.options.rate
            await asyncio.sleep(max(0, due - time.monotonic()))
            await act[kind](credential)

    async def set_faults(self, chosen):
        """Switches to one fault, at Zoom or at AWS, or to both."""
        await self.clear_faults()
        if chosen.random() < 0.6:
            name, fault = chosen.choice(ZOOM_FAULTS)
            await self.zoom("faults", {**fault, "times": "always"})
            self.faults[f"Zoom: {name}"] += 1
        if chosen.random() < 0.6:
            fault = chosen.choice(AWS_FAULTS)
            self.proxy.faults = [fault]
            self.faults[f"{fault.service}: {fault.kind}, {fault.share:.0%} of the calls"] += 1

    async def clear_faults(self):
        self.proxy.faults = []
        await self.zoom("faults", None, "DELETE")

    async def fault_schedule(self, until):
        for number in range(1 << 30):
            chosen = random.Random(f"{self.seed}-fault-{number}")
            await self.set_faults(chosen)
            await asyncio.sleep(min(chosen.uniform(2, 4), max(0, until - time.monotonic())))
            await self.clear_faults()
            await asyncio.sleep(min(chosen.uniform(1, 3), max(0, until - time.monotonic())))
            if time.monotonic() >= until:
                return

    async def kill_schedule(self, times):
        for due in times:
            await asyncio.sleep(max(0, due - time.monotonic()))
            kill = time.monotonic()
            self.windows.append((kill, float("inf")))
            await asyncio.to_thread(self.vault.kill)
            self.kills.append(kill)
            # A vault that starts needs its services.
            self.proxy.paused = True
            self.api.forget()
            self.vendor.forget()
            await asyncio.to_thread(self.vault.start)
            self.proxy.paused = False
            self.windows[-1] = (kill, time.monotonic() + 1)

    async def sampler(self):
        while not self.stopped:
            with contextlib.suppress(OSError):
                vault, services = self.vault, self.services
                since = time.monotonic() - self.began
                row = (vault.memory(), vault.files(), services.memory(), services.files())
                self.samples.append((len(self.kills), since, *row))
            await asyncio.sleep(1)

    async def soak(self):
        seconds = self.options.minutes * 60
        self.began = time.monotonic()
        self.operations = iter(range(1 << 30))
        until = self.began + seconds
        # Kills end before the last stretch. There, memory and files must stay flat.
        with_kills = seconds * self.options.kill_share
        kills = []
        while self.options.kill_every * (len(kills) + 1) <= with_kills:
            kills.append(self.began + self.options.kill_every * (len(kills) + 1))
        sampler = asyncio.create_task(self.sampler())
        tasks = [self.fault_schedule(until), self.kill_schedule(kills)]
        await asyncio.gather(*tasks, *(self.worker(until) for _ in range(self.options.workers)))
        self.stopped = True
        await sampler
        await self.clear_faults()

    # The end

    async def settle(self):
        """With faults off, each credential that is live and was not removed must mint."""
        self.replay_capsules()
        self.minted_at_end = self.reconnect_at_end = 0
        gate = asyncio.Semaphore(8)

        async def one(credential):
            async with gate:
                credential.unknown_until = 0
                answer = await self.api.call("GET", f"/v2/zoom-credentials/{credential.id}")
                self.check_read(credential, answer)
                if not self.expect(answer.status in (200, 404), "at the end: get", answer) or answer.status == 404:
                    return
            # A refresh that was killed holds its lease. Zoom's refusal of new tokens is not final for a minute.
            until, answer = time.monotonic() + LEASE_SECONDS, None
            while self.is_transient(answer) and time.monotonic() < until:
                async with gate:
                    answer = await self.mint(credential, "onbehalf")
                if self.is_transient(answer):
                    await asyncio.sleep(2)
            if credential.removed or credential.lost:
                self.expect(answer and answer.status == 409, "at the end: an ended grant", answer)
                if not credential.removed:
                    reason = (answer.json() or {}).get("details")
                    self.expect(reason == "refresh_outcome_lost", "at the end: the reason of a lost grant", answer)
                self.reconnect_at_end += 1
            else:
                self.expect(answer and answer.status == 200, f"at the end: {credential.user} does not mint", answer)
                self.minted_at_end += 1

        await asyncio.gather(*(one(it) for it in self.credentials))
        # Whoever has to connect again can.
        for credential in self.credentials:
            if credential.is_live() and (credential.removed or credential.lost):
                await self.authorize(credential)
                answer = await self.mint(credential, "zak")
                self.expect(answer and answer.status == 200, f"{credential.user} cannot connect again", answer)

    def check_flat(self):
        """Compares the second quarter of the stretch without kills with its last quarter."""
        stretch = [it for it in self.samples if it[0] == len(self.kills)]
        if len(stretch) < 40:
            return None
        quarter = len(stretch) // 4
        second, last = stretch[quarter : 2 * quarter], stretch[-quarter:]
        names = ("vault, memory", "vault, files", "services, memory", "services, files")
        flat = {}
        for column, name in enumerate(names, 2):
            flat[name] = [statistics.median(row[column] for row in part) for part in (second, last)]
        before, after = flat["vault, memory"]
        limit = before * (1 + MEMORY_GROWTH) + MEMORY_GROWTH_BYTES
        self.expect(after <= limit, f"the vault's memory grew from {before / 1e6:.1f} to {after / 1e6:.1f} MB")
        before, after = flat["vault, files"]
        self.expect(after <= before + FILES_GROWTH, f"the vault's open files grew from {before} to {after}")
        return flat

    def replay_capsules(self):
        """Stores the tokens that a function could only log, as docs/operate.md tells the operator to do."""
        log = self.vault.log.read_text(errors="replace")
        self.capsules = log.count("zcvcap1_")
        if self.capsules:
            operator(self.options.local.with_name("zoom-vault"), self.services, "capsule", "replay", text=log)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", default=ROOT / "target/release/local", type=pathlib.Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=40, help="operations a second")
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    parser.add_argument("--kill-every", type=float, default=60, help="seconds between kills")
    parser.add_argument("--kill-share", type=float, default=0.6, help="the share of the soak in which kills happen")
    parser.add_argument("--short", action="store_true", help="about a minute, without saturation")
    parser.add_argument("--part", choices=("saturation", "soak"), help="only one of the two")
    parser.add_argument("--report", action="store_true", help="write tests/load/report.md")
    options = parser.parse_args()
    if options.short:
        options.minutes, options.users, options.rate = 0.75, 60, 15
        options.kill_every, options.kill_share, options.workers = 7, 0.4, 12
        options.part = "soak"
    return options


async def run(options, work):
    soak = Soak(options, work)
    began = time.monotonic()
    try:
        await soak.start()
        await soak.seed_credentials()
        print(f"{len(soak.credentials)} credentials after {time.monotonic() - began:.0f} s", flush=True)
        await soak.soak()
        print(f"soak: {sum(soak.done.values())} successes, {sum(soak.failures.values())} failures", flush=True)
        await soak.settle()
        flat = soak.check_flat()
    finally:
        for name in ("vault", "services"):
            if hasattr(soak, name):
                getattr(soak, name).stop()
    return report.of(soak, flat, time.monotonic() - began)


def main():
    options = arguments()
    print(f"seed {options.seed}", flush=True)
    # A test that is ended stops its processes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    work = ROOT / "target/ci/load/soak"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    if options.part != "soak":
        result = report.when() | saturation.measure(options)
        (work.parent / "saturation.json").write_text(json.dumps(result, indent=1))
        if options.report:
            report.write(result, "saturation")
    if options.part == "saturation":
        return
    result = asyncio.run(run(options, work))
    (work.parent / "soak.json").write_text(json.dumps(result, indent=1))
    if options.report:
        report.write(result, "soak")
    print(report.soak_text(result))
    for line in result["wrong"][:20]:
        print("WRONG:", line, file=sys.stderr)
    sys.exit(bool(result["wrong"]))


if __name__ == "__main__":
    main()
