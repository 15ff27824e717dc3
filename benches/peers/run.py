#!/usr/bin/env python3
"""Measures the vault's functions next to what people would write instead, under one emulator of Lambda.

    deploy/build.sh x86_64 functions get-credential mint-token && deploy/build.sh x86_64 empty
    deploy/build.sh x86_64 peers && cargo build --package local
    benches/peers/run.py [--folder target/lambda] [--local target/debug/local] [--write | --short]

README.md says what is compared. Each run starts a new process of each program, sends one event, then `--unmeasured`
events, then `--requests` events. It does so without TLS to AWS's services, and then with TLS. The program prints the
medians of `--runs` runs, and how many times those of the vault they are:

    ready   ms from the start of the process until it asks for its first event
    first   ms from the start of the process until its first answer
    cold    ms of CPU until the first answer
    warm    ms of CPU for each later request
    p50     ms from a later event to its answer: half of the events take less
    p99     the same: 99 of 100 events take less
    peak    MB of memory, at most
    zip     MB of the deployed archive

`--write` writes the table into docs/performance.md. `--short` makes few runs of few events, and fails if a ratio misses
its bound in bounds.json. Without Node.js or without a package registry, the program says which programs it leaves out.
"""

# assures 66
import argparse
import dataclasses
import hashlib
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/measure"))
import emulator
import seed

PAGE, BEGIN, END = ROOT / "docs/performance.md", "<!-- peers: begin -->", "<!-- peers: end -->"
# The column of each figure, and its digits after the point.
FIGURES = {
    "ready": ("ready, ms", 1),
    "first": ("first answer, ms", 1),
    "cold": ("CPU until then, ms", 1),
    "warm": ("CPU of a later request, ms", 3),
    "p50": ("p50, ms", 2),
    "p99": ("p99, ms", 2),
    "peak": ("peak, MB", 1),
    "zip": ("zip, MB", 2),
}
# The vault's function for each kind of work.
OURS = {"get": "get-credential", "mint": "mint-token"}
# What npm and pip say if a lock file does not fit the packages. Then no registry is to blame.
OUR_MISTAKES = re.compile("EUSAGE|EINTEGRITY|DO NOT MATCH THE HASHES|--require-hashes")
# Files of Python that Lambda has, or that only an installation needs.
NOT_DEPLOYED = ("__pycache__", "bin")


@dataclasses.dataclass
class Program:
    """A program that Lambda could run."""

    name: str
    does: str  # "get", "mint" or "nothing"
    command: list
    folder: pathlib.Path
    zip: int
    variables: dict = dataclasses.field(default_factory=dict)


def rust(folder, name, does):
    binary = (folder / name / "bootstrap").resolve()
    if not binary.is_file():
        sys.exit(f"{binary} is missing: build it as the head of {__file__} says")
    return Program(name, does, [binary], folder, emulator.zipped({"bootstrap": binary.read_bytes()}))


def installed(folder, sources, commands, downloads):
    """Copies the sources to a folder and runs the commands there, unless it was done for the same sources.

    Returns whether the folder is ready. It is not if one of the commands in `downloads` fails, because a registry is
    not reachable. Every other failure ends the program."""
    contents = [(path.relative_to(HERE), path.read_bytes()) for path in sorted(sources)]
    state = hashlib.sha256(repr((contents, commands)).encode()).hexdigest()
    mark = folder / "installed"
    if mark.is_file() and mark.read_text() == state:
        return True
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in contents:
        copy = folder / path.relative_to(path.parts[0])
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if not done.returncode:
            continue
        text, said = " ".join(map(str, command)), done.stderr[-2000:]
        if command not in downloads or OUR_MISTAKES.search(done.stderr):
            sys.exit(f"{folder.name}: this fails: {text}\n{done.stdout[-2000:]}{said}")
        print(f"NOT MEASURED: {folder.name}, because this download fails: {text}\n{said}")
        return False
    mark.write_text(state)
    return True


