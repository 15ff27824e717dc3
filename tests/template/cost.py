"""Prints docs/cost.md, computed from template.yaml and prices.json: `python tests/template/cost.py > docs/cost.md`."""

import json
import pathlib

from template import Template

PRICES = json.loads((pathlib.Path(__file__).parent / "prices.json").read_text())
P = PRICES["prices"]

HOURS_A_MONTH = 730
SECONDS_A_MONTH = HOURS_A_MONTH * 3600
# Lambda reads an idle queue with five long polls of 20 seconds each.
POLLS_OF_THE_QUEUE = 5 * SECONDS_A_MONTH / 20
# A pipe reads each shard of a stream four times a second. The first 2.5 million reads of a region are free.
READS_OF_A_SHARD, FREE_STREAM_READS = 4 * SECONDS_A_MONTH, 2_500_000
# Keep-alive queries 16 shards of an index in each run. A query that finds nothing is half a unit.
READS_OF_KEEP_ALIVE, RUNS_OF_KEEP_ALIVE = 16 * 0.5, HOURS_A_MONTH * 12
GB_OF_A_FUNCTION = 256 / 1024
KB_OF_LOG_LINES = 1.5

# Write units. A write of 1 KB is one unit, and two inside a transaction. A write to an index is a unit more, and two if
# the key of the index changes. The row of a grant has 5 KB. An event is also in the index `by-team`.
RATE, ROW_OF_A_CHANGE, EVENT, EVENT_OF_A_CHANGE = 1, 2, 1 + 1, 2 + 1
GRANT, GRANT_OF_A_CHANGE, NEW_IN_INDEX, MOVED_IN_INDEX = 5, 10, 1, 2
CHANGE_OF_A_ROW = RATE + ROW_OF_A_CHANGE + NEW_IN_INDEX + EVENT_OF_A_CHANGE
REFRESH = GRANT + GRANT + MOVED_IN_INDEX + EVENT  # lease, commit, event
CODE = 2 * ROW_OF_A_CHANGE + GRANT_OF_A_CHANGE + NEW_IN_INDEX + EVENT_OF_A_CHANGE  # credential, secret, grant, event
USER = 2 * ROW_OF_A_CHANGE + NEW_IN_INDEX + GRANT_OF_A_CHANGE + MOVED_IN_INDEX  # credential, pair, grant
CLAIM = 2 * ROW_OF_A_CHANGE  # claimed, then completed

# Units behind one call: reads, writes, calls to KMS, events on the bus, milliseconds of the function, and what it waits
# for. Most rows are under 1 KB. tests/api/call_counts.rs counts the calls. Zoom's answer times are a guess.
CALLS = {
    "get": (2, 0, 0, 0, 20, ""),
    "list, 100 credentials": (19, 0, 0, 0, 30, ""),
    "create, app": (2, RATE + 2 * ROW_OF_A_CHANGE + EVENT_OF_A_CHANGE, 1, 1, 30, ""),
    "create, user": (2.5, RATE + CLAIM + CODE + USER, 2, 2, 600, "Zoom"),
    "rename, user": (3, CHANGE_OF_A_ROW, 0, 1, 30, ""),
    "delete, user": (3, CHANGE_OF_A_ROW + ROW_OF_A_CHANGE, 0, 1, 30, ""),
    "mint, grant open in memory": (3, RATE + EVENT, 0, 0, 150, "Zoom"),
    "mint, cold": (6, RATE + EVENT, 1, 0, 180, "Zoom"),
    "mint with a refresh": (6, RATE + REFRESH + EVENT, 3, 0, 500, "Zoom"),
    "SDK JWT": (4, RATE + EVENT, 1, 0, 30, ""),
    "token URL, grant open in memory": (3, RATE + 1 + EVENT, 0, 0, 150, "Zoom"),
    "token URL, cold": (6, RATE + 1 + EVENT, 1, 0, 180, "Zoom"),
    "token URL with a refresh": (6, RATE + 1 + REFRESH + EVENT, 3, 0, 500, "Zoom"),
    "token URL that nobody has, well-formed": (1, 0, 0, 0, 10, ""),
    "create a token URL": (3, CHANGE_OF_A_ROW, 0, 0, 30, ""),
    "list 100 token URLs, or events": (10, 0, 0, 0, 30, ""),
    "revoke a token URL": (3, CHANGE_OF_A_ROW, 0, 0, 30, ""),
    "check, with a meeting": (6, RATE + 3 * EVENT, 1, 0, 600, "Zoom"),
}
# Keep-alive handles 16 grants at a time, without API Gateway: a million refreshed grants.
KEEP_ALIVE = (5, GRANT + MOVED_IN_INDEX + REFRESH, 3, 0, 100 / 16, "Zoom")
# The example of a month.
USERS, BOTS_A_DAY, WORKING_DAYS = 1_000, 3, 22
MINTS = ("mint, grant open in memory", "mint, cold", "mint with a refresh")


