"""The local stack as processes that a test can measure and kill, and a small HTTP client for asyncio.

`Services` is a `local` that runs DynamoDB, KMS and the Zoom sandbox, and stays alive. `Vault` is a second `local` with
the gateway and the functions. The vault calls the services through the URLs that it is given, so a test can kill the
vault and keep what the services know.
"""

import asyncio
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.parse

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
APP = {"client_id": "sandbox-app", "redirect_uri": "http://localhost:3000/callback"}
SECRET = "sandbox-secret"
START_SECONDS = 60
MAX_IDLE_SECONDS = 5


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Process:
    """A running `local`."""

    def __init__(self, program, data, *arguments, env=None):
        self.data = pathlib.Path(data)
        self.port = free_port()
        self.command = [program, "--data-dir", str(self.data), "--port", str(self.port), *arguments]
        # Variables of the caller's shell could point at another stack.
        self.environment = {"PATH": os.environ["PATH"]} | (env or {})
        self.log = self.data.with_suffix(".log")
        self.process = None

    @property
    def api(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        os.set_blocking(self.process.stdout.fileno(), False)
        text, until = b"", time.monotonic() + START_SECONDS
        while b"Press Ctrl-C to stop" not in text:
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{self.command[0]} did not start; see {self.log}")
            text += self.process.stdout.read() or b""
            time.sleep(0.02)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def env(self):
        """The variables in the file `env`."""
        lines = (self.data / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    def memory(self):
        """The resident memory, in bytes."""
        text = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(text.split()[1]) * PAGE

    def files(self):
        """The number of open file descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connections(self):
        """The number of open connections of clients to the API, also those that the client has closed."""
        rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        # 06 is TIME_WAIT, which no process holds. 0A is the listener.
        return sum(int(row[1].split(":")[1], 16) == self.port and row[3] not in ("06", "0A") for row in rows)

    def cpu(self):
        """The CPU time so far, in seconds."""
        text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def vault(program, data, services, endpoints=None):
    """A `local` that runs the functions, and uses the services at other URLs: those of `services`, or `endpoints`."""
    env = services.env()
    urls = env | (endpoints or {})
    keep = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "ENVELOPE_KEY_ID")
    return Process(
        program,
        data,
        *("--dynamodb", urls["AWS_ENDPOINT_URL_DYNAMODB"], "--kms", urls["AWS_ENDPOINT_URL_KMS"]),
        *("--zoom-oauth", urls["ZOOM_OAUTH_BASE_URL"], "--zoom-api", urls["ZOOM_API_BASE_URL"]),
        env={name: env[name] for name in keep},
    )


def operator(program, services, *arguments, text=""):
    """Runs `zoom-vault`, the operator's program, and returns what it prints."""
    env = {"PATH": os.environ["PATH"]} | services.env()
    done = subprocess.run([program, *arguments], env=env, input=text, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise SystemExit(f"zoom-vault {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


class Gone(Exception):
    """The connection ended before the whole answer had arrived."""


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return None


async def read_head(reader):
    """The first line and the headers of a message, with names in lower case."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    return first, {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def read_body(reader, headers, has_length=True):
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return body
    length = int(headers.get("content-length", 0)) if has_length else 0
    return await reader.readexactly(length) if length else b""


class Client:
    """Sends requests over kept connections, one request at a time on each."""

    def __init__(self, base, headers=None, time_out=35):
        self.url = urllib.parse.urlparse(base)
        self.headers, self.time_out = headers or {}, time_out
        self.idle = []

    async def call(self, method, path, body=None, headers=None):
        """Sends a request. `body` becomes JSON. Raises `Gone` if no whole answer arrives."""
        headers = {"host": self.url.netloc} | self.headers | (headers or {})
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if data:
            headers.setdefault("content-type", "application/json")
        headers["content-length"] = str(len(data))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        message = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + data
        try:
            return await asyncio.wait_for(self._exchange(message, method), self.time_out)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            raise Gone(f"{method} {path}: {type(error).__name__}") from error

    async def _exchange(self, message, method):
        reader, writer = await self._connection()
        try:
            writer.write(message)
            first, headers = await read_head(reader)
            answer = Answer(int(first.split()[1]), headers, await read_body(reader, headers, method != "HEAD"))
        except BaseException:
            writer.transport.abort()
            raise
        if headers.get("connection") == "close":
            writer.close()
        else:
            self.idle.append((reader, writer, time.monotonic()))
        return answer

    async def _connection(self):
        while self.idle:
            reader, writer, since = self.idle.pop()
            # The gateway closes idle connections. A request that is sent at that moment would be lost.
            is_open = not reader.at_eof() and not writer.transport.is_closing()
            if is_open and time.monotonic() - since < MAX_IDLE_SECONDS:
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self.url.hostname, self.url.port, limit=1 << 20)

    def forget(self):
        """Closes the idle connections: their other end was killed."""
        for _, writer, _ in self.idle:
            writer.transport.abort()
        self.idle.clear()
