"""Completes the deployment to the emulator, and prints shell variables for the tests: `finish.py STACK`.

The emulator ignores the gateway responses in an API's definition, where SAM writes them. This program therefore reads
them from the template and adds them one by one. It also creates an IAM user with the operator's policy.
"""

import json
import pathlib
import sys

import boto3

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "template"))
from template import Template  # noqa: E402


def main():
    stack = sys.argv[1]
    described = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    gateway = boto3.client("apigateway")
    (api,) = [api["id"] for api in gateway.get_rest_apis()["items"] if api["name"] == stack]
    for kind, response in Template().properties("Api")["GatewayResponses"].items():
        headers = response["ResponseParameters"]["Headers"]
        gateway.put_gateway_response(
            restApiId=api,
            responseType=kind,
            statusCode=str(response["StatusCode"]),
            responseParameters={f"gatewayresponse.header.{name}": value for name, value in headers.items()},
            responseTemplates=response["ResponseTemplates"],
        )
    gateway.create_deployment(restApiId=api, stageName="live")

    iam = boto3.client("iam")
    iam.create_user(UserName=f"operator-{stack}")
    iam.attach_user_policy(UserName=f"operator-{stack}", PolicyArn=outputs["OperatorPolicy"])
    key = iam.create_access_key(UserName=f"operator-{stack}")["AccessKey"]

    resources = boto3.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]

    def physical_ids(kind):
        found = [it for it in resources if it["ResourceType"] == kind]
        return json.dumps({it["LogicalResourceId"]: it["PhysicalResourceId"] for it in found})

    endpoint = gateway.meta.endpoint_url
    environment = {
        "VAULT_URL": f"{endpoint}/restapis/{api}/live/_user_request_",
        "KEYS_TABLE": outputs["KeysTable"],
        "OPERATOR_KEY_ID": key["AccessKeyId"],
        "OPERATOR_SECRET": key["SecretAccessKey"],
        "ROLES": physical_ids("AWS::IAM::Role"),
        "LOGS": physical_ids("AWS::Logs::LogGroup"),
    }
    for name, value in environment.items():
        print(f"{name}='{value}'")


main()
