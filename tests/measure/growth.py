#!/usr/bin/env python3
"""Measures how the vault's operations grow with the number of credentials. Fails if an operation grows that must not.

    cargo build --workspace --bins
    python3 tests/measure/growth.py --write      # 100 to 100,000 credentials; writes docs/scale.md and the chart
    python3 tests/measure/growth.py --short      # 100, 1,000 and 2,000 credentials, in one team
    python3 tests/measure/growth.py --sizes 100 10000

Two processes run the program `local`: one has DynamoDB, KMS and the Zoom sandbox, the other has the gateway and the
functions. A proxy between them counts the calls, and asks DynamoDB for the units that each call consumes. 100
credentials are real: the API created them. The script writes the others as copies into the tables.

An operation on one credential, and a page of a fixed size, must cost the same at each size. `sweep`, `doctor` and
`rewrap` read tables. Their calls and read units must not grow more than linearly: each further credential may cost at
most 1.2 times as much between the last two sizes as before. With two sizes, what a command costs without credentials
counts as growth too, so the check is weaker. The exit code is 1 if an operation grows more.
"""

import argparse
import asyncio
import collections
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import statistics
import sys
import tempfile
import time

import growth_page
from emulator import ROOT
from growth_rows import HOME_TEAM, Function, Rows

sys.path.insert(0, str(ROOT / "tests/load"))
from proxy import Proxy
from stack import APP, SECRET, Client, Process, read_body, read_head, vault

SIZES, SHORT_SIZES = [100, 10_000, 100_000], [100, 1_000, 2_000]
LAYOUTS = ("one team", "teams of 100")
SAMPLES, SHORT_SAMPLES = 20, 6
# How many credentials the API creates, how many a page has, and how many grants a run of keep-alive finds due.
REAL, SHORT_REAL = 100, 20
# The schedules of the two processes must find no due grant: this script runs keep-alive by itself.
SCHEDULE = {"KEEP_ALIVE_AFTER_DAYS": "60"}
DUE_DAYS, KEEP_ALIVE_SECONDS = 30, 300
READS = {"GetItem", "BatchGetItem", "Query", "Scan"}
WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"}
# Operations that cost the same at each size: calls exactly, units with the roundings of rows of other sizes.
MAX_UNITS_GROWTH, MAX_LINEAR_GROWTH = 1.1, 1.2
# The calls that the last page of each table can add.
LAST_PAGES = 5
PAGE, KEEP_ALIVE = "page of a list", "keep-alive"
COMMANDS = ("rewrap", "credentials sweep", "doctor")
RESULTS = ROOT / "target/ci/growth"
KEY_HEADER = "x-meeting-baas-api-key"


class Call:
    """A call to DynamoDB or KMS."""

    def __init__(self, service, operation, start):
        self.service, self.operation, self.start, self.end = service, operation, start, None
        self.reads = self.writes = self.sent = self.received = 0

    def answered(self, sent, received, answer):
        self.end, self.sent, self.received = time.perf_counter(), sent, received
        consumed = answer.get("ConsumedCapacity", []) if isinstance(answer, dict) else []
        units = sum(it["CapacityUnits"] for it in (consumed if isinstance(consumed, list) else [consumed]))
        if self.operation in READS:
            self.reads = units
        else:
            self.writes = units


class Counter(Proxy):
    """A proxy that counts calls and units."""

    def __init__(self, upstreams):
        super().__init__(0, upstreams)
        self.seen = []

    async def _forward(self, name, first, headers, body, writer, upstream):
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        call, sent = Call(name, operation, time.perf_counter()), len(body)
        if operation in READS | WRITES:
            body = json.dumps(json.loads(body) | {"ReturnConsumedCapacity": "TOTAL"}).encode()
            headers = headers | {"content-length": str(len(body))}
        if upstream is None or upstream[0].at_eof():
            target = self.upstreams[name]
            upstream = await asyncio.open_connection(target.hostname, target.port, limit=1 << 22)
        headers = headers | {"host": self.upstreams[name].netloc}
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        upstream[1].write(f"{first}\r\n{lines}\r\n".encode("latin-1") + body)
        status, answer_headers = await read_head(upstream[0])
        answer = await read_body(upstream[0], answer_headers)
        call.answered(sent, len(answer), json.loads(answer) if operation in READS | WRITES else None)
        self.seen.append(call)
        framing = ("content-length", "transfer-encoding")
        lines = "".join(f"{key}: {value}\r\n" for key, value in answer_headers.items() if key not in framing)
        writer.write(f"{status}\r\n{lines}content-length: {len(answer)}\r\n\r\n".encode("latin-1") + answer)
        await writer.drain()
        return upstream


