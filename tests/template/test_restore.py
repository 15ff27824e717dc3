"""Tests that a restored table can take the place of a table of the stack: template.yaml, deploy/restore-table.sh."""

import json
import re

import pytest
from template import ROOT, Template, table_of
from test_stack import TABLES

SCRIPT = ROOT / "deploy/restore-table.sh"
# DynamoDB keeps these settings of a table that it restores. deploy/restore-table.sh sets the others.
KEPT = {"AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"}
SET = {
    "BillingMode": "--billing-mode-override PAY_PER_REQUEST",
    "SSESpecification": "--sse-specification-override",
    "DeletionProtectionEnabled": "--deletion-protection-enabled",
    "PointInTimeRecoverySpecification": "PointInTimeRecoveryEnabled=true",
    "TimeToLiveSpecification": "--time-to-live-specification",
    "StreamSpecification": "--stream-specification",
}


@pytest.mark.parametrize("name", TABLES)
def test_table_leaves_the_stack_if_a_parameter_names_another_one(template, name):
    assert template.resources[name]["Condition"] == f"Owns{name}"
    assert template.document["Conditions"][f"Owns{name}"] == {"Equals": [f"{name}Name", ""]}
    parameter = template.document["Parameters"][f"{name}Name"]
    assert parameter["Default"] == ""
    # Without a name, CloudFormation creates a table. So an empty name does not bring the earlier table back.
    assert "Do not empty the parameter" in parameter["Description"]


@pytest.mark.parametrize("name", TABLES)
def test_named_table_takes_the_place_of_the_own_one_everywhere(template, name):
    def references(template):
        parts = json.loads(json.dumps({part: template.document[part] for part in ("Globals", "Resources", "Outputs")}))
        for pipe in template.of_type("AWS::Pipes::Pipe"):
            # The pipe of another stream has another name: see the test of its role.
            del parts["Resources"][pipe]["Properties"]["Name"]
            del parts["Resources"][f"{pipe}Role"]["Properties"]["AssumeRolePolicyDocument"]
        return list(texts(parts))

    def renamed(text):
        return re.sub(rf"^{name}\b", f"{name}Name", re.sub(rf"^{name}\.StreamArn", f"{name}StreamArn", text))

    own = references(template)
    assert references(Template(template.written, named=[name])) == [renamed(text) for text in own]
    assert sum(renamed(text) != text for text in own) > 5


def texts(value):
    """All texts in a part of the template, without the names of fields."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for it in value:
            yield from texts(it)
    elif isinstance(value, str):
        yield value


def test_named_table_with_a_stream_needs_the_stream(template):
    for name in ("CredentialsTable", "EventsTable"):
        conditions = template.document["Conditions"]
        assert conditions[f"Owns{name.removesuffix('Table')}Stream"] == {"Equals": [f"{name}StreamArn", ""]}
        (rule,) = template.document["Rules"][f"ANamedTableOf{name.removesuffix('Table')}HasItsStream"]["Assertions"]
        empty = [{"Equals": [f"{name}{part}", ""]} for part in ("Name", "StreamArn")]
        assert rule["Assert"] == {"Or": [{"And": empty}, {"And": [{"Not": [it]} for it in empty]}]}


def test_only_the_envelope_key_can_be_a_multi_region_key_and_only_from_the_first_deployment(template):
    """The tables are encrypted at rest in one region. A copy of a table elsewhere has another key of its own there."""
    assert template.properties("EnvelopeKey")["MultiRegion"] == {"If": ["IsMultiRegion", True, "AWS::NoValue"]}
    assert "MultiRegion" not in template.properties("AtRestKey")
    assert template.document["Conditions"]["IsMultiRegion"] == {"Equals": ["MultiRegionKey", "yes"]}
    parameter = template.document["Parameters"]["MultiRegionKey"]
    assert parameter["Default"] == "no"
    assert "before the first deployment" in parameter["Description"]


def test_pipe_of_a_named_table_has_no_fixed_name_and_its_role_trusts_it(template):
    """CloudFormation replaces a pipe whose stream changes, and cannot do this under the same name."""
    for pipe, table, name in (
        ("Changes", "CredentialsTable", "AWS::StackName-changes"),
        ("EventCopies", "EventsTable", "AWS::StackName-event-copies"),
    ):
        for named, fixed, trusted in (([], name, name), ([table], "AWS::NoValue", "*")):
            variant = Template(template.written, named=named)
            assert variant.properties(pipe)["Name"] == fixed
            (trust,) = variant.properties(f"{pipe}Role")["AssumeRolePolicyDocument"]["Statement"]
            assert trust["Condition"] == {
                "StringEquals": {"aws:SourceAccount": "AWS::AccountId"},
                "ArnEquals": {"aws:SourceArn": f"arn:AWS::Partition:pipes:AWS::Region:AWS::AccountId:pipe/{trusted}"},
            }


def test_restore_script_gives_a_table_the_settings_of_the_template(template):
    script = SCRIPT.read_text()
    rows = re.findall(r"^  ([\w-]+)\) output=(\w+) ttl=(\w+|'') stream=(\w+|'') ;;", script, re.M)
    found = {output: (ttl.strip("'"), stream.strip("'")) for _, output, ttl, stream in rows}
    wanted = {
        name: (
            template.table(name).get("TimeToLiveSpecification", {}).get("AttributeName", ""),
            template.table(name).get("StreamSpecification", {}).get("StreamViewType", ""),
        )
        for name in TABLES
    }
    assert found == wanted
    for name, output, *_ in rows:
        assert table_of(name.replace("-", "_")) == output == template.document["Outputs"][output]["Value"]
    for name in TABLES:
        others = set(template.table(name)) - KEPT
        assert others <= set(SET), f"deploy/restore-table.sh does not set {others - set(SET)} of {name}"
        assert all(SET[it] in script for it in others)


def test_restored_table_is_encrypted_with_the_at_rest_key_of_the_stack(template):
    """A table that is restored without a key gets the key of the source table, which may be lost."""
    assert template.document["Outputs"]["AtRestKeyArn"]["Value"] == "AtRestKey.Arn"
    script = SCRIPT.read_text()
    assert "OutputKey=='AtRestKeyArn'" in script and "SSEType=KMS,KMSMasterKeyId=$key" in script


def test_script_may_take_a_table_out_of_the_stack():
    """deploy.sh sets a policy that forbids it. The emulator keeps the policy and does not apply it."""
    script = (ROOT / "deploy/use-tables.sh").read_text()
    assert '--stack-policy-during-update-body "file://$(dirname "$0")/stack-policy-restore.json"' in script
    denied = [it for it in json.loads((ROOT / "deploy/stack-policy-restore.json").read_text())["Statement"] if it["Effect"] == "Deny"]
    tables = [it for it in denied if "AWS::DynamoDB::Table" in str(it)]
    assert tables and all(it["Action"] == ["Update:Replace"] or it["Action"] == "Update:Replace" for it in tables)