def node(work):
    """The programs in Node.js. None without Node.js."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        print("NOT MEASURED: node, because Node.js and npm are not installed")
        return []
    folder = work / "node"
    sources = [*(HERE / "node").glob("*.*json"), *(HERE / "node").glob("*.mjs"), *(HERE / "node/src").iterdir()]
    build = [npm, "run", "--silent", "build", "--", "--outdir=built", "--log-level=error"]
    download = [npm, "ci", "--loglevel=error", "--no-audit", "--no-fund"]
    if not installed(folder, sources, [download, build], [download]):
        return []
    # AWS's SDK warns of old versions of Node.js on each start.
    variables = {"NODE_NO_WARNINGS": "1"}
    return [Program("Node.js", does, [node, "runtime.mjs", f"built/{does}.mjs"], folder,
                    emulator.zipped({f"{does}.mjs": (folder / f"built/{does}.mjs").read_bytes()}), variables)
            for does in ("get", "mint")]


def python(work):
    """The programs in Python. None if pip cannot download their packages."""
    folder = work / "python"
    package = folder / "package"
    pip = ["ric/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement"]
    sources = [*(HERE / "python").glob("*.py"), *(HERE / "python").glob("*.txt")]
    downloads = [[*pip, "runtime.txt"], [*pip, "requirements.txt", "--target", "package"]]
    commands = [[sys.executable, "-m", "venv", "ric"], *downloads, ["sh", "-c", "mv *.py package"],
                ["ric/bin/python", "-m", "compileall", "-q", "package"]]
    if not installed(folder, sources, commands, downloads):
        return []
    files = [path for path in package.rglob("*") if path.is_file()]
    files = {path.relative_to(package): path for path in files}
    size = emulator.zipped({str(name): path.read_bytes() for name, path in files.items()
                            if not set(name.parts) & set(NOT_DEPLOYED)})
    return [Program("Python", does, [folder / "ric/bin/python", "-m", "awslambdaric", f"{does}.handler"], package, size,
                    {"PYTHONPATH": str(package)})
            for does in ("get", "mint")]


def programs(folder, work):
    """All programs, and the vault's before those that are compared with it."""
    others = [*node(work), *python(work)]
    return [
        rust(folder, "get-credential", "get"),
        rust(folder, "bare-sdk", "get"),
        rust(folder, "no-sdk", "get"),
        *(program for program in others if program.does == "get"),
        rust(folder, "mint-token", "mint"),
        *(program for program in others if program.does == "mint"),
        rust(folder, "empty", "nothing"),
    ]


class Run:
    """One process, from its start to the answer to its last event."""

    def __init__(self, program, event, services, events):
        self.program, self.event = program, event
        self.unmeasured, self.measured = events
        self.figures, self.times, self.answers = {}, [], set()
        self.ended, self.failure, self.sent = threading.Event(), None, 0
        self.lambda_api = emulator.Server(self.runtime)
        variables = emulator.environment(program.name, self.lambda_api.address, services, "INFO")
        self.output = tempfile.TemporaryFile()
        self.launched = threading.Event()
        self.started = time.perf_counter()
        self.process = subprocess.Popen(program.command, cwd=program.folder, env=variables | program.variables,
                                        stdout=self.output, stderr=self.output)
        self.launched.set()

    def runtime(self, head, body):
        """Answers as Lambda's runtime API."""
        now = time.perf_counter()
        self.launched.wait()
        if head.startswith("GET"):
            count = len(self.times)
            if count == 0:
                self.figures["ready"] = (now - self.started) * 1000
            if count == 1 + self.unmeasured:
                self.figures["before"] = emulator.cpu(self.process)
            if count == 1 + self.unmeasured + self.measured:
                warm = emulator.cpu(self.process) - self.figures.pop("before")
                self.figures["warm"] = warm / self.measured
                self.figures["peak"] = emulator.peak(self.process)
                self.ended.set()
                threading.Event().wait()
            headers = emulator.event_headers()
            # The last thing before the event leaves.
            self.sent = time.perf_counter()
            return headers, self.event
        if "/response" not in head:
            self.failure = body.decode()
            self.ended.set()
            return {}, b""
        self.times.append((now - self.sent) * 1000)
        self.answers.add(body)
        if len(self.times) == 1:
            self.figures["first"] = (now - self.started) * 1000
            self.figures["cold"] = emulator.cpu(self.process)
        return {}, b""

    def finish(self):
        """Waits for the end. Returns the figures and the answers."""
        deadline = time.monotonic() + 120
        while not self.ended.wait(0.1):
            if (code := self.process.poll()) is not None or time.monotonic() > deadline:
                ended = "it takes more than 120 s" if code is None else f"it ended with {code}"
                self.failure = f"{ended}, after {len(self.times)} answers"
                break
        self.process.kill()
        self.process.wait()
        self.lambda_api.close()
        if self.failure:
            self.output.seek(0)
            text = self.output.read().decode(errors="replace")[-3000:]
            sys.exit(f"{self.program.name} {self.program.does}: {self.failure}\n{text}")
        times = sorted(self.times[1 + self.unmeasured:])
        self.figures |= {"p50": statistics.median(times), "p99": times[int(len(times) * 0.99)]}
        return self.figures, self.answers


def check(program, answers, services):
    """Fails if an answer is not what the caller asked for."""
    for answer in map(json.loads, answers):
        status, body = answer["statusCode"], json.loads(answer.get("body") or "null")
        data = (body or {}).get("data")
        right = status == 200
        if program.does == "get":
            right = right and data == services.credential
        if program.does == "mint":
            known = {"type": "onbehalf", "token": services.zoom_token,
                     "credential_id": services.credential["credential_id"]}
            right = right and known.items() <= data.items() and "expires_at" in data
        if not right:
            sys.exit(f"{program.name} {program.does}: a wrong answer: {status} {body}")
    if services.unexpected:
        sys.exit(f"{program.name} {program.does}: calls that the emulator does not know: {services.unexpected}")


