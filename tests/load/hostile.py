#!/usr/bin/env python3
"""Sends hostile traffic to the local gateway while a normal client keeps reading.

    python3 tests/load/hostile.py --local target/release/local --report
    python3 tests/load/hostile.py --local target/debug/local --short

docs/load.md explains what is sent and what is checked. The exit code is 1 if a check failed. The logs and the report in
JSON are in target/ci/load. `--report` also writes tests/load/report.md.
"""
# assures 24

import argparse
import asyncio
import base64
import collections
import contextlib
import itertools
import json
import multiprocessing
import os
import pathlib
import queue
import random
import resource
import selectors
import shutil
import signal
import socket
import struct
import sys
import time
import uuid
import zlib

import report
from documented import ROOT
from proxy import Proxy
from saturation import KEY_HEADER, message, percentile
from stack import Client, Gone, Process, vault

# The vault's process may use this much memory at any time, in MB. It is the same for all builds.
MEMORY_LIMIT = 200
# The open files that may remain after a phase, beyond those before all phases: the functions keep connections to
# DynamoDB for a while. Of the clients' connections, only those of the normal client may remain.
FILES_LEFT, CONNECTIONS_LEFT = 120, 3
# What the normal client may wait for one answer, in seconds. It waits for so long only while all connections are taken.
MAX_WAIT = 30
# A vault that sends nothing for so long to any connection of a flood has failed. A flood ends within the other time.
SILENCE_SECONDS, FLOOD_SECONDS = 30, 900
# The p99 of the normal client in a phase, in seconds. Not asserted in the short form: the machine of a gate is busy.
MAX_P99 = 1.0
# The gateway closes a connection without a whole head after 15 s, and gives up a body after 29 s. A busy machine needs
# longer.
HEAD_SECONDS, BODY_SECONDS, SLACK_SECONDS = 15, 29, 30
# The gateway holds this many connections.
MAX_CONNECTIONS = 512
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def checksum(text):
    """As the vault does it: CRC-32 in base 62."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        digits, rest = DIGITS[rest % 62] + digits, rest // 62
    return digits


def text64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def bogus_keys(chosen, count, port):
    """Half of the keys are well-formed with a right checksum, so the vault has to look for them."""
    for number in range(count):
        body = f"zcv_{chosen.choice(['load', 'acme', 'x' * 32])}_{text64(chosen.randbytes(32))}"
        key = body + (checksum(body) if number % 2 else chosen.choice(["", "000000", "~", "x" * 4000]))
        path = f"/v2/zoom-credentials/{uuid.UUID(int=chosen.getrandbits(128))}"
        yield message("GET", path, port, key)


def bogus_urls(chosen, count, port):
    for number in range(count):
        body = "ztu_" + text64(chosen.randbytes(64))
        secret = body + (checksum(body) if number % 2 else chosen.choice(["", "000000", "/../../v2", "%00" * 300]))
        method = "POST" if number % 4 == 3 else "GET"
        yield message(method, f"/t/{secret}", port, "none", {"bot_id": "x"} if method == "POST" else None)


def flood(port, make, seed, count, connections, results):
    """Sends `count` messages, one at a time on each connection. Reports the statuses, also if the vault goes away."""
    statuses = collections.Counter()
    try:
        exchange(port, make(random.Random(seed), count, port), connections, statuses)
    except (OSError, ValueError, IndexError) as error:
        statuses[type(error).__name__] += 1
    results.put(statuses)


def exchange(port, messages, connections, statuses):
    """Sends the messages. Counts each connection that ends as "closed", and each that gets no answer as "silent"."""
    selector, got = selectors.DefaultSelector(), {}
    for first in itertools.islice(messages, connections):
        it = socket.create_connection(("127.0.0.1", port), SILENCE_SECONDS)
        it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(it, selectors.EVENT_READ)
        it.sendall(first)
        got[it] = b""
    while got:
        ready = selector.select(SILENCE_SECONDS)
        if not ready:
            statuses["silent"] += len(got)
            return
        for event, _ in ready:
            it = event.fileobj
            try:
                data = it.recv(1 << 16)
            except OSError:
                data = b""
            got[it] += data
            head, split, body = got[it].partition(b"\r\n\r\n")
            whole = split and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if data and not whole:
                continue
            statuses[int(head.split()[1]) if whole else "closed"] += 1
            following = next(messages, None) if data else None
            if following is None:
                selector.unregister(it)
                it.close()
                del got[it]
            else:
                it.sendall(following)
                got[it] = b""


def normal_client(port, key, credentials, commands, results):
    """Reads credentials without a pause. On each command it reports the phase that ends: times, wrong answers."""

    async def run():
        client = Client(f"http://127.0.0.1:{port}", {KEY_HEADER: key}, MAX_WAIT)
        times, wrong, number = [], [], 0
        while True:
            if not commands.empty():
                if commands.get() is None:
                    return
                results.put((times, wrong))
                times, wrong = [], []
            number += 1
            if number % 20 == 0:
                # A new connection must find its way too.
                client.forget()
            credential, name = credentials[number % len(credentials)]
            begin = time.perf_counter()
            try:
                answer = await client.call("GET", f"/v2/zoom-credentials/{credential}")
                if answer.status != 200 or answer.json()["data"]["name"] != name:
                    wrong.append(f"{answer.status} {answer.body[:200]}")
            except Gone as error:
                wrong.append(str(error))
            times.append(time.perf_counter() - begin)
            await asyncio.sleep(0.01)

    asyncio.run(run())


class Hostile:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.phases, self.wrong = [], []

    async def start(self):
        program = self.options.local
        self.services = Process(program, self.work / "services").start()
        env = self.services.env()
        # Only KMS is behind the proxy, which counts its calls.
        self.proxy = await Proxy(self.options.seed, {"kms": env["AWS_ENDPOINT_URL_KMS"]}).start()
        endpoints = {"AWS_ENDPOINT_URL_KMS": self.proxy.urls["kms"]}
        self.vault = vault(program, self.work / "vault", self.services, endpoints)
        await asyncio.to_thread(self.vault.start)
        self.key = (self.services.data / "api-key").read_text().strip()
        self.port = self.vault.port
        client, credentials = Client(self.vault.api, {KEY_HEADER: self.key}), []
        for number in range(20):
            body = {"name": f"App {number}", "client_id": "app", "client_secret": "app-secret"}
            answer = await client.call("POST", "/v2/zoom-credentials", body)
            credentials.append((answer.json()["data"]["credential_id"], body["name"]))
        client.forget()
        self.commands, self.results = multiprocessing.Queue(), multiprocessing.Queue()
        arguments = (self.port, self.key, credentials, self.commands, self.results)
        self.normal = multiprocessing.Process(target=normal_client, args=arguments, daemon=True)
        self.normal.start()

    def expect(self, is_right, text):
        if not is_right:
            self.wrong.append(text)

    async def result_of(self, name, results, seconds):
        """What another process reports. The test ends if no report comes, for example because the process has died."""
        try:
            return await asyncio.to_thread(results.get, timeout=seconds)
        except queue.Empty:
            raise SystemExit(f"{name} reports nothing in {seconds} s") from None

    async def end_of_phase(self):
        """The times and the wrong answers of the normal client since the last call."""
        self.commands.put("next")
        return await self.result_of("the normal client", self.results, MAX_WAIT + SLACK_SECONDS)

    async def phase(self, name, attack, is_full=False):
        """Runs an attack. Watches the memory, the open files, the calls to KMS and the normal client."""
        await self.end_of_phase()
        calls, peak, files, stop = self.proxy.calls["kms"], 0, 0, False

        async def watch():
            nonlocal peak, files
            while not stop:
                peak, files = max(peak, self.vault.memory()), max(files, self.vault.files())
                await asyncio.sleep(0.1)

        watcher, begin = asyncio.create_task(watch()), time.monotonic()
        answers = await attack() or {}
        seconds, stop = time.monotonic() - begin, True
        await watcher
        times, wrong = await self.end_of_phase()
        # A closed connection takes a moment to be noticed.
        for _ in range(100):
            left, connections = self.vault.files(), self.vault.connections()
            if left <= self.files_before + FILES_LEFT and connections <= CONNECTIONS_LEFT:
                break
            await asyncio.sleep(0.1)
        result = {
            "phase": name, "seconds": seconds, "answers": {str(it): count for it, count in answers.items()},
            "peak_mb": peak / 1e6, "files_peak": files, "files_after": left,
            "connections_after": connections,
            "kms_calls": self.proxy.calls["kms"] - calls, "reads": len(times), "wrong_reads": len(wrong),
            "p50_ms": percentile(times, 0.5) * 1000, "p99_ms": percentile(times, 0.99) * 1000,
            "max_ms": max(times, default=0) * 1000,
        }
        self.phases.append(result)
        line = (
            "{phase}: {seconds:.1f} s, {answers}, {peak_mb:.0f} MB, {files_peak} files, then {files_after} and "
            "{connections_after} connections; {reads} reads, p99 {p99_ms:.0f} ms, max {max_ms:.0f} ms, "
            "{wrong_reads} wrong"
        )
        print(line.format(**result), flush=True)
        self.expect(not wrong, f"{name}: the normal client got {wrong[:2]}")
        self.expect(len(times) > 0, f"{name}: the normal client read nothing")
        self.expect(peak <= MEMORY_LIMIT * 1e6, f"{name}: {peak / 1e6:.0f} MB of memory, the limit is {MEMORY_LIMIT}")
        self.expect(left <= self.files_before + FILES_LEFT, f"{name}: {left} open files remain")
        self.expect(connections <= CONNECTIONS_LEFT, f"{name}: {connections} connections of clients remain")
        self.expect(result["kms_calls"] == 0, f"{name}: {result['kms_calls']} calls to KMS")
        if not self.options.short and not is_full:
            p99 = result["p99_ms"] / 1000
            self.expect(p99 <= MAX_P99, f"{name}: the p99 of the normal client is {p99:.2f} s")
        return result

    # The attacks. Each one returns how many times it saw which status, or "closed".

    async def idle(self):
        await asyncio.sleep(3)

    async def connect(self):
        return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), 60)

    async def outcome(self, reader, seconds):
        """The status of the answer, "closed" without one, or "open" if nothing happens in this time."""
        try:
            line = await asyncio.wait_for(reader.readline(), seconds)
        except asyncio.TimeoutError:
            return "open"
        except OSError:
            return "closed"
        return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else "closed"

    async def drip(self, count, head, limit):
        """Each connection sends `head`, and then a byte a second, or nothing. All must be over within the limit."""

        async def one(number):
            reader, writer = await self.connect()
            writer.write(head)

            async def send():
                with contextlib.suppress(OSError):
                    while number % 2:
                        writer.write(b"a")
                        await writer.drain()
                        await asyncio.sleep(1)

            sender = asyncio.create_task(send())
            result = await self.outcome(reader, limit + SLACK_SECONDS)
            sender.cancel()
            writer.transport.abort()
            return result

        begin = time.monotonic()
        outcomes = collections.Counter(await asyncio.gather(*(one(number) for number in range(count))))
        took = time.monotonic() - begin
        self.expect(not outcomes["open"], f"{outcomes['open']} slow connections are open after {took:.0f} s")
        return outcomes

    async def slow_heads(self):
        head = b"GET /v2/zoom-credentials HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: "
        return await self.drip(self.options.slow, head, HEAD_SECONDS)

    async def silent(self):
        """Connections that send nothing at all. Half of them are closed in one direction."""

        async def one(number):
            reader, writer = await self.connect()
            if number % 2:
                writer.write_eof()
            result = await self.outcome(reader, HEAD_SECONDS + SLACK_SECONDS)
            writer.transport.abort()
            return result

        outcomes = collections.Counter(await asyncio.gather(*(one(number) for number in range(self.options.slow))))
        self.expect(not outcomes["open"], f"{outcomes['open']} silent connections are open")
        return outcomes

    async def slow_bodies(self):
        head = f"POST /v2/zoom-credentials HTTP/1.1\r\nhost: 127.0.0.1\r\n{KEY_HEADER}: {self.key}\r\n"
        head += "content-type: application/json\r\ncontent-length: 100000\r\n\r\n"
        return await self.drip(self.options.slow, head.encode(), BODY_SECONDS)

    async def slow(self):
        """All kinds of slow connections at the same time. The short form does not wait for the time-out of a body."""
        attacks = [self.slow_heads(), self.silent()] + ([] if self.options.short else [self.slow_bodies()])
        return sum(await asyncio.gather(*attacks), collections.Counter())

    async def more_than_the_limit(self):
        """More silent connections than the gateway holds. The others wait until the gateway closes these."""

        async def one():
            reader, writer = await self.connect()
            result = await self.outcome(reader, 2 * HEAD_SECONDS + SLACK_SECONDS)
            writer.transport.abort()
            return result

        outcomes = collections.Counter(await asyncio.gather(*(one() for _ in range(MAX_CONNECTIONS + 100))))
        self.expect(not outcomes["open"], f"{outcomes['open']} silent connections are open")
        return outcomes

    async def resets(self):
        """Connections that end at once, with a reset, in the middle of a head or of a body."""
        starts = [
            b"",
            b"GET /v2/zoom",
            b"POST /v2/zoom-credentials HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9999\r\n\r\n{",
            f"GET /v2/zoom-credentials HTTP/1.1\r\nhost: 127.0.0.1\r\n{KEY_HEADER}: {self.key}\r\n\r\n".encode(),
        ]
        for number in range(self.options.resets):
            _, writer = await self.connect()
            writer.write(starts[number % len(starts)])
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            if number % 50 == 0:
                await asyncio.sleep(0)

    async def large_bodies(self):
        """Bodies of 10 MB and of 11 MB, with the right key and without one, many at the same time."""
        gate, bodies = asyncio.Semaphore(self.options.large_at_once), {size: b"x" * (size << 20) for size in (10, 11)}

        async def one(number):
            async with gate:
                headers = {KEY_HEADER: self.key} if number % 2 else {}
                client = Client(self.vault.api, headers, 120)
                body = bodies[11 if number % 3 == 0 else 10]
                path = ("/v2/zoom-credentials", "/v2/zoom-tokens", "/webhooks/zoom/sandbox-app", "/t/ztu_x")[number % 4]
                try:
                    answer = await client.call("POST", path, body)
                except Gone:
                    return "closed"
                client.forget()
                return answer.status

        outcomes = collections.Counter(await asyncio.gather(*(one(number) for number in range(self.options.large))))
        self.expect(set(outcomes) <= {401, 404, 413, 503}, f"large bodies are answered {dict(outcomes)}")
        return outcomes

    async def header_floods(self):
        many = "".join(f"x-{number}: a\r\n" for number in range(10_000))
        huge = f"x-huge: {'a' * (1 << 20)}\r\n"
        line = f"GET /v2/{'a' * (1 << 20)} HTTP/1.1\r\nhost: 127.0.0.1\r\n"

        async def one(number):
            start = "GET /v2/zoom-credentials HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            text = (start + many, start + huge, line)[number % 3]
            reader, writer = await self.connect()
            with contextlib.suppress(OSError):
                writer.write(text.encode() + b"\r\n")
                await asyncio.wait_for(writer.drain(), 60)
            result = await self.outcome(reader, 60)
            writer.transport.abort()
            return result

        outcomes = collections.Counter()
        for _ in range(self.options.floods // 20):
            outcomes.update(await asyncio.gather(*(one(number) for number in range(20))))
        self.expect(set(outcomes) <= {400, 414, 431, "closed"}, f"header floods are answered {dict(outcomes)}")
        return outcomes

    async def garbage(self):
        """Random bytes, wrong framing, and many requests in one packet."""
        chosen = random.Random(f"{self.options.seed}-garbage")
        get = b"GET /v2/zoom-credentials HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
        two = b"POST /v2/zoom-tokens HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\n"
        two += b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        outcomes = collections.Counter()
        for number in range(self.options.garbage):
            data = (
                chosen.randbytes(chosen.randrange(1, 5000)), get * 200, get * 3 + chosen.randbytes(300), two + get,
                b"GET /v2/zoom-credentials HTTP/1.1\nhost\x00: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chosen.randbytes(300), b"\r\n" * 5000,
            )[number % 8]
            reader, writer = await self.connect()
            try:
                writer.write(data)
                writer.write_eof()
                answer = await asyncio.wait_for(reader.read(), 30 + HEAD_SECONDS)
                statuses = [int(it.split()[0]) for it in answer.split(b"HTTP/1.1 ")[1:]]
                outcomes.update(statuses or ["closed"])
            except asyncio.TimeoutError:
                # The next ones would wait as long.
                outcomes["open"] += 1
                break
            except OSError:
                outcomes["closed"] += 1
            finally:
                writer.transport.abort()
        self.expect(set(outcomes) <= {400, 401, 403, 404, 414, 431, "closed"}, f"garbage is answered {dict(outcomes)}")
        return outcomes

    async def flooded(self, make, expected):
        results, seed = multiprocessing.Queue(), f"{self.options.seed}-{make.__name__}"
        arguments = (self.port, make, seed, self.options.bogus, 16, results)
        process = multiprocessing.Process(target=flood, args=arguments, daemon=True)
        process.start()
        statuses = await self.result_of(make.__name__, results, FLOOD_SECONDS)
        process.join()
        self.expect(set(statuses) <= expected, f"{make.__name__} are answered {dict(statuses)}")
        self.expect(sum(statuses.values()) == self.options.bogus, f"{make.__name__}: {sum(statuses.values())} answers")
        return statuses

    async def run(self):
        await asyncio.sleep(1)
        self.files_before = self.vault.files()
        # Without hostile traffic, for comparison.
        await self.phase("nothing", self.idle)
        await self.phase("slow heads, slow bodies, silence", self.slow)
        if not self.options.short:
            await self.phase("more connections than the gateway holds", self.more_than_the_limit, is_full=True)
        await self.phase("connections that are reset", self.resets)
        await self.phase("bodies of 10 and 11 MB", self.large_bodies)
        await self.phase("10,000 headers, 1 MB header, 1 MB path", self.header_floods)
        await self.phase("garbage and pipelines", self.garbage)
        await self.phase("bogus API keys", lambda: self.flooded(bogus_keys, {401, 400, 404, 431}))
        await self.phase("bogus token URLs", lambda: self.flooded(bogus_urls, {404, 401}))
        await self.phase("nothing, at the end", self.idle)


def text(it):
    rows = [
        (
            p["phase"], f"{p['seconds']:.0f}",
            ", ".join(f"{count:,} × {status}" for status, count in sorted(p["answers"].items())),
            f"{p['peak_mb']:.0f}", f"{p['files_peak']} → {p['files_after']}", p["connections_after"], p["kms_calls"],
            f"{p['reads']:,}",
            p["wrong_reads"], f"{p['p50_ms']:.1f}", f"{p['p99_ms']:.0f}", f"{p['max_ms']:.0f}",
        )
        for p in it["phases"]
    ]
    head = (
        "attack", "s", "answers", "memory, MB", "open files, peak → after", "connections after", "KMS calls",
        "normal reads", "wrong",
        "p50, ms", "p99, ms", "longest, ms",
    )
    start = f"`{it['program']}`, seed {it['seed']}, memory limit {MEMORY_LIMIT} MB, {len(it['wrong'])} failed checks."
    return start + "\n\n" + report.table(head, rows)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", default=ROOT / "target/release/local", type=pathlib.Path)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    parser.add_argument("--short", action="store_true", help="a smaller form of each attack")
    parser.add_argument("--report", action="store_true", help="write tests/load/report.md")
    options = parser.parse_args()
    options.bogus, options.slow, options.resets = 100_000, 140, 4_000
    options.large, options.large_at_once, options.floods, options.garbage = 120, 24, 300, 800
    if options.short:
        options.bogus, options.slow, options.resets = 2_000, 50, 400
        options.large, options.large_at_once, options.floods, options.garbage = 16, 8, 40, 80
    return options


async def run(options, work):
    test = Hostile(options, work)
    try:
        await test.start()
        await test.run()
        test.commands.put(None)
        test.normal.join(MAX_WAIT + 5)
    finally:
        for name in ("vault", "services"):
            if hasattr(test, name):
                getattr(test, name).stop()
    return {
        **report.when(), "seed": options.seed, "program": os.path.relpath(options.local, ROOT),
        "phases": test.phases, "wrong": test.wrong,
    }


def main():
    options = arguments()
    print(f"seed {options.seed}", flush=True)
    # A test that is ended stops its processes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    work = ROOT / "target/ci/load/hostile"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    result = asyncio.run(run(options, work))
    (work.parent / "hostile.json").write_text(json.dumps(result, indent=1))
    if options.report:
        report.write(result, "hostile")
    for line in result["wrong"]:
        print("WRONG:", line, file=sys.stderr)
    sys.exit(bool(result["wrong"]))


if __name__ == "__main__":
    main()