def round_trips(calls):
    """The longest chain of calls of which each begins after the one before has ended."""
    trips, end = 0, float("-inf")
    for call in sorted(calls, key=lambda it: it.end):
        if call.start >= end:
            trips, end = trips + 1, call.end
    return trips


def cost(calls, seconds):
    return {
        "calls": sum(it.service == "dynamodb" for it in calls), "kms": sum(it.service == "kms" for it in calls),
        "trips": round_trips(calls), "reads": sum(it.reads for it in calls), "writes": sum(it.writes for it in calls),
        "received": sum(it.received for it in calls), "sent": sum(it.sent for it in calls), "ms": seconds * 1000,
    }


def summary(samples):
    """One cost of many. A connection that opens late makes parallel calls look serial, so the fewest trips count."""
    middle = {name: statistics.median(it[name] for it in samples) for name in samples[0]}
    common = {name: collections.Counter(it[name] for it in samples).most_common(1)[0][0] for name in ("calls", "kms")}
    return middle | common | {"trips": min(it["trips"] for it in samples)}


def peak(pid):
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0
    return 0


class Growth:
    """One layout: a stack that grows from size to size."""

    def __init__(self, options, layout, work):
        self.options, self.layout, self.work = options, layout, work
        self.samples, self.count = (SHORT_SAMPLES, SHORT_REAL) if options.short else (SAMPLES, REAL)
        self.bin = options.local.parent
        self.numbers = iter(range(1 << 30))

    async def start(self):
        self.services = Process(self.options.local, self.work / "services", env=SCHEDULE).start()
        env = self.services.env()
        self.rows = Rows(env)
        self.counter = await Counter(
            {"dynamodb": env["AWS_ENDPOINT_URL_DYNAMODB"], "kms": env["AWS_ENDPOINT_URL_KMS"]}
        ).start()
        urls = {f"AWS_ENDPOINT_URL_{name.upper()}": url for name, url in self.counter.urls.items()}
        self.env = env | urls
        self.key = (self.services.data / "api-key").read_text().strip()
        self.sandbox = Client(env["ZOOM_OAUTH_BASE_URL"])
        self.functions = {}
        # The key of the commands and of the copies. Without a rewrap, it is the key that the functions use.
        self.new_key = env["ENVELOPE_KEY_ID"]
        if not self.options.short:
            created = await asyncio.to_thread(self.rows.kms.call, "CreateKey", {})
            self.new_key = created["KeyMetadata"]["Arn"]
        await self.start_vault()
        # The credentials that are measured are the oldest ones.
        self.real = [await self.create_user() for _ in range(self.count)]
        # A page of so many credentials must have a next page at the smallest size too.
        await self.create_app()
        rows = [await asyncio.to_thread(self.rows.rows_of, it) for it in self.real]
        self.grants = [grant["secret_id"]["S"] for _, _, grant, _ in rows]
        if not self.options.short:
            # Then each measured rewrap finds what keep-alive has sealed since.
            await self.command("rewrap", "--rate", "5000")

    async def start_vault(self):
        """Starts the gateway and the functions. No function has anything in its memory then."""
        for it in self.functions.values():
            it.stop()
        for name in ("keep-alive", "purge"):
            self.functions[name] = Function(self.bin / name, self.env, KEEP_ALIVE_SECONDS)
        self.vault = vault(self.options.local, self.work / f"vault-{next(self.numbers)}", self.services, self.env)
        self.vault.environment |= SCHEDULE
        await asyncio.to_thread(self.vault.start)
        self.api = Client(self.vault.api, {KEY_HEADER: self.key})

    def stop(self):
        for it in (*getattr(self, "functions", {}).values(), getattr(self, "vault", None), self.services):
            if it:
                it.stop()

    # Operations

    async def call(self, method, path, body=None):
        answer = await self.api.call(method, path, body)
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {answer.body[:300]}")
        return answer.json()["data"]

    async def create(self, body):
        return (await self.call("POST", "/v2/zoom-credentials", body))["credential_id"]

    async def user_body(self):
        user = f"real-{next(self.numbers):07}"
        await self.sandbox.call("POST", "/sandbox/users", {
            "id": user, "account_id": "growth", "email": f"{user}@growth.example"})
        code = (await self.sandbox.call("POST", "/sandbox/codes", {**APP, "user_id": user})).json()["code"]
        return {**APP, "name": user, "client_secret": SECRET, "authorization_code": code}

    async def create_user(self):
        return await self.create(await self.user_body())

    async def create_app(self):
        return await self.create({"client_id": "growth-app", "client_secret": SECRET, "name": "App of growth"})

    async def mint(self, credential):
        await self.call("POST", "/v2/zoom-tokens", {"credential_id": credential, "type": "onbehalf"})

    async def observe(self, action):
        """The cost of a coroutine, and its result."""
        self.counter.seen.clear()
        start = time.perf_counter()
        result = await action
        return cost(list(self.counter.seen), time.perf_counter() - start), result

    async def observe_each(self, actions):
        observed = [await self.observe(it) for it in actions]
        return summary([it for it, _ in observed]), [result for _, result in observed]

    async def command(self, *arguments):
        """Runs `zoom-vault`. Returns its peak memory in MB."""
        env = self.env | {"PATH": "/usr/bin", "ENVELOPE_KEY_ID": self.new_key}
        process = await asyncio.create_subprocess_exec(
            self.bin / "zoom-vault", *arguments, env=env, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )
        told, most = asyncio.ensure_future(process.communicate()), 0
        while not told.done():
            most = max(most, peak(process.pid))
            await asyncio.sleep(0.005)
        if process.returncode:
            raise SystemExit(f"zoom-vault {' '.join(arguments)}: {told.result()[0].decode()}")
        return most

    # Measurements

    async def measure(self, size):
        """The cost of each operation with this many credentials."""
        has_many_teams = self.layout != LAYOUTS[0]
        fill = (size - self.count, self.real[0], self.new_key, has_many_teams)
        await asyncio.to_thread(self.rows.fill, *fill)
        await asyncio.to_thread(self.vault.stop)
        await self.start_vault()
        await self.warm_up()
        before = self.vault.memory()
        found = await self.measure_reads() | await self.measure_changes() | await self.measure_keep_alive()
        memory = {"before": before / 2**20, "after": self.vault.memory() / 2**20}
        found |= await self.measure_commands()
        when = {"date": str(datetime.date.today()), "load": os.getloadavg()[1]}
        return {"operations": found, "functions": memory, "services": self.services.memory() / 2**20} | when

    async def warm_up(self):
        """Each function opens its connections."""
        await self.call("GET", f"/v2/zoom-credentials/{self.real[0]}")
        await self.call("GET", f"/v2/zoom-credentials?limit={self.count}")
        await self.mint(self.real[-1])
        rows = await self.throw_away(await self.create_user())
        await asyncio.to_thread(self.rows.remove, rows)

    async def throw_away(self, credential):
        await self.call("DELETE", f"/v2/zoom-credentials/{credential}")
        rows = await asyncio.to_thread(self.rows.rows_of, credential)
        await asyncio.to_thread(self.rows.delete, "credentials", team_id=HOME_TEAM, credential_id=credential)
        return rows

    async def measure_reads(self):
        used, found = self.real[:self.samples], {}
        found["get"], _ = await self.observe_each(self.call("GET", f"/v2/zoom-credentials/{it}") for it in used)
        page = f"/v2/zoom-credentials?limit={self.count}"
        found[PAGE], pages = await self.observe_each(self.call("GET", page) for _ in used)
        if any(len(it) != self.count for it in pages):
            raise SystemExit("a page is not full")
        # This process has minted for none of them but the last one.
        found["mint, cold"], _ = await self.observe_each(self.mint(it) for it in used)
        found["mint, access token in memory"], _ = await self.observe_each(self.mint(self.real[-1]) for _ in used)
        return found

    async def measure_changes(self):
        found, times = {}, range(self.samples)
        found["create, app"], apps = await self.observe_each(self.create_app() for _ in times)
        bodies = [await self.user_body() for _ in times]
        found["create, user"], users = await self.observe_each(self.create(it) for it in bodies)
        for name, ids in (("app", apps), ("user", users)):
            deletes = (self.call("DELETE", f"/v2/zoom-credentials/{it}") for it in ids)
            found[f"delete, {name}"], _ = await self.observe_each(deletes)
        for it in apps:
            await asyncio.to_thread(self.rows.delete, "credentials", team_id=HOME_TEAM, credential_id=it)
            await asyncio.to_thread(self.rows.delete, "secrets", secret_id=f"app#{it}")
        purges, all_rows = [], []
        for it in users:
            all_rows.append(await asyncio.to_thread(self.rows.rows_of, it))
            row = all_rows[-1][0]
            # The local stack hands the deletion to the function too, but maybe later than the purge.
            await self.stream("MODIFY", OldImage=row | {"deleted": {"BOOL": False}}, NewImage=row)
            await asyncio.to_thread(self.rows.remove_quietly, row)
            # On AWS, the TTL removes the row, and the stream gives this record to the function.
            purges.append((await self.observe(self.stream("REMOVE", OldImage=row)))[0])
        found["purge of one"] = summary(purges)
        for rows in all_rows:
            await asyncio.to_thread(self.rows.remove, rows)
        return found

    async def stream(self, name, **images):
        """Invokes the function `purge` with a record of the stream."""
        record = {"eventID": "1", "eventName": name, "dynamodb": {"SequenceNumber": "1"} | images}
        report = await asyncio.to_thread(self.functions["purge"].invoke, {"Records": [record]})
        if report["batchItemFailures"]:
            raise SystemExit(f"the purge failed: {report}")

    async def measure_keep_alive(self):
        since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=DUE_DAYS)
        await asyncio.to_thread(self.rows.make_due, self.grants, f"{since:%Y-%m-%dT%H:%M:%S}.000Z")
        observed, _ = await self.observe(asyncio.to_thread(self.functions["keep-alive"].invoke, {}))
        return {KEEP_ALIVE: observed}

    async def measure_commands(self):
        found = {}
        for name in COMMANDS:
            if name == "rewrap" and self.options.short:
                continue
            arguments = ("rewrap", "--rate", "5000") if name == "rewrap" else name.split()
            observed, memory = await self.observe(self.command(*arguments))
            found[name] = observed | {"memory": memory}
        return found


