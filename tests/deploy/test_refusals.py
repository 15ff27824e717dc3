"""What deploy.sh and the scripts for restored tables refuse before they call AWS. The address of AWS leads nowhere."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "eu-central-1", "AWS_MAX_ATTEMPTS": "1"}
NOWHERE |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@pytest.fixture
def release(tmp_path):
    """A folder like that of a release, with one function."""
    shutil.copy(DEPLOY / "deploy.sh", tmp_path)
    (tmp_path / "VERSION").write_text("1.0.0\n")
    for name in ("template.json", "template-gradual.json"):
        template = {"Parameters": {"Dashboard": {}, "SecretsTableName": {}}, "Resources": {}}
        (tmp_path / name).write_text(json.dumps(template, indent=1).replace("{}", "{\n  }"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code/get-credential.zip").write_text("code")
    sums = subprocess.run("sha256sum $(find * -type f)", shell=True, cwd=tmp_path, capture_output=True, check=True)
    (tmp_path / "SHA256SUMS").write_bytes(sums.stdout)
    return tmp_path


def run(*command, cwd="."):
    result = subprocess.run(command, cwd=cwd, env=os.environ | NOWHERE, capture_output=True, text=True)
    assert result.returncode != 0 and result.stdout == "", result
    return result.stderr


@pytest.mark.parametrize(
    "options, message",
    [
        (["--parameter", "AlarmTopciArn=arn"], "the template has no parameter AlarmTopciArn."),
        (
            ["--parameter", "SecretsTableName="],
            "SecretsTableName must not be empty: the stack would get a new, empty table.",
        ),
        (["--parameter", "Dashboard"], "--parameter Dashboard is not NAME=VALUE."),
        (["--stack", "Vault"], "the name of a stack has at most 30 small letters, digits and hyphens"),
        (["--stack", "v" * 31], "the name of a stack has at most 30 small letters, digits and hyphens"),
        (["--bucket"], "--bucket needs a value"),
        (["--region", "eu-central-1"], "unknown option --region"),
        (["--parameter", "Dashboard=yes"], "AWS does not accept your credentials."),  # this parameter is accepted
    ],
)
def test_deploy_sh_names_the_wrong_option_and_what_is_wrong(release, options, message):
    assert f"deploy.sh: {message}" in run("./deploy.sh", *options, cwd=release)


def test_deploy_sh_refuses_a_damaged_file_and_a_file_that_nobody_vouches_for(release):
    (release / "code/evil.zip").write_text("code")
    assert "has a file that SHA256SUMS does not name" in run("./deploy.sh", cwd=release)
    (release / "code/get-credential.zip").write_text("edoc")
    message = run("./deploy.sh", cwd=release)
    assert "code/get-credential.zip: FAILED" in message and "a file of this release is missing or damaged" in message


@pytest.mark.parametrize(
    "values, message",
    [
        (["SecretsTableName="], "SecretsTableName= is not NAME=VALUE with a value"),
        (["KeysTableName=a", "KeysTableName=b"], "KeysTableName is named twice"),
        (["EventsTableName=a"], "set EventsTableName and EventsTableStreamArn together"),
        (
            ["EventsTableName=a", "EventsTableStreamArn=arn:aws:dynamodb:r:1:table/b/stream/1"],
            "with the stream of that table",
        ),
    ],
)
def test_use_tables_refuses_values_that_would_empty_or_mix_up_tables(values, message):
    assert message in run(DEPLOY / "use-tables.sh", "zoom-credentials", *values)
