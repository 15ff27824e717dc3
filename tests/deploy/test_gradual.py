"""Deploys both templates of a release to the emulator, and tests which version of a function the API calls.

The emulator publishes versions, moves aliases and calls them, but it has no CodeDeploy: it moves an alias in one step.
Each function is a small program here, which answers with its version and a setting.
"""

import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

import boto3
import pytest
from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "deploy"), str(ROOT / "tests/deploy")]
import gradual  # noqa: E402
import package  # noqa: E402
import variant  # noqa: E402

FUNCTION = f"""#!{sys.executable}
import json, os, urllib.request

api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    event = urllib.request.urlopen(api + "next")
    answer = {{"version": os.environ["AWS_LAMBDA_FUNCTION_VERSION"], "capsules": os.environ.get("RECOVERY_CAPSULES")}}
    body = json.dumps({{"statusCode": 200, "body": json.dumps(answer)}}).encode()
    urllib.request.urlopen(api + event.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", body)
"""
OLDER, NEWER = "zoom-credentials/1.0.0-0123456789ab", "zoom-credentials/1.1.0-ba9876543210"


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """Starts an emulator, with the code of two releases in the bucket `code`. It does not enforce policies."""
    folder = tmp_path_factory.mktemp("emulator")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "S3_DATA_DIR": str(folder), "TMPDIR": str(folder)}
    settings |= {"MINISTACK_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
    settings |= {"IOT_MTLS_ENABLED": "false", "AUTH": "false"}
    program = pathlib.Path(sys.executable).with_name("ministack")
    with (folder / "log").open("w") as log:
        emulator = subprocess.Popen([program], env=os.environ | settings, stdout=log, stderr=log)
    account = {"region_name": "eu-central-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = lambda service: boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}", **account)
    wait_for(port)
    s3 = client("s3")
    s3.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for release in (OLDER, NEWER):
        for name, _ in package.functions(yaml_parse(package.TEMPLATE.read_text())):
            s3.put_object(Bucket="code", Key=f"{release}/x86_64/{name}.zip", Body=zipped(f"{FUNCTION}# {release}\n"))
    yield client
    emulator.terminate()
    emulator.wait()


def wait_for(port):
    for _ in range(300):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=1).close()
        except urllib.error.HTTPError:
            return None
        except OSError:
            time.sleep(0.1)
    pytest.fail("the emulator does not start")


def zipped(program):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o100755 << 16
        archive.writestr(entry, program)
    return content.getvalue()


def template_of(release, gradually):
    """The template of a release, as the emulator accepts it."""
    template = package.package(yaml_parse(package.TEMPLATE.read_text()), "1.0.0", release, ["x86_64"])
    if gradually:
        template = json.loads(json.dumps(gradual.gradual(template, release)))
    for _ in variant.differences(template):
        pass
    return json.dumps(template, indent=1)  # as a release has it


