"""Reads two files that the Rust tests write: the table of functions, and the AWS calls that each function made."""

import functools
import json
import os
import pathlib

from template import ROOT

# The table of functions: name, trigger, time-out, powers and environment. tests/api/roles.rs keeps the file up to date.
FUNCTIONS = {it["name"]: it for it in json.loads((ROOT / "docs/endpoints.json").read_text())}
# tests/api/record.rs writes this file while the whole API suite runs.
RECORD = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "tmp/aws-calls.jsonl"
HOW_TO_RECORD = "run `cargo test -p tests --test api`, without a filter"


@functools.cache
def calls():
    """`{function: {(resource, action), …}}`. A resource is `table`, `table/index` or `kms/purpose`."""
    assert RECORD.exists(), f"there is no record of AWS calls in {RECORD}: {HOW_TO_RECORD}"
    sources = [path for part in ("functions", "shared", "local") for path in (ROOT / part / "src").rglob("*.rs")]
    newest = max(sources, key=lambda path: path.stat().st_mtime)
    current = newest.stat().st_mtime < RECORD.stat().st_mtime
    assert current, f"{newest} is newer than the record of AWS calls: {HOW_TO_RECORD}"
    found = {}
    for row in rows():
        found.setdefault(row["function"], set()).add((resource(row), row["operation"]))
    return found


@functools.cache
def calls_by_rows():
    """`{function: {(resource, action, rows), …}}` for calls that name a kind of row, such as `grant#*`."""
    found = {}
    for row in rows():
        if row["rows"]:
            found.setdefault(row["function"], set()).add((resource(row), row["operation"], row["rows"]))
    return found


@functools.cache
def calls_by_transaction():
    """`{function: {(resource, action, transaction), …}}` for calls to DynamoDB. A single call has the transaction None."""
    found = {}
    for row in rows():
        if row["service"] == "dynamodb":
            found.setdefault(row["function"], set()).add((resource(row), row["operation"], row["enclosing"]))
    return found


@functools.cache
def kinds_of_rows():
    """`{table: {kind, …}}`: all kinds of rows, in the tables whose keys begin with the kind."""
    found = {}
    for row in rows():
        if row["rows"]:
            found.setdefault(resource(row), set()).add(row["rows"])
    return found


@functools.cache
def rows():
    return [json.loads(line) for line in RECORD.read_text().splitlines()]


def resource(row):
    if row["service"] == "kms":
        return f"kms/{row['purpose']}"
    return "/".join(filter(None, [row["table"].replace("-", "_"), row["index"]]))


def has(function, *powers):
    """Whether a function has one of these powers. The power `grants` includes the powers that it is built from."""
    held = set(FUNCTIONS[function]["powers"])
    if "grants" in held:
        held |= {"credentials", "pairs", "secrets", "events", "envelope", "zoom"}
    return bool(held & set(powers))