def measure(chosen, services, events, runs, endpoints):
    """The medians of all runs, by program."""
    found = [[] for _ in chosen]
    about = services.api_key, services.credential["credential_id"]
    # The first round counts for nothing: it fills the caches of the system.
    for count in range(runs + 1):
        for program, results in zip(chosen, found, strict=True):
            event = emulator.event(OURS.get(program.does, "list-credentials"), *about)
            services.bearers.clear()
            figures, answers = Run(program, event, endpoints, events if count else (0, 1)).finish()
            check(program, answers, services)
            # The vault's own access token is known to its sandbox alone.
            if program.does == "mint" and program.name != "mint-token" and services.bearers != {services.access_token}:
                sys.exit(f"{program.name}: Zoom got another access token than the sealed one")
            if count:
                results.append(figures)
    return [
        {figure: statistics.median(it[figure] for it in results) for figure in results[0]} | {"zip": program.zip / 1e6}
        for program, results in zip(chosen, found, strict=True)
    ]


def table(chosen, measured):
    """The table in Markdown. In brackets: how many times the figure of the vault's function for the same work."""
    lines = ["| program | " + " | ".join(title for title, _ in FIGURES.values()) + " |"]
    lines.append("| --- |" + " --- |" * len(FIGURES))
    for tls, rows in measured.items():
        lines.append(f"| **{'with' if tls else 'without'} TLS to AWS** |" + " |" * len(FIGURES))
        ours = {}
        for program, figures in zip(chosen, rows, strict=True):
            is_ours = program.name == OURS.get(program.does)
            ours[program.does] = ours.get(program.does, figures)
            cells = []
            for figure, (_, digits) in FIGURES.items():
                cell, own = f"{figures[figure]:.{digits}f}", ours[program.does][figure]
                if not is_ours and program.does != "nothing":
                    cell += f" ({times(figures[figure] / own)} ×)"
                cells.append(cell)
            name = f"`{program.name}`" if program.name.islower() else f"{program.name}, {program.does}"
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def times(ratio):
    return f"{ratio:.0f}" if ratio >= 9.5 else f"{ratio:.1f}" if ratio >= 1.95 else f"{ratio:.2f}"


def missed_bounds(chosen, measured):
    """Prints each ratio that has a bound. Returns those that miss their bound."""
    missed = []
    for bound in json.loads((HERE / "bounds.json").read_text()):
        does, figure, other = bound["does"], bound["figure"], bound["against"]
        rows = {(program.name, program.does): row for program, row in zip(chosen, measured[bound["tls"]], strict=True)}
        if (other, does) not in rows:
            continue
        ratio = rows[other, does][figure] / rows[OURS[does], does][figure]
        text = f"{does}, {FIGURES[figure][0]}, {'with' if bound['tls'] else 'without'} TLS: {other} needs "
        text += f"{ratio:.2f} × as much as {OURS[does]}; bound {bound['at_least']} ×, goal {bound['goal']} ×"
        print(text)
        if ratio < bound["at_least"]:
            missed.append(text)
    return missed


def write(text):
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        sys.exit(f"{PAGE} has no lines {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--folder", type=pathlib.Path, default=ROOT / "target/lambda")
    arguments.add_argument("--local", type=pathlib.Path, default=ROOT / "target/debug/local")
    arguments.add_argument("--work", type=pathlib.Path, default=ROOT / "target/peers")
    arguments.add_argument("--runs", type=int, help="default: 10, with --short 3")
    arguments.add_argument("--unmeasured", type=int, help="default: 1000, with --short 400")
    arguments.add_argument("--requests", type=int, help="default: 1000, with --short 200")
    arguments.add_argument("--short", action="store_true")
    arguments.add_argument("--write", action="store_true")
    given = arguments.parse_args()
    default = (3, 400, 200) if given.short else (10, 1000, 1000)
    asked = (given.runs, given.unmeasured, given.requests)
    runs, *events = (other if value is None else value for value, other in zip(asked, default, strict=True))
    chosen = programs(given.folder.resolve(), given.work.resolve())
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        vault = seed.Vault(given.local.resolve(), pathlib.Path(folder))
        try:
            services = seed.Services(vault)
            for tls in (False, True):
                endpoints = emulator.services_behind(services.answer, tls, pathlib.Path(folder))
                measured[tls] = measure(chosen, services, events, runs, endpoints)
        finally:
            vault.stop()
    text = table(chosen, measured)
    print(text)
    if given.write:
        write(text)
    if given.short and (missed := missed_bounds(chosen, measured)):
        sys.exit("A ratio misses its bound:\n" + "\n".join(missed))


if __name__ == "__main__":
    main()
