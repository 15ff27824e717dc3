"""Prints the template without what the emulator cannot take: `variant.py BUILT_TEMPLATE > VARIANT`.

Each difference is here, with its reason, and is named on standard error. Everything else is deployed as it is, except
that functions are told where the services are, by the variables of this process.
"""

import json
import os
import pathlib
import sys

from samtranslator.yaml_helper import yaml_parse


def differences(template):
    """Changes `template`; yields what was changed and why."""
    resources = template["Resources"]
    for name, resource in list(resources.items()):
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
            del resources[name]
            yield name, "left out: alarms over several metrics are refused"
        if resource["Type"] == "AWS::KMS::Key":
            statements = resource["Properties"]["KeyPolicy"]["Statement"]
            for statement in [it for it in statements if names_the_context(it)]:
                if statement["Effect"] == "Deny":
                    statements.remove(statement)
                else:
                    del statement["Condition"]
                yield f"{name}.{statement['Sid']}", NO_CONTEXT
        if resource["Type"] == "AWS::IAM::Policy":
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                if names_the_context(statement):
                    del statement["Condition"]
                    yield f"{name}.{statement['Sid']}", NO_CONTEXT
        if resource["Type"] == "AWS::Serverless::Function":
            events = resource["Properties"]["Events"]
            if events.get("Route", {}).get("Properties", {}).get("Method") == "ANY":
                route = events.pop("Route")
                for method in ("GET", "POST", "HEAD"):
                    events[method.title()] = route | {"Properties": route["Properties"] | {"Method": method}}
                yield f"{name}.Route", "is three: an import there knows no method that stands for all"
            variables = resource["Properties"]["Environment"]["Variables"]
            if "PUBLIC_BASE_URL" in variables:
                variables["PUBLIC_BASE_URL"] = "https://vault.example"
                yield f"{name}.PUBLIC_BASE_URL", "is given: the gateway's events name no domain"


NO_CONTEXT = "without its condition: no policy sees the encryption context there"


def names_the_context(statement):
    return "kms:EncryptionContext" in json.dumps(statement.get("Condition", {}))


def main():
    path = pathlib.Path(sys.argv[1])
    template = yaml_parse(path.read_text())
    for name, why in differences(template):
        print(f"{name} {why}", file=sys.stderr)
    functions = [it["Properties"] for it in template["Resources"].values() if it["Type"] == "AWS::Serverless::Function"]
    for function in functions:
        function["CodeUri"] = str((path.parent / function["CodeUri"]).resolve())
    for properties in [template["Globals"]["Function"], *functions]:
        variables = properties["Environment"]["Variables"]
        variables.update({name: os.environ[name] for name, value in variables.items() if value == ""})
    print(json.dumps(template, indent=1))


main()
