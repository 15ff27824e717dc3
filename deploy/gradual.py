"""Turns the template of a release into one that deploys the functions mint-token and token-url gradually.

The API calls an alias of these functions. An update publishes a new version, and CodeDeploy moves the alias to it step
by step. If an alarm rings, CodeDeploy moves the alias back, and CloudFormation rolls the whole update back.

This is a template of its own, because SAM cannot make an alias optional: AutoPublishAlias takes no condition. An alias
also has a price. Its version keeps the old settings until a new version is published, and SAM does not notice a changed
parameter (aws/serverless-application-model, issues 1640 and 3820). So every update publishes a version here, and the
parameter UpdateName makes Lambda see a change. Who does not deploy gradually does not carry that risk.

keep-alive is not deployed gradually. A run sees to the grants of all teams, so no step could give the new version a
part of them.
"""

FUNCTIONS = ["MintToken", "TokenUrl"]
ALIAS = "live"
# The cause of a 503 in the log line, if another invocation refreshes the grant: shared/src/error.rs.
WAITS = "another invocation is refreshing the grant"
# The names of CodeDeploy, without its prefix CodeDeployDefault.Lambda.
STEPS = [
    "Canary10Percent5Minutes",
    "Canary10Percent15Minutes",
    "Canary10Percent30Minutes",
    "Linear10PercentEvery1Minute",
    "Linear10PercentEvery10Minutes",
]


def gradual(template, folder):
    """Changes `template`, as `package` made it. `folder` has the code of the release."""
    resources = template["Resources"]
    template["Parameters"] |= {
        "GradualDeployment": {
            "Type": "String",
            "Default": STEPS[0],
            "AllowedValues": STEPS,
            "Description": "How CodeDeploy moves the requests for tokens to the new version.",
        },
        "UpdateName": {
            "Type": "String",
            "AllowedPattern": "^[A-Za-z0-9.:_-]{1,64}$",
            "Description": "A text that no earlier update of the stack had, such as the time. With an old text, "
            "mint-token and token-url keep their old settings.",
        },
    }
    # Lambda publishes no version of a function that did not change. So the function has the same text as its version.
    update = {"Fn::Sub": f"{folder} ${{UpdateName}}"}
    for function in FUNCTIONS:
        resources[function]["Properties"] |= {
            "Description": update,
            "VersionDescription": update,
            "AutoPublishAlias": ALIAS,
            "DeploymentPreference": {
                "Type": {"Ref": "GradualDeployment"},
                "Role": {"Fn::GetAtt": ["GradualDeploymentRole", "Arn"]},
                "Alarms": [{"Ref": f"New{function}Fails"}, {"Ref": "NewVersionsAnswer5xx"}],
            },
        }
        for statement in resources[f"{function}Seals"]["Properties"]["PolicyDocument"]["Statement"]:
            # Whether this key of the request has the number of the version could not be tried. So both are allowed.
            versions = {"Fn::Sub": f"${{{function}.Arn}}:*"}
            source = statement["Condition"]["ArnEquals"]
            source["lambda:SourceFunctionArn"] = [source["lambda:SourceFunctionArn"], versions]
        resources[f"New{function}Fails"] = errors_alarm(function)
        resources[f"{function}Answers5xx"] = broken_answers(function)
    resources["NewVersionsAnswer5xx"] = answers_alarm()
    resources["GradualDeploymentRole"] = role(boundary=resources["MintTokenRole"]["Properties"]["PermissionsBoundary"])
    return template


def alarm(description, **properties):
    topic = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    common = {
        "AlarmDescription": description,
        "AlarmActions": topic,
        "OKActions": topic,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "Statistic": "Sum",
        "Period": 60,
        "Threshold": 0,
    }
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": common | properties}


def errors_alarm(function):
    """Only the new version counts: the old one may fail for another reason."""
    return alarm(
        f"The new version of {function} crashed, ran out of time or could not start. CodeDeploy goes back.",
        Namespace="AWS/Lambda",
        MetricName="Errors",
        Dimensions=[
            {"Name": "FunctionName", "Value": {"Ref": function}},
            {"Name": "Resource", "Value": {"Fn::Sub": f"${{{function}}}:{ALIAS}"}},
            {"Name": "ExecutedVersion", "Value": {"Fn::GetAtt": [f"{function}.Version", "Version"]}},
        ],
        EvaluationPeriods=1,
    )


def answers_alarm():
    """Two minutes of three, because a single 503 of DynamoDB or KMS is no reason to stop an update."""
    return alarm(
        "mint-token or token-url answered 500 or 503 in two of three minutes. CodeDeploy goes back.",
        Namespace="ZoomCredentials",
        MetricName="broken_answers",
        Dimensions=[{"Name": "stack", "Value": {"Ref": "AWS::StackName"}}],
        EvaluationPeriods=3,
        DatapointsToAlarm=2,
    )


def broken_answers(function):
    """Counts the answers 500 and 503 that can be the fault of a version.

    Zoom's failures are not: its 502 and 504, and the 503 of a rate limit. Nor is a 503 that asks a caller to wait.
    """
    ours = f'$.zoom_limited NOT EXISTS && $.cause != "{WAITS}"'
    metric = {
        "MetricNamespace": "ZoomCredentials",
        "MetricName": "broken_answers",
        "MetricValue": "1",
        "Dimensions": [{"Key": "stack", "Value": "$.stack"}],
    }
    return {
        "Type": "AWS::Logs::MetricFilter",
        "Properties": {
            "LogGroupName": {"Ref": f"{function}Logs"},
            "FilterPattern": f"{{ $.status = 500 || ($.status = 503 && {ours}) }}",
            "MetricTransformations": [metric],
        },
    }


def role(boundary):
    """The role of CodeDeploy, with AWS's own policy: which of its rights a deployment uses could not be tried."""
    policy = "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited"
    trust = {"Effect": "Allow", "Principal": {"Service": "codedeploy.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "PermissionsBoundary": boundary,
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "ManagedPolicyArns": [{"Fn::Sub": policy}],
        },
    }
