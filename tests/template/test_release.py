"""Tests the templates of a release, as CloudFormation gets them from SAM: the one without and the one with an alias."""

import functools
import json
import pathlib
import subprocess
import sys

import pytest
from boto3 import Session
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse
from template import PATH, ROOT

sys.path.insert(0, str(ROOT / "deploy"))
import gradual as steps  # noqa: E402
import package  # noqa: E402

FOLDER = "zoom-credentials/1.0.0-0123456789ab"
FUNCTIONS = {"MintToken": ("/v2/zoom-tokens", "post"), "TokenUrl": ("/t/{token+}", "x-amazon-apigateway-any-method")}


@functools.cache
def source():
    """template.yaml as JSON: SAM's reader of YAML takes seconds."""
    return json.dumps(yaml_parse(PATH.read_text()))


ARCHITECTURE = json.loads(source())["Parameters"]["Architecture"]["Default"]


def template_of_release(gradually, folder=FOLDER, architectures=("arm64", "x86_64")):
    template = package.package(json.loads(source()), "1.0.0", folder, list(architectures))
    return steps.gradual(template, folder) if gradually else template


def transformed(template, **parameters):
    """The resources that SAM makes of the template."""
    template = json.loads(json.dumps(template))
    session = Session(region_name="eu-central-1")
    parameters = {"CodeBucket": "code", "UpdateName": "first"} | parameters
    return Translator({}, Parser(), boto_session=session).translate(template, parameters)["Resources"]


@functools.cache
def resources_of_release(gradually, folder=FOLDER):
    return json.dumps(transformed(template_of_release(gradually, folder)))


@pytest.fixture
def plain():
    return json.loads(resources_of_release(False))


@pytest.fixture
def gradual():
    return json.loads(resources_of_release(True))


def of_type(resources, kind):
    return {name: it for name, it in resources.items() if it["Type"] == kind}


def versions(resources):
    """The one version of each function: `{function: (logical id, properties)}`."""
    found = of_type(resources, "AWS::Lambda::Version")
    made = {it["Properties"]["FunctionName"]["Ref"]: (name, it["Properties"]) for name, it in found.items()}
    assert len(made) == len(found)
    return made


def test_without_gradual_deployment_there_is_no_alias_no_version_and_no_codedeploy(plain):
    kinds = {it["Type"] for it in plain.values()}
    assert not kinds & {"AWS::Lambda::Alias", "AWS::Lambda::Version"}
    assert not [kind for kind in kinds if kind.startswith("AWS::CodeDeploy::")]


def test_api_calls_the_alias_and_may_call_nothing_else_of_the_function(gradual):
    assert set(of_type(gradual, "AWS::Lambda::Alias")) == {f"{function}Aliaslive" for function in FUNCTIONS}
    for function, (path, method) in FUNCTIONS.items():
        uri = gradual["Api"]["Properties"]["Body"]["paths"][path][method]["x-amazon-apigateway-integration"]["uri"]
        assert uri["Fn::Sub"].endswith(f"/functions/${{{function}Aliaslive}}/invocations")
        alias = gradual[f"{function}Aliaslive"]["Properties"]
        assert alias["FunctionVersion"] == {"Fn::GetAtt": [versions(gradual)[function][0], "Version"]}
        permissions = of_type(gradual, "AWS::Lambda::Permission").values()
        called = [it["Properties"]["FunctionName"]["Ref"] for it in permissions]
        assert f"{function}Aliaslive" in called and function not in called


