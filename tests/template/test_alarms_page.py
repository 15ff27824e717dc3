"""Tests what the pages for operators say about alarms and metrics."""

import re

from template import ROOT
from test_stack import alarms, metrics, unconditional, watched_metrics

PAGE = (ROOT / "docs/alarms.md").read_text()
# Every section of an alarm tells the operator these two things.
PARTS = ("**Look first.**", "**Do.**")
STATISTICS = {
    "Sum": "the sum of",
    "Average": "the average of",
    "Maximum": "the maximum of",
    "SampleCount": "the number of values of",
    "p99": "the 99th percentile of",
}
EXPRESSIONS = {"SUM": "Sum", "MAX": "Maximum"}
COMPARISONS = {"GreaterThanThreshold": "above", "LessThanThreshold": "below"}
MILLISECONDS = {"Latency", "IteratorAge"}
SECONDS = {"keep_alive_overdue", "DeliveryToS3.DataFreshness", "ApproximateAgeOfOldestMessage"}


def duration(seconds):
    """The largest unit that divides the time: `3 days`, `1 hour`, `5 minutes`."""
    units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    name, length = next((name, length) for name, length in units if seconds % length == 0)
    return f"{seconds // length} {name}" + "s" * (seconds != length)


def measured(alarm):
    """The metric of an alarm, its statistic, and the seconds in which values are put together."""
    if "Metrics" not in alarm:
        return alarm["MetricName"], alarm.get("ExtendedStatistic") or alarm["Statistic"], alarm["Period"]
    (result,) = [it for it in map(unconditional, alarm["Metrics"]) if it["ReturnData"]]
    function, argument = re.search(r"(\w+)\((.*?)\)", result["Expression"]).groups()
    # A query names its metric. An expression uses the other metrics of the alarm, which all have one name and period.
    used = [it["MetricStat"] for it in map(unconditional, alarm["Metrics"]) if "MetricStat" in it]
    names = {it["MetricName"] for it in watched_metrics(alarm)} or {argument}
    periods = {it["Period"] for it in used} or {result["Period"]}
    (name,), (period,) = names, periods
    return name, EXPRESSIONS[function], period


def rule(alarm):
    """When an alarm rings, in the words of the page."""
    name, statistic, period = measured(alarm)
    threshold = alarm["Threshold"]
    if name == "5XXError":
        amount = f"{threshold * 100:g} %"
    elif name in MILLISECONDS | SECONDS:
        amount = duration(threshold // 1000 if name in MILLISECONDS else threshold)
    else:
        amount = f"{threshold:,}"
    needed, periods = alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]
    if periods == 1:
        time = f"within {duration(period)}"
    elif period == 60:
        time = f"in {needed} of {periods} minutes"
    else:
        time = f"in {needed} of {periods} periods of {duration(period)}"
    missing = ", or missing" if alarm["TreatMissingData"] == "breaching" else ""
    return f"{STATISTICS[statistic]} `{name}` is {COMPARISONS[alarm['ComparisonOperator']]} {amount} {time}{missing}"


def sections():
    """`[(names of the alarms, anchor, text), …]`: the sections whose heading is one name, or several with "and"."""
    found = re.findall(r"^### (\w+(?: and \w+)*)\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    return [(heading.split(" and "), heading.lower().replace(" ", "-"), text) for heading, text in found]


def rows():
    """`[(alarm, anchor, star), …]` of the overview."""
    return re.findall(r"^\| \[(\w+)\]\(#([\w-]+)\) \| (★?) ?\| [^|]+ \|$", PAGE, re.M)


def test_alarms_page_has_one_row_for_each_alarm_and_a_star_if_it_is_essential(template):
    assert sorted(name for name, _, _ in rows()) == sorted(alarms(template))
    for name, _, star in rows():
        assert bool(star) == (template.resources[name]["Condition"] != "HasAllAlarms"), name


def test_alarms_page_has_one_section_for_each_alarm_to_which_its_row_links(template):
    named = [name for names, _, _ in sections() for name in names]
    assert sorted(named) == sorted(alarms(template))
    anchors = {name: anchor for names, anchor, _ in sections() for name in names}
    for name, anchor, _ in rows():
        assert anchors[name] == anchor, name


def test_each_alarm_names_its_section(template):
    for names, anchor, _ in sections():
        for name in names:
            description = alarms(template)[name]["AlarmDescription"]
            assert description.endswith(f"docs/alarms.md#{anchor} says what to do."), name


def test_section_of_an_alarm_says_when_it_rings_and_what_to_look_at_and_to_do(template):
    for names, _, text in sections():
        for name in names:
            expected = f"`{name}` rings if {rule(alarms(template)[name])}."
            assert expected in text, f"docs/alarms.md does not say: {expected}"
            assert [text.count(part) for part in PARTS] == [1] * len(PARTS), f"{name} has not each part once: {PARTS}"


def test_commands_of_the_alarms_page_name_parts_of_the_template_and_fields_of_the_log(template):
    schedules = {
        f"{function}{event}"
        for function in template.functions()
        for event, it in template.properties(function)["Events"].items()
        if it["Type"] == "Schedule"
    }
    named = set(re.findall(r'(?:LOGS=|\$\(part )(\w+)', PAGE))
    assert len(named) > 10 and named <= {*template.resources, *schedules}
    assert set(re.findall(r"OutputKey=='(\w+)'", PAGE)) <= set(template.document["Outputs"])
    code = "".join(path.read_text() for part in ("functions", "shared") for path in (ROOT / part / "src").rglob("*.rs"))
    fields = set(re.findall(r"ispresent\((\w+)\)", PAGE))
    assert len(fields) > 10
    for field in fields:
        assert re.search(rf"\b{field}(?: =|,$)", code, re.M), f"no log line has the field {field}"


def test_alarms_page_says_how_long_failed_work_is_kept(template):
    readers = [template.properties(function) for function in template.functions() if template.streams(function)]
    triggers = [it["Properties"] for reader in readers for it in reader["Events"].values()]
    (age,) = {it["MaximumRecordAgeInSeconds"] for it in triggers}
    assert f"Lambda repeats a batch for at most {duration(age)}." in PAGE
    kept = template.properties("LostNotifications")["MessageRetentionPeriod"]
    assert f"wait in the queue `LostNotifications` for {duration(kept)}." in PAGE


def test_operate_page_explains_every_metric():
    _, *tables = (ROOT / "docs/operate.md").read_text().split("| metric | is |")
    rows = re.findall(r"^\| (`.*?) \|", "".join(table.split("\n\n")[0] for table in tables), re.M)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(metrics())