def is_more_than_linear(sizes, values):
    """Compares the last growth with the first one. What is constant is in neither."""
    first_size, first_value = (sizes[0], values[0]) if len(sizes) > 2 else (0, 0)
    slope = (values[-2] - first_value) / (sizes[-2] - first_size)
    return values[-1] - values[-2] > MAX_LINEAR_GROWTH * slope * (sizes[-1] - sizes[-2]) + LAST_PAGES


def problems(results):
    """What grows that must not. `results`: the result of each size."""
    found, sizes = [], sorted(results)
    small, large = results[sizes[0]]["operations"], results[sizes[-1]]["operations"]
    for name, before in small.items():
        after = large[name]
        if name in COMMANDS:
            for unit in ("calls", "reads"):
                values = [results[size]["operations"][name][unit] for size in sizes]
                if is_more_than_linear(sizes, values):
                    found.append(f"{name}: {unit} grow more than linearly: {values} with {sizes} credentials")
            continue
        for unit in ("calls", "kms"):
            if before[unit] != after[unit]:
                found.append(f"{name}: {before[unit]} {unit} grow to {after[unit]}")
        for unit in ("reads", "writes"):
            if after[unit] > MAX_UNITS_GROWTH * before[unit] + 0.5:
                found.append(f"{name}: {before[unit]} units of {unit} grow to {after[unit]}")
    return found