def test_codedeploy_moves_each_alias_in_the_steps_that_the_operator_chose(gradual):
    groups = of_type(gradual, "AWS::CodeDeploy::DeploymentGroup")
    for function in FUNCTIONS:
        policy = gradual[f"{function}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        group = groups.pop(policy["DeploymentGroupName"]["Ref"])["Properties"]
        assert gradual[policy["ApplicationName"]["Ref"]]["Type"] == "AWS::CodeDeploy::Application"
        rollback = group["AutoRollbackConfiguration"]
        assert rollback["Enabled"] and {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"} <= {*rollback["Events"]}
        name, values = group["DeploymentConfigName"]["Fn::Sub"]
        assert (name, values) == ("CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": steps.STEPS[0]})
    assert not groups


@pytest.mark.parametrize("chosen", steps.STEPS)
def test_each_choice_is_a_configuration_of_codedeploy(chosen):
    groups = of_type(transformed(template_of_release(True), GradualDeployment=chosen), "AWS::CodeDeploy::DeploymentGroup")
    for group in groups.values():
        assert group["Properties"]["DeploymentConfigName"]["Fn::Sub"][1] == {"ConfigName": chosen}


def test_alarms_that_stop_a_deployment_always_exist_and_watch_the_new_version(gradual):
    for function in FUNCTIONS:
        configuration = gradual[f"{function}DeploymentGroup"]["Properties"]["AlarmConfiguration"]
        assert configuration["Enabled"] is True
        names = [it["Name"]["Ref"] for it in configuration["Alarms"]]
        assert names == [f"New{function}Fails", "NewVersionsAnswer5xx"]
        alarms = [gradual[name] for name in names]
        assert all(it["Type"] == "AWS::CloudWatch::Alarm" and "Condition" not in it for it in alarms)
        fails, answers = (it["Properties"] for it in alarms)
        assert (fails["Namespace"], fails["MetricName"], fails["Threshold"]) == ("AWS/Lambda", "Errors", 0)
        assert {it["Name"]: it["Value"] for it in fails["Dimensions"]} == {
            "FunctionName": {"Ref": function},
            "Resource": {"Fn::Sub": f"${{{function}}}:live"},
            "ExecutedVersion": {"Fn::GetAtt": [versions(gradual)[function][0], "Version"]},
        }
        counted = gradual[f"{function}Answers5xx"]["Properties"]
        assert counted["LogGroupName"] == {"Ref": f"{function}Logs"}
        normal = f'$.zoom_limited NOT EXISTS && $.cause != "{steps.WAITS}"'
        assert counted["FilterPattern"] == f"{{ $.status = 500 || ($.status = 503 && {normal}) }}"
        assert f'#[error("{steps.WAITS}")]\n    RefreshElsewhere' in (ROOT / "shared/src/error.rs").read_text()
        (metric,) = counted["MetricTransformations"]
        assert (metric["MetricNamespace"], metric["MetricName"]) == (answers["Namespace"], answers["MetricName"])
        assert metric["Dimensions"] == [{"Key": "stack", "Value": "$.stack"}]
        assert answers["Dimensions"] == [{"Name": "stack", "Value": {"Ref": "AWS::StackName"}}]


def test_each_update_publishes_a_version(gradual):
    """A new text replaces the version, and it changes the function: Lambda publishes no version without a change."""
    text = {"Fn::Sub": f"{FOLDER} ${{UpdateName}}"}
    for function in FUNCTIONS:
        _, version = versions(gradual)[function]
        assert version["Description"] == gradual[function]["Properties"]["Description"] == text


def test_a_new_release_is_a_new_version_even_with_an_old_name_of_the_update(gradual):
    other = json.loads(resources_of_release(True, "zoom-credentials/1.0.1-ba9876543210"))
    for function in FUNCTIONS:
        assert versions(gradual)[function][0] != versions(other)[function][0]
        assert gradual[function]["Properties"]["Description"] != other[function]["Properties"]["Description"]


def test_role_of_codedeploy_has_the_permissions_boundary_and_is_the_only_one(gradual):
    trusted = {name: it["Properties"] for name, it in of_type(gradual, "AWS::IAM::Role").items() if "codedeploy" in str(it)}
    (role,) = trusted.values()
    assert role["PermissionsBoundary"]["Fn::If"][:2] == ["HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"}]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "codedeploy.amazonaws.com"}
    for function in FUNCTIONS:
        assert gradual[f"{function}DeploymentGroup"]["Properties"]["ServiceRoleArn"] == {"Fn::GetAtt": [*trusted, "Arn"]}


def test_versions_of_the_function_may_use_kms_and_no_other_function_may(gradual):
    for function in FUNCTIONS:
        statements = gradual[f"{function}Seals"]["Properties"]["PolicyDocument"]["Statement"]
        allowed = [{"Fn::GetAtt": [function, "Arn"]}, {"Fn::Sub": f"${{{function}.Arn}}:*"}]
        for statement in statements:
            assert statement["Condition"]["ArnEquals"] == {"lambda:SourceFunctionArn": allowed}


def test_gradual_deployment_changes_nothing_else(plain, gradual):
    new = {"GradualDeploymentRole", "NewVersionsAnswer5xx", "ServerlessDeploymentApplication"}
    changed = {"Api"}
    for function in FUNCTIONS:
        new |= {f"{function}Aliaslive", f"{function}DeploymentGroup", f"{function}Answers5xx", f"New{function}Fails"}
        new |= {versions(gradual)[function][0]}
        changed |= {function, f"{function}Seals", f"{function}RoutePermissionlive"}
    # The name of the API's deployment has a digest, and the stage has that name.
    stable = lambda resources: {name: it for name, it in resources.items() if not name.startswith(("ApiDeployment", "ApiliveStage"))}
    before, after = stable(plain), stable(gradual)
    assert set(after) - set(before) == new
    assert {name for name in before if before[name] != after.get(name)} == changed
    for function in FUNCTIONS:
        old, new = (it[function]["Properties"] for it in (before, after))
        # SAM writes the values of parameters into the code's place, to compute the name of the version.
        assert {name for name in new if old.get(name) != new[name]} == {"Code", "Description"}
        key = old["Code"]["S3Key"]["Fn::Sub"].replace("${Architecture}", ARCHITECTURE)
        assert new["Code"] == {"S3Bucket": "code", "S3Key": {"Fn::Sub": key}}