def lines_of(call, route=True):
    """The lines of a bill for a million calls: `{line: dollars}`."""
    reads, writes, kms, events, milliseconds, _ = call
    return {
        "API Gateway": P["api_million_requests"] * route,
        "Lambda, requests": P["lambda_million_requests"] * route,
        "Lambda, compute": milliseconds / 1000 * GB_OF_A_FUNCTION * P["lambda_million_gb_seconds"],
        "DynamoDB, reads": reads * P["dynamodb_million_reads"],
        "DynamoDB, writes": writes * P["dynamodb_million_writes"],
        "KMS": kms * P["kms_million_requests"],
        "pipe and event bus": events * (P["pipe_million_requests"] + P["bus_million_events"]),
        "logs": KB_OF_LOG_LINES * P["log_gb"],
    }


def watched(alarm):
    """How many metrics an alarm has. A query counts as one."""
    return max(1, sum("MetricStat" in metric.get("If", [0, metric])[1] for metric in alarm.get("Metrics", [])))


def alarm_metrics(template, *conditions):
    alarms = template.of_type("AWS::CloudWatch::Alarm").values()
    return sum(watched(it["Properties"]) for it in alarms if it["Condition"] in conditions)


def idle(template):
    """The lines of a month without requests, with the defaults but without the web ACL: `{line: dollars}`."""
    keys, essential = len(template.of_type("AWS::KMS::Key")), alarm_metrics(template, "HasEssentialAlarms")
    run = READS_OF_KEEP_ALIVE * P["dynamodb_million_reads"] + P["lambda_million_requests"]
    return {
        f"{keys} KMS keys": keys * P["kms_key_month"],
        f"essential alarms, {essential} metrics": essential * P["alarm_metric_month"],
        "the metric that each run of keep-alive writes": P["metric_month"],
        "polls of the queue of notifications": POLLS_OF_THE_QUEUE / 1e6 * P["sqs_million_requests"],
        f"{RUNS_OF_KEEP_ALIVE:,} runs of keep-alive": RUNS_OF_KEEP_ALIVE / 1e6 * run,
    }


def web_acl(template):
    return P["web_acl_month"] + len(template.properties("AddressLimits")["Rules"]) * P["web_acl_rule_month"]


def dollars(amount):
    return f"{amount:.2f}" if amount >= 0.005 or amount == 0 else "under 0.01"


def short(amount):
    return f"{amount:.0f}" if amount >= 10 else f"{amount:.1f}"


def idle_floor(template):
    return dollars(sum(idle(template).values()))