async def run(options, layout, sizes, file):
    """Measures each size. Saves the results after each one."""
    shared = pathlib.Path("/dev/shm")
    work = pathlib.Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))
    growth, results = Growth(options, layout, work), {}
    try:
        await growth.start()
        for size in sizes:
            start = time.monotonic()
            results[size] = await growth.measure(size)
            file.write_text(json.dumps(results, indent=1))
            print(f"growth: {layout}, {size:,} credentials: {time.monotonic() - start:.0f} s", flush=True)
            for name, it in results[size]["operations"].items():
                memory = f", {it['memory']:.0f} MB" if "memory" in it else ""
                print(f"  {name:30} {it['calls']:6} calls, {it['trips']:4} round trips, {it['kms']:4} KMS, "
                      f"{it['reads']:8.1f} reads, {it['writes']:6.1f} writes, {it['ms']:8.1f} ms{memory}", flush=True)
    finally:
        growth.stop()
        shutil.rmtree(work)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--local", type=pathlib.Path, default=ROOT / "target/debug/local", help="the program `local`; "
                        "zoom-vault, purge and keep-alive must be in the same folder")
    parser.add_argument("--short", action="store_true", help="three small sizes, in one team, without rewrap")
    parser.add_argument("--sizes", type=int, nargs="+", help="measure other sizes")
    parser.add_argument("--layout", choices=LAYOUTS, help="measure this layout only")
    parser.add_argument("--write", action="store_true", help="write docs/growth.svg and the tables of docs/scale.md")
    parser.add_argument("--saved", action="store_true", help="with --write: measure nothing, use the last results")
    options = parser.parse_args()
    options.local = options.local.resolve()
    sizes = options.sizes or (SHORT_SIZES if options.short else SIZES)
    layouts = [options.layout] if options.layout else LAYOUTS[:1] if options.short else LAYOUTS
    RESULTS.mkdir(parents=True, exist_ok=True)
    kind, wrong, all_results = "short" if options.short else "full", [], {}
    for layout in layouts:
        file = RESULTS / f"{kind}-{layout.replace(' ', '-')}.json"
        if not options.saved:
            asyncio.run(run(options, layout, sizes, file))
        all_results[layout] = {int(size): it for size, it in json.loads(file.read_text()).items()}
        wrong += [f"{layout}: {it}" for it in problems(all_results[layout])]
    if options.write:
        growth_page.write(all_results)
    for it in wrong:
        print(f"growth: WRONG: {it}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
