"""Turns template.yaml into the template of a release, which needs no build.

    package.py VERSION FOLDER ARCHITECTURE… > TEMPLATE

The functions' code comes from a bucket, which the parameter CodeBucket names. There each function is one zip,
`FOLDER/<Architecture>/<function>.zip`. FOLDER has a digest of the zips, so that other code has another name: without a
new name, CloudFormation would see no change. Everything else is as in template.yaml, except that anchors are resolved
and comments are gone.
"""

import argparse
import json
import pathlib
import re
import sys

from samtranslator.yaml_helper import yaml_parse

TEMPLATE = pathlib.Path(__file__).resolve().parents[1] / "template.yaml"


def package(template, version, folder, architectures):
    """Changes `template`, as read from template.yaml, into the template of the release `version`."""
    parameters = template["Parameters"]
    parameters["CodeBucket"] = {
        "Type": "String",
        "Description": "The bucket with the code of the functions. It must be in the region of the stack.",
        "AllowedPattern": "^[a-z0-9.-]{3,63}$",
    }
    parameters["Architecture"]["AllowedValues"] = architectures
    if parameters["Architecture"]["Default"] not in architectures:
        parameters["Architecture"]["Default"] = architectures[0]
    for binary, function in functions(template):
        del function["Metadata"]  # how `sam build` builds the function
        key = {"Fn::Sub": f"{folder}/${{Architecture}}/{binary}.zip"}
        function["Properties"]["CodeUri"] = {"Bucket": {"Ref": "CodeBucket"}, "Key": key}
    template["Outputs"]["Version"]["Value"] = version
    del template["Metadata"]["cfn-lint"]
    if not template["Metadata"]:
        del template["Metadata"]
    return template


def functions(template):
    """The name of the binary of each function, and the function's resource."""
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            yield binary_of(name), resource


def binary_of(function):
    """`GetCredential` runs the binary `get-credential`. The Makefile has the same rule."""
    return re.sub("(?<!^)([A-Z])", r"-\1", function).lower()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version")
    parser.add_argument("folder")
    parser.add_argument("architectures", nargs="+", choices=["arm64", "x86_64"])
    arguments = parser.parse_args()
    template = yaml_parse(TEMPLATE.read_text())
    json.dump(package(template, arguments.version, arguments.folder, arguments.architectures), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