def page(template, metrics):
    """The page. `metrics` is how many metrics the log lines can have, and one that CloudWatch counts from a log."""
    p = {name: dollars(price) for name, price in P.items()}
    essential = alarm_metrics(template, "HasEssentialAlarms")
    every = essential + alarm_metrics(template, "HasAllAlarms")
    archive = alarm_metrics(template, "HasAlarmsOfArchive")
    shard = READS_OF_A_SHARD / 1e6 * P["dynamodb_million_stream_reads"]
    free = FREE_STREAM_READS / 1e6 * P["dynamodb_million_stream_reads"]
    keys = len(template.of_type("AWS::KMS::Key"))
    with_acl = sum(idle(template).values()) + web_acl(template)
    mints = USERS * BOTS_A_DAY * WORKING_DAYS
    minted = mints / 1e6 * sum(lines_of(CALLS["mint with a refresh"]).values())
    lines = [
        "# What the vault costs",
        "",
        "Do not edit this page: it is computed from `template.yaml` and from the prices in `tests/template/prices.json`. A test",
        "fails if the page is out of date. Compute the page again with",
        "`target/ci/python/bin/python tests/template/cost.py > docs/cost.md`.",
        "",
        f"All amounts are US dollars, by the list prices of {PRICES['region']} in {PRICES['date']}, without free allowances. No bill of AWS was",
        "compared with this page. Compare the prices before you rely on them.",
        "",
        "## A month without requests",
        "",
        "With the default parameters, but without the web ACL:",
        "",
        "| line | dollars a month |",
        "| --- | --- |",
        *(f"| {line} | {dollars(amount)} |" for line, amount in idle(template).items()),
        f"| **idle floor** | **{idle_floor(template)}** |",
        "",
        f"The web ACL is a default too. With all defaults, an idle vault costs {dollars(with_acl)} dollars a month.",
        "",
        "What you choose:",
        "",
        "| parameter | adds, in dollars a month |",
        "| --- | --- |",
        f"| `WebAcl` `create`, the default | {dollars(web_acl(template))}, and {p['web_acl_million_requests']} per million requests |",
        f"| `Alarms` `all` | {dollars((every - essential) * P['alarm_metric_month'])}: {every} metrics instead of {essential} |",
        f"| `Alarms` `none` | -{dollars(essential * P['alarm_metric_month'])} |",
        f"| `Dashboard` `yes` | {p['dashboard_month']} |",
        f"| `Tracing` `yes` | {p['xray_million_traces']} per million traces. By default X-Ray keeps one a second, and 5 % of the rest |",
        f"| `EventArchiveDays` | {dollars(archive * P['alarm_metric_month'])} for {archive} alarms, {p['pipe_million_requests']} per million events, {P['firehose_gb']} per GB, and the bucket |",
        f"| `LogRetentionDays` | {p['log_stored_gb_month']} per GB and month that logs are kept; writing them costs {p['log_gb']} per GB |",
        "",
        "The defaults are cheap, with one exception: the web ACL. Without it, one address can send as many requests as the",
        "throttles of the API accept. A dashboard that is created later shows the time before too.",
        "",
        "## A million mints",
        "",
        "| line | " + " | ".join(MINTS) + " |",
        "| --- |" + " --- |" * len(MINTS),
    ]
    bills = [lines_of(CALLS[name]) for name in MINTS]
    lines += [f"| {line} | " + " | ".join(dollars(bill[line]) for bill in bills) + " |" for line in bills[0]]
    lines += [
        "| **sum** | " + " | ".join(f"**{dollars(sum(bill.values()))}**" for bill in bills) + " |",
        "",
        "A grant is refreshed at most once an hour. Between two refreshes, each instance of the function opens the grant once a",
        "minute at most. A bot that asks for one token costs one cold mint, and perhaps a refresh.",
        "",
        f"An example: {USERS:,} users send {BOTS_A_DAY} bots each on each of {WORKING_DAYS} working days. That is {mints:,} mints a month. If each mint needs",
        f"a refresh, the mints cost {dollars(minted)} dollars. With the idle vault of all defaults and the requests to the web ACL, the month",
        f"costs {dollars(with_acl + minted + mints / 1e6 * P['web_acl_million_requests'])} dollars. Lists, webhooks and stored logs are not in it.",
        "",
        "## A million calls of each kind",
        "",
        "| call | read units | write units | KMS | events | function, 256 MB | sum |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, call in CALLS.items():
        reads, writes, kms, events, milliseconds, waits = call
        time = f"{milliseconds} ms" + (f", waiting for {waits}" if waits else "")
        lines.append(f"| {name} | {reads} | {writes} | {kms} | {events} | {time} | **{short(sum(lines_of(call).values()))}** |")
    reads, writes, kms, events, *_ = KEEP_ALIVE
    refreshed = sum(lines_of(KEEP_ALIVE, route=False).values())
    lines += [
        f"| keep-alive, a million grants refreshed | {reads} | {writes} | {kms} | {events} | 100 ms each, 16 at a time | **{short(refreshed)}** |",
        "",
        "Most rows are small: under 1 KB written, under 4 KB read. The row of a grant has 5 KB if its pair of tokens has 4 KB. A",
        "write inside a transaction counts twice. The rows of a connected user, of its grant and of an event are also written to",
        "their indexes. `tests/api/call_counts.rs` counts the calls behind the units at the sockets. The units are computed from",
        "these calls and from the sizes: no test measures them. Zoom's answer times are a guess.",
        f"Each sum includes {dollars(lines_of(CALLS['get'])['logs'])} for about {KB_OF_LOG_LINES} KB of log lines. An idempotency key adds four write units to the create of an app.",
        f"Keep-alive refreshes an unused grant about 18 times a year, so a thousand of these grants cost {dollars(18_000 / 1e6 * refreshed)} a year.",
        "",
        "## What the bill does not show at first",
        "",
        f"- **Rotations of keys.** AWS rotates each of the {keys} keys every year. The first two rotations of a key add {p['kms_key_rotation_month']} a month",
        f"  each. After two years, the keys cost {dollars(keys * (P['kms_key_month'] + 2 * P['kms_key_rotation_month']))} a month instead of {dollars(keys * P['kms_key_month'])}.",
        f"- **A second trail of CloudTrail.** The first trail of management events is free. Each further one costs {p['trail_million_events']} per",
        f"  million events, and each call to KMS is an event: a million mints with a refresh add {dollars(3 * P['trail_million_events'])}. Exclude events of",
        "  KMS from the further trails.",
        "- **Reads of the stream by the pipe.** AWS says that DynamoDB streams are free for Lambda and not for other readers. It",
        "  does not say which of the two a pipe is. If a pipe is another reader, its four reads a second cost",
        f"  {dollars(shard)} a month for each shard, and the first {dollars(free)} in a region are free. A new table can have four shards.",
        f"- **Metrics under traffic.** A metric costs {p['metric_month']} a month, in proportion to the hours in which it has a value. A vault in",
        f"  use has about six, for {dollars(6 * P['metric_month'])} a month. All {metrics} together would cost {dollars(metrics * P['metric_month'])}.",
        f"- **Data.** Point-in-time recovery costs {p['dynamodb_backup_gb_month']} per GB and month, the data itself {p['dynamodb_storage_gb_month']}.",
        f"- **Queries.** Each refresh of the dashboard runs four queries of logs, for {P['log_query_gb']} per GB that they read.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from test_stack import metrics

    print(page(Template(), len(metrics()) + 1), end="")
