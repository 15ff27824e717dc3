"""Does what the emulator leaves undone, and prints what the tests need as shell variables: `finish.py STACK`.

The emulator does not read gateway responses out of an API's definition, where SAM puts them: they are put one by one,
as the template has them, and deployed. And it needs an operator to be somebody.
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
    for kind, answer in Template().properties("Api")["GatewayResponses"].items():
        headers = answer["ResponseParameters"]["Headers"]
        gateway.put_gateway_response(
            restApiId=api,
            responseType=kind,
            statusCode=str(answer["StatusCode"]),
            responseParameters={f"gatewayresponse.header.{name}": value for name, value in headers.items()},
            responseTemplates=answer["ResponseTemplates"],
        )
    gateway.create_deployment(restApiId=api, stageName="live")

    iam = boto3.client("iam")
    iam.create_user(UserName="operator")
    iam.attach_user_policy(UserName="operator", PolicyArn=outputs["OperatorPolicy"])
    key = iam.create_access_key(UserName="operator")["AccessKey"]

    resources = boto3.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]

    def names(kind):
        return json.dumps({it["LogicalResourceId"]: it["PhysicalResourceId"] for it in resources if it["ResourceType"] == kind})

    endpoint = gateway.meta.endpoint_url
    environment = {
        "VAULT_URL": f"{endpoint}/restapis/{api}/live/_user_request_",
        "KEYS_TABLE": outputs["KeysTable"],
        "OPERATOR_KEY_ID": key["AccessKeyId"],
        "OPERATOR_SECRET": key["SecretAccessKey"],
        "ROLES": names("AWS::IAM::Role"),
        "LOGS": names("AWS::Logs::LogGroup"),
    }
    for name, value in environment.items():
        print(f"{name}='{value}'")


main()
