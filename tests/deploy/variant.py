"""Changes the template of a release so that the emulator accepts it: `variant.py RELEASE`.

`differences` makes each change and gives its reason; the program prints both. In addition, functions get the endpoints
of the services from this program's environment. Everything else is deployed unchanged.
"""

import hashlib
import json
import os
import pathlib
import re
import sys


def differences(template):
    """Changes `template`. Yields the name of each changed part, and the change with its reason."""
    resources = template["Resources"]
    for name, resource in list(resources.items()):
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
            del resources[name]
            yield name, "removed: the emulator refuses alarms with an expression"
        if resource["Type"] == "AWS::WAFv2::WebACLAssociation":
            del resources[name]
            yield name, "removed: the emulator cannot attach a web ACL to an API"
        if resource["Type"] == "AWS::KMS::Key":
            statements = resource["Properties"]["KeyPolicy"]["Statement"]
            for statement in [it for it in statements if uses_encryption_context(it)]:
                if statement["Effect"] == "Deny":
                    statements.remove(statement)
                    yield f"{name}.{statement['Sid']}", f"removed: {NO_CONTEXT}"
                else:
                    del statement["Condition"]
                    yield f"{name}.{statement['Sid']}", f"condition removed: {NO_CONTEXT}"
        if resource["Type"] == "AWS::IAM::Policy":
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                if uses_encryption_context(statement):
                    del statement["Condition"]
                    yield f"{name}.{statement['Sid']}", f"condition removed: {NO_CONTEXT}"
        if resource["Type"] == "AWS::Serverless::Function":
            events = resource["Properties"]["Events"]
            if events.get("Route", {}).get("Properties", {}).get("Method") == "ANY":
                route = events.pop("Route")
                for method in ("DELETE", "GET", "HEAD", "POST", "PUT"):
                    events[method.title()] = route | {"Properties": route["Properties"] | {"Method": method}}
                yield f"{name}.Route", "split by method: the emulator's import does not know the method ANY"
            if resource["Properties"].pop("DeploymentPreference", None):
                yield f"{name}.DeploymentPreference", "removed: the emulator refuses CodeDeploy"
            variables = resource["Properties"].get("Environment", {}).get("Variables", {})
            if "PUBLIC_BASE_URL" in variables:
                variables["PUBLIC_BASE_URL"] = "https://vault.example"
                yield f"{name}.PUBLIC_BASE_URL", "set: the emulator's gateway events contain no domain"


NO_CONTEXT = "policies in the emulator do not see the encryption context"


def uses_encryption_context(statement):
    return "kms:EncryptionContext" in json.dumps(statement.get("Condition", {}))


def main():
    release = pathlib.Path(sys.argv[1])
    template = json.loads((release / "template.json").read_text())
    for name, change in differences(template):
        print(name, change)
    functions = [it["Properties"] for it in template["Resources"].values() if it["Type"] == "AWS::Serverless::Function"]
    for properties in [template["Globals"]["Function"], *functions]:
        variables = properties.get("Environment", {}).get("Variables", {})
        variables.update({name: os.environ[name] for name, value in variables.items() if value == ""})
    changed = json.dumps(template, indent=1)
    (release / "template.json").write_text(changed)
    sums = (release / "SHA256SUMS").read_text()
    digest = hashlib.sha256(changed.encode()).hexdigest()
    (release / "SHA256SUMS").write_text(re.sub(r"^\w+(?=  template.json$)", digest, sums, flags=re.M))


if __name__ == "__main__":
    main()
