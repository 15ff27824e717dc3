"""docs/scale.md: its computed tables, and the figures in its text that follow from the code or the template."""

import re

import cost
import pytest
import scale
from template import ROOT

PAGE = (ROOT / "docs/scale.md").read_text()
TEXT = " ".join(PAGE.split())


@pytest.mark.parametrize("table", scale.tables(), ids=["load", "keep-alive", "bill"])
def test_table_of_the_scale_page_is_up_to_date(table):
    command = "target/ci/python/bin/python tests/template/scale.py"
    assert table in PAGE, f"docs/scale.md is out of date: replace its table by the one that this prints: {command}"


def test_scale_page_has_the_ceilings_of_keep_alive(template):
    assert scale.KEEP_ALIVE_AFTER_DAYS == template.document["Parameters"]["KeepAliveAfterDays"]["Default"]
    schedule = template.properties("KeepAlive")["Events"]["Schedule"]["Properties"]["Schedule"]
    assert schedule == f"rate({scale.SECONDS_BETWEEN_RUNS // 60} minutes)"
    assert scale.SECONDS_OF_WORK == template.properties("KeepAlive")["Timeout"] - 60
    second = scale.grants_of_a_day(1)
    for figure in (
        f"| **{second * scale.KEEP_ALIVE_AFTER_DAYS / 1e6:.0f} million** |",
        f"after N / {second:,.0f} days",
        f"in {scale.slowest():.1f} s or less",
        f"{scale.SIZES[-1] / scale.KEEP_ALIVE_AFTER_DAYS / 86_400:.1f} refreshes a second",
        f"about {round(scale.dollars_of_keep_alive(scale.SIZES[-1]), -1):.0f} dollars a month",
    ):
        assert figure in TEXT, figure


def test_scale_page_has_the_defaults_of_the_template(template):
    parameters = {name: it["Default"] for name, it in template.document["Parameters"].items() if "Default" in it}
    assert f"`AddressLimit` {parameters['AddressLimit']:,} a minute" in TEXT
    assert f"{parameters['ThrottleRate']}/s, burst {parameters['ThrottleBurst']} |" in TEXT
    assert f"| {parameters['AddressLimit'] // 60}/s | operator: `AddressLimit` |" in TEXT


@pytest.mark.parametrize(
    ("row", "call"),
    [
        ("get", cost.CALLS["get"]),
        ("mint, access token in memory", cost.CALLS["mint, grant open in memory"]),
        ("mint, cold", cost.CALLS["mint, cold"]),
        ("mint with a refresh", cost.CALLS["mint with a refresh"]),
        ("create, app", cost.CALLS["create, app"]),
        ("create, user", cost.CALLS["create, user"]),
        ("delete", cost.CALLS["delete, user"]),
        ("keep-alive, one grant", cost.KEEP_ALIVE),
    ],
)
def test_units_of_the_scale_page_are_those_of_the_cost_page(row, call):
    cells = re.search(rf"^\| {row} \|(.*)\|$", PAGE, re.M)[1].split("|")
    kms, reads, writes = (float(cells[index]) for index in (2, 4, 5))
    assert (reads, writes, kms) == call[:3]