def update(clients, stack, release, gradually=True, **parameters):
    """Creates or updates a stack. Returns what mint-token answers through the API."""
    clients("s3").put_object(Bucket="code", Key="template.json", Body=template_of(release, gradually))
    cloudformation = clients("cloudformation")
    exists = stack in [it["StackName"] for it in cloudformation.describe_stacks()["Stacks"]]
    (cloudformation.update_stack if exists else cloudformation.create_stack)(
        StackName=stack,
        TemplateURL=f"{cloudformation.meta.endpoint_url}/code/template.json",
        Parameters=[
            {"ParameterKey": name, "ParameterValue": it} for name, it in {"CodeBucket": "code", **parameters}.items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    waiter = cloudformation.get_waiter(f"stack_{'update' if exists else 'create'}_complete")
    waiter.wait(StackName=stack, WaiterConfig={"Delay": 1})
    return answer_of(clients, stack)


def answer_of(clients, stack):
    """What mint-token answers through the API."""
    cloudformation = clients("cloudformation")
    api = cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId="Api")["StackResourceDetail"]
    url = f"{cloudformation.meta.endpoint_url}/restapis/{api['PhysicalResourceId']}/live/_user_request_/v2/zoom-tokens"
    with urllib.request.urlopen(urllib.request.Request(url, b"{}", method="POST"), timeout=30) as answer:
        return json.load(answer)


def test_update_with_a_new_name_publishes_a_version_with_the_new_settings(clients):
    assert update(clients, "settings", OLDER, UpdateName="1") == {"version": "1", "capsules": "on"}
    changed = update(clients, "settings", OLDER, UpdateName="2", RecoveryCapsules="off")
    assert changed == {"version": "2", "capsules": "off"}


def test_update_with_only_a_new_name_publishes_a_version_too(clients):
    """As after an update that was rolled back: Lambda refuses a version of a function that did not change."""
    versions = [update(clients, "names", OLDER, UpdateName=name)["version"] for name in "12"]
    assert versions == ["1", "2"]


def test_update_with_an_old_name_keeps_the_old_settings_as_the_upgrade_page_warns(clients):
    update(clients, "stale", OLDER, UpdateName="1")
    assert update(clients, "stale", OLDER, UpdateName="1", RecoveryCapsules="off") == {"version": "1", "capsules": "on"}
    assert "With an old `UpdateName`, both functions keep the old settings" in (ROOT / "docs/upgrade.md").read_text()


def test_newer_release_and_then_the_older_one_again_are_new_versions(clients):
    releases = enumerate([OLDER, NEWER, OLDER])
    versions = [update(clients, "releases", it, UpdateName=str(number))["version"] for number, it in releases]
    assert versions == ["1", "2", "3"]


def test_operator_can_change_from_one_template_to_the_other_and_back(clients):
    assert update(clients, "templates", OLDER, gradually=False)["version"] == "$LATEST"
    assert update(clients, "templates", OLDER, UpdateName="1")["version"] == "1"
    assert update(clients, "templates", OLDER, gradually=False)["version"] == "$LATEST"


@pytest.fixture
def deploy_sh(clients, tmp_path):
    """Runs deploy.sh in the folder of a release without programs. Returns what mint-token then answers."""
    for name in ("deploy.sh", "stack-policy.json"):
        shutil.copy(ROOT / "deploy" / name, tmp_path)
    (tmp_path / "VERSION").write_text("1.0.0\n")
    for name, gradually in (("template.json", False), ("template-gradual.json", True)):
        (tmp_path / name).write_text(template_of(OLDER, gradually))
    code = tmp_path / "code" / OLDER / "x86_64"
    code.mkdir(parents=True)
    for name, _ in package.functions(yaml_parse(package.TEMPLATE.read_text())):
        (code / f"{name}.zip").write_bytes(zipped(FUNCTION))
    sums = subprocess.run("sha256sum $(find * -type f)", shell=True, cwd=tmp_path, capture_output=True, check=True)
    (tmp_path / "SHA256SUMS").write_bytes(sums.stdout)
    account = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    account |= {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
    account |= {"AWS_ENDPOINT_URL": clients("s3").meta.endpoint_url}

    def run(*options, status=0, command=("./deploy.sh", "--stack", "script")):
        env = os.environ | account
        result = subprocess.run([*command, *options], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert result.returncode == status, result.stderr
        return answer_of(clients, "script")

    return run


def test_deploy_sh_deploys_gradually_until_it_is_told_to_stop(deploy_sh):
    # The new stack has no key: this release has no program that could make one.
    assert deploy_sh(status=1)["version"] == "$LATEST"
    assert deploy_sh("--gradual", "Canary10Percent5Minutes")["version"] == "1"
    # The script gives each update a new name, so the new setting is in a new version.
    assert deploy_sh("--parameter", "RecoveryCapsules=off") == {"version": "2", "capsules": "off"}
    assert deploy_sh("--gradual", "off") == {"version": "$LATEST", "capsules": "off"}


def test_restored_table_is_used_by_the_version_that_the_api_calls(clients, deploy_sh):
    deploy_sh("--gradual", "Canary10Percent5Minutes")
    before = answer_of(clients, "script")["version"]
    clients("dynamodb").create_table(
        TableName="script-keys-restored",
        AttributeDefinitions=[{"AttributeName": it, "AttributeType": "S"} for it in ("team_id", "record")],
        KeySchema=[{"AttributeName": "team_id", "KeyType": "HASH"}, {"AttributeName": "record", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    use_tables = (ROOT / "deploy/use-tables.sh", "script")
    after = deploy_sh("KeysTableName=script-keys-restored", command=use_tables)["version"]
    assert before.isdigit() and after.isdigit() and before != after
