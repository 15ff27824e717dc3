"""A proxy between the vault and its services. It makes faults, and remembers what Zoom did.

The proxy decodes each HTTP message, so that it can answer in place of a service, and cut a connection before or after
the service has acted.
"""

import asyncio
import collections
import json
import random
import socket
import struct
import time
import urllib.parse

from stack import read_body, read_head

THROTTLES = {
    "dynamodb": ("com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", "by the load test"),
    "kms": ("ThrottlingException", "Rate exceeded"),
}
# What a broken service does to each call that the fault meets.
THROTTLE, ERROR, SLOW, RESET_BEFORE, RESET_AFTER = "throttle", "error", "slow", "reset before", "reset after"


class Fault:
    """What goes wrong at a service, and for which share of its calls."""

    def __init__(self, service, kind, share):
        self.service, self.kind, self.share = service, kind, share


class Refresh:
    """A refresh that the vault sent to Zoom."""

    def __init__(self):
        self.sent, self.executed, self.delivered = time.monotonic(), False, None


class Zoom:
    """What Zoom was asked, and what it answered. Tokens are kept until they are checked."""

    def __init__(self, seed):
        self.random = random.Random(f"{seed}-expiry")
        self.user_of_grant = {}
        self.grant_of_code = {}
        self.minted = {}
        self.refreshes = collections.defaultdict(list)
        self.codes = {}

    def grant(self, bearer):
        return bearer.split(".")[0].removeprefix("Bearer ")

    def begin(self, path, headers, body):
        """Notes a call, and returns what the answer needs."""
        if path.startswith("/oauth/token"):
            form = dict(urllib.parse.parse_qsl(body.decode()))
            if form.get("grant_type") == "refresh_token":
                refresh = Refresh()
                self.refreshes[form["refresh_token"].split(".")[0]].append(refresh)
                return ("refresh", refresh)
            if form.get("grant_type") == "authorization_code":
                return ("code", form["code"])
        elif "token" in path:
            return ("mint", self.grant(headers.get("authorization", "")))
        return (None, None)

    def answered(self, call, status, body):
        """Notes an answer, and returns the body that the vault gets."""
        kind, about = call
        if status != 200 or kind is None:
            return body
        answer = json.loads(body)
        if kind == "mint":
            self.minted[answer["token"]] = self.user_of_grant.get(about)
            return body
        if kind == "refresh":
            about.executed = True
        elif kind == "code":
            self.user_of_grant[answer["access_token"].split(".")[0]] = self.codes.get(about)
        # Half of the access tokens are too old for the next mint, which refreshes. The others serve for 40 seconds.
        answer["expires_in"] = self.random.choice((60, 640))
        return json.dumps(answer).encode()

    def issued_to(self, token):
        """The user for whom Zoom made the token. `None` if Zoom did not make the token."""
        return self.minted.pop(token, None)


class Proxy:
    """Listens for each service, and forwards."""

    def __init__(self, seed, upstreams):
        self.upstreams = {name: urllib.parse.urlparse(url) for name, url in upstreams.items()}
        self.random = random.Random(f"{seed}-faults")
        self.zoom = Zoom(seed)
        self.faults, self.paused = [], False
        self.calls, self.met = collections.Counter(), collections.Counter()
        self.urls, self.servers, self.tasks = {}, [], set()

    async def start(self):
        for name in self.upstreams:
            server = await asyncio.start_server(lambda r, w, name=name: self._serve(name, r, w), "127.0.0.1", 0)
            self.servers.append(server)
            self.urls[name] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    async def _serve(self, name, reader, writer):
        upstream = None
        # The event loop keeps no task alive by itself.
        self.tasks.add(asyncio.current_task())
        try:
            while True:
                first, headers = await read_head(reader)
                body = await read_body(reader, headers)
                self.calls[name] += 1
                upstream = await self._forward(name, first, headers, body, writer, upstream)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            # One of the two ends is gone, so the other one must go too.
            writer.transport.abort()
        except asyncio.CancelledError:
            # The test is over.
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            if upstream:
                upstream[1].transport.abort()
            writer.close()

    def _fault(self, name):
        for fault in self.faults:
            if not self.paused and fault.service == name and self.random.random() < fault.share:
                self.met[f"{name}: {fault.kind}"] += 1
                return fault.kind
        return None

    async def _forward(self, name, first, headers, body, writer, upstream):
        fault = self._fault(name)
        if fault == THROTTLE:
            return await self._refuse(name, writer, 400, *THROTTLES[name]) or upstream
        if fault == ERROR:
            return await self._refuse(name, writer, 500, "InternalServerError", "by the load test") or upstream
        if fault == RESET_BEFORE:
            self._reset(writer)
        if fault == SLOW:
            await asyncio.sleep(self.random.uniform(0.5, 2.5))
        call = self.zoom.begin(first.split()[1], headers, body) if name == "zoom" else (None, None)
        if upstream is None or upstream[0].at_eof():
            target = self.upstreams[name]
            upstream = await asyncio.open_connection(target.hostname, target.port, limit=1 << 22)
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items() if key != "host")
        host = self.upstreams[name].netloc
        upstream[1].write(f"{first}\r\nhost: {host}\r\n{lines}\r\n".encode("latin-1") + body)
        status_line, answer_headers = await read_head(upstream[0])
        answer = await read_body(upstream[0], answer_headers)
        answer = self.zoom.answered(call, int(status_line.split()[1]), answer)
        if fault == RESET_AFTER:
            self._reset(writer)
        framing = ("content-length", "transfer-encoding")
        keep = {key: value for key, value in answer_headers.items() if key not in framing}
        lines = "".join(f"{key}: {value}\r\n" for key, value in keep.items())
        writer.write(f"{status_line}\r\n{lines}content-length: {len(answer)}\r\n\r\n".encode("latin-1") + answer)
        await writer.drain()
        if call[0] == "refresh" and not writer.transport.is_closing():
            call[1].delivered = time.monotonic()
        return upstream

    async def _refuse(self, name, writer, status, kind, message):
        text = json.dumps({"__type": kind, "message": message}).encode()
        head = f"HTTP/1.1 {status} Fault\r\ncontent-type: application/x-amz-json-1.0\r\n"
        head += f"content-length: {len(text)}\r\n\r\n"
        writer.write(head.encode() + text)
        await writer.drain()

    def _reset(self, writer):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        raise ConnectionError