@pytest.mark.parametrize("gradually", [False, True])
def test_cfn_lint_accepts_the_template_of_a_release(gradually, tmp_path):
    path = tmp_path / "template.json"
    path.write_text(json.dumps(template_of_release(gradually)))
    cfn_lint = pathlib.Path(sys.executable).with_name("cfn-lint")
    result = subprocess.run([cfn_lint, "--regions", "eu-central-1", "--", path], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_default_architecture_is_one_that_the_release_has():
    for architectures in (["x86_64"], ["arm64"], ["x86_64", "arm64"]):
        parameter = template_of_release(False, architectures=architectures)["Parameters"]["Architecture"]
        assert parameter["Default"] in parameter["AllowedValues"] == architectures


# ---- each rule about the template with aliases rejects a template that breaks the rule


def put(*path, value):
    def mutate(resources):
        at = resources
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return mutate


PROPERTIES = ("MintToken", "Properties")
PREFERENCE = (*PROPERTIES, "DeploymentPreference")
MUTATIONS = [
    (test_api_calls_the_alias_and_may_call_nothing_else_of_the_function, put("TokenUrl", "Properties", "AutoPublishAlias", value="other")),
    (test_codedeploy_moves_each_alias_in_the_steps_that_the_operator_chose, put(*PREFERENCE, "Type", value="AllAtOnce")),
    (test_codedeploy_moves_each_alias_in_the_steps_that_the_operator_chose, put(*PREFERENCE, "Enabled", value=False)),
    (test_alarms_that_stop_a_deployment_always_exist_and_watch_the_new_version, put(*PREFERENCE, "Alarms", value=[{"Ref": "ServerErrors"}])),
    (test_alarms_that_stop_a_deployment_always_exist_and_watch_the_new_version, put("NewTokenUrlFails", "Condition", value="HasAllAlarms")),
    (test_alarms_that_stop_a_deployment_always_exist_and_watch_the_new_version, put("NewMintTokenFails", "Properties", "Dimensions", 2, "Value", value="1")),
    (test_alarms_that_stop_a_deployment_always_exist_and_watch_the_new_version, put("MintTokenAnswers5xx", "Properties", "FilterPattern", value="{ $.status >= 500 }")),
    (test_each_update_publishes_a_version, put(*PROPERTIES, "Description", value="mints tokens")),
    (test_each_update_publishes_a_version, put(*PROPERTIES, "VersionDescription", value="mints tokens")),
    (test_a_new_release_is_a_new_version_even_with_an_old_name_of_the_update, put(*PROPERTIES, "AutoPublishCodeSha256", value="0123456789ab")),
    (test_role_of_codedeploy_has_the_permissions_boundary_and_is_the_only_one, lambda it: it["GradualDeploymentRole"]["Properties"].pop("PermissionsBoundary")),
    (test_role_of_codedeploy_has_the_permissions_boundary_and_is_the_only_one, lambda it: it["MintToken"]["Properties"]["DeploymentPreference"].pop("Role")),
    (test_versions_of_the_function_may_use_kms_and_no_other_function_may, put("TokenUrlSeals", "Properties", "PolicyDocument", "Statement", 0, "Condition", "ArnEquals", value={"lambda:SourceFunctionArn": {"Fn::GetAtt": ["TokenUrl", "Arn"]}})),
]


@pytest.mark.parametrize("rule, mutate", MUTATIONS, ids=[rule.__name__ for rule, _ in MUTATIONS])
def test_rule_rejects_a_broken_template_of_a_release(rule, mutate, monkeypatch):
    rule(json.loads(resources_of_release(True)))

    def broken(gradually, folder=FOLDER):
        template = template_of_release(gradually, folder)
        mutate(template["Resources"])
        return json.dumps(transformed(template))

    monkeypatch.setattr(sys.modules[__name__], "resources_of_release", broken)
    with pytest.raises((AssertionError, KeyError, ValueError)):
        rule(json.loads(broken(True)))
