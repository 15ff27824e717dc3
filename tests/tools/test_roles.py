"""Compares deploy/ci-cd/roles.yaml with template.yaml, and with the list of AWS's actions that policy_sentry has."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from policy_sentry.querying.all import get_all_actions
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
VAULT = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]
ROLES = yaml_parse((ROOT / "deploy/ci-cd/roles.yaml").read_text())["Resources"]
# The services whose actions begin with another word than the types of their resources.
SERVICES = {"serverless": "lambda", "kinesisfirehose": "firehose"}


def statements(value, effect="Allow"):
    """The statements of all policies inside `value`, without those that say who may assume a role."""
    if isinstance(value, list):
        return [found for part in value for found in statements(part, effect)]
    if not isinstance(value, dict):
        return []
    if "Effect" in value:
        return [value] if value["Effect"] == effect and "Principal" not in value else []
    return statements(list(value.values()), effect)


def actions(value):
    listed = [statement["Action"] for statement in statements(value)]
    return {action for entry in listed for action in ([entry] if isinstance(entry, str) else entry)}


DEPLOYER = actions([ROLES["DeployFunctions"], ROLES["DeployParts"]])


def test_aws_knows_each_action():
    known = {action.lower() for action in get_all_actions()}
    assert {action for action in actions(ROLES) if action.lower() not in known} == set()


def test_the_deployer_has_rights_for_each_service_of_the_stack():
    types = {resource["Type"].split("::")[1].lower() for resource in VAULT.values()}
    services = {action.split(":")[0] for action in DEPLOYER}
    assert {SERVICES.get(name, name) for name in types} - services == set()


@pytest.mark.parametrize("action", [
    "cloudwatch:DisableAlarmActions", "dynamodb:DeleteTable", "dynamodb:GetItem", "dynamodb:PutResourcePolicy",
    "dynamodb:Query", "iam:CreateUser", "iam:DeleteRolePermissionsBoundary", "kms:CreateGrant", "kms:Decrypt",
    "kms:ScheduleKeyDeletion", "lambda:InvokeFunction", "logs:DeleteLogGroup", "logs:GetLogEvents", "s3:DeleteBucket",
    "s3:PutObject", "sqs:DeleteQueue", "sqs:ReceiveMessage", "sts:AssumeRole",
])
def test_the_deployer_can_neither_read_secrets_nor_delete_what_must_stay(action):
    assert not any(fnmatchcase(action, allowed) for allowed in DEPLOYER)


def test_the_deployer_gives_rights_only_to_roles_with_the_boundary():
    giving = {"iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"}
    for statement in statements([ROLES["DeployFunctions"], ROLES["DeployParts"]]):
        if giving & actions(statement):
            assert statement["Condition"]["StringEquals"]["iam:PermissionsBoundary"] == {"Ref": "Boundary"}


def test_the_boundary_allows_what_the_roles_of_the_vault_do():
    roles = [it for it in VAULT.values() if it["Type"] in ("AWS::IAM::Role", "AWS::IAM::Policy")]
    assert actions(roles) - actions(ROLES["Boundary"]) == set()


@pytest.mark.parametrize("name", ["DeployFunctions", "DeployParts", "Boundary"])
def test_a_policy_is_short_enough_for_iam(name):
    text = json.dumps(ROLES[name]["Properties"]["PolicyDocument"], separators=(",", ":"))
    text = re.sub(r'\{"Fn::Sub":("[^"]*")\}', r"\1", text)
    longest = {"AWS::Partition": 10, "AWS::Region": 14, "AWS::AccountId": 12, "AWS::StackName": 30, "VaultStack": 30,
               "Tables": 32, "CodeBucket": 63}
    for variable, length in longest.items():
        text = text.replace(f"${{{variable}}}", "x" * length)
    assert len(text) <= 6144
