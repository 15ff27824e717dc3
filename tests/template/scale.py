"""Prints the computed tables of docs/scale.md: `python tests/template/scale.py`. A test compares them with the page."""

import pathlib
import re

from cost import CALLS, GRANT, KB_OF_LOG_LINES, KEEP_ALIVE, P, PRICES, SECONDS_A_MONTH, lines_of, short

ROOT = pathlib.Path(__file__).resolve().parents[2]

SIZES = (100, 10_000, 100_000, 10_000_000)
# 10,000,000 credentials and 10,000 mints a second: each mints once in 1,000 seconds. So do the other sizes.
SECONDS_BETWEEN_MINTS = 1_000
# An access token lives for an hour, and a mint refreshes it 10 minutes before its end.
SECONDS_OF_ACCESS = 3_600 - 600
# A grant is refreshed by the first mint after its access token's time. Mints come at random times.
REFRESHING = SECONDS_BETWEEN_MINTS / (SECONDS_OF_ACCESS + SECONDS_BETWEEN_MINTS)
MIX = (("mint, cold", 1 - REFRESHING), ("mint with a refresh", REFRESHING))

# KB of each credential in its rows: credential, client secret, grant and pair, then the entries of their indexes.
KB_OF_ROWS, KB_OF_INDEXES = 1 + 1 + 5 + 0.5, 0.5
# An event, with the 100 bytes that AWS adds to each row. The index holds the event again.
KB_OF_EVENT = 0.6
RETENTION_DAYS = 90
GB = 1_000_000


def constant(path, name):
    """A whole number in the source of the vault."""
    return int(re.search(rf"const {name}: \w+ = ([\d_]+);", (ROOT / path).read_text())[1].replace("_", ""))


RUN = "shared/src/keep_alive/run.rs"
# A run begins every five minutes, and begins no grant in the last minute of its time.
SECONDS_BETWEEN_RUNS, SECONDS_OF_WORK = 300, 240
AT_A_TIME = constant(RUN, "CONCURRENT_GRANTS")
KEEP_ALIVE_AFTER_DAYS, ZOOM_DAYS = 20, 90


def of_a_mint(unit):
    return sum(share * CALLS[name][unit] for name, share in MIX)


def mints(size):
    return size / SECONDS_BETWEEN_MINTS


def plain(number):
    return f"{number:,.0f}" if number >= 10 else f"{number:,.1f}" if number >= 0.1 else f"{number:,.2f}"


def table(head, rows):
    ruler = "| --- |" + " --- |" * (len(head) - 1)
    return "\n".join([line_of(head), ruler, *map(line_of, rows)])


def line_of(cells):
    return f"| {' | '.join(cells)} |"


def load():
    """What each number of credentials asks of AWS and of Zoom."""
    rates = {
        "mints a second": mints,
        "refreshes a second": lambda size: mints(size) * REFRESHING,
        "functions at the same time": lambda size: mints(size) * of_a_mint(4) / 1000,
        "calls to KMS a second": lambda size: mints(size) * of_a_mint(2),
        "read units a second": lambda size: mints(size) * of_a_mint(0),
        "write units a second": lambda size: mints(size) * of_a_mint(1),
        "the same, in `events` (as much in its index)": lambda size: mints(size) * (1 + REFRESHING),
        "the same, in `secrets` (its index: 2 a refresh)": lambda size: mints(size) * REFRESHING * 2 * GRANT,
        "new events a day": lambda size: mints(size) * (1 + REFRESHING) * 86_400,
        "grants due an hour, if nobody mints": lambda size: size / KEEP_ALIVE_AFTER_DAYS / 24,
    }
    rows = [[name, *(plain(rate(size)) for size in SIZES)] for name, rate in rates.items()]
    return table(["credentials", *(f"{size:,}" for size in SIZES)], rows)


def bill(size):
    """The lines of a month with this many credentials: `{line: dollars}`."""
    million_mints = mints(size) * SECONDS_A_MONTH / 1e6
    kinds = [(share, lines_of(CALLS[name])) for name, share in MIX]
    lines = {line: million_mints * sum(share * kind[line] for share, kind in kinds) for line in kinds[0][1]}
    del lines["pipe and event bus"]
    events = mints(size) * (1 + REFRESHING) * RETENTION_DAYS * 86_400 * KB_OF_EVENT / GB
    logs = million_mints * KB_OF_LOG_LINES * RETENTION_DAYS * 86_400 / SECONDS_A_MONTH
    stored, backed_up = P["dynamodb_storage_gb_month"], P["dynamodb_backup_gb_month"]
    rows = (KB_OF_ROWS + KB_OF_INDEXES) * stored + KB_OF_ROWS * backed_up
    return lines | {
        "web ACL, requests": million_mints * P["web_acl_million_requests"],
        "rows of credentials, with backups": size / GB * rows,
        f"events of {RETENTION_DAYS} days, with the index and backups": events * (2 * stored + backed_up),
        f"logs of {RETENTION_DAYS} days": logs * P["log_stored_gb_month"],
    }


def bills():
    """The bill of a month for each number of credentials."""
    columns = [bill(size) for size in SIZES]
    rows = [[line, *(amount(column[line]) for column in columns)] for line in columns[0]]
    total = ["**sum**", *(f"**{amount(sum(column.values()))}**" for column in columns)]
    return table(["dollars a month", *(f"{size:,}" for size in SIZES)], [*rows, total])


def amount(dollars):
    return f"{dollars:,.0f}" if dollars >= 10 else f"{dollars:,.2f}"


def grants_of_a_day(seconds):
    """How many grants keep-alive refreshes in a day, if each takes so many seconds."""
    return AT_A_TIME * SECONDS_OF_WORK / SECONDS_BETWEEN_RUNS * 86_400 / seconds


def keep_alive():
    """How many unused grants keep-alive can hold."""
    rows = [
        [f"{seconds} s", *(f"{grants_of_a_day(seconds) * days:,.0f}" for days in (1, KEEP_ALIVE_AFTER_DAYS, ZOOM_DAYS))]
        for seconds in (0.5, 1, 2, 4)
    ]
    return table(["time of a grant", "grants a day", "unused grants at 20 days", "at Zoom's 90 days, the end"], rows)


def slowest():
    """How many seconds a grant may take at most, so that keep-alive holds the largest size."""
    return grants_of_a_day(1) / (SIZES[-1] / KEEP_ALIVE_AFTER_DAYS)


def dollars_of_keep_alive(size):
    """Keep-alive's dollars a month if nobody uses these grants."""
    refreshed = size * SECONDS_A_MONTH / 86_400 / KEEP_ALIVE_AFTER_DAYS / 1e6
    return refreshed * sum(lines_of(KEEP_ALIVE, route=False).values())


def tables():
    return [load(), keep_alive(), bills()]


if __name__ == "__main__":
    print("\n\n".join(tables()))
    print(f"\nkeep-alive, {SIZES[-1]:,} unused grants: {short(dollars_of_keep_alive(SIZES[-1]))} dollars a month")
    print(f"prices of {PRICES['region']}, {PRICES['date']}; {REFRESHING:.0%} of the mints refresh")
