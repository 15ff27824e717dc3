//! `--stack`: the program finds tables by the outputs of a CloudFormation stack. A fake CloudFormation answers.

use axum::Router;
use axum::http::StatusCode;

use crate::TestStack;
use crate::harness::{CliResult, serve};

impl TestStack {
    /// Runs a command without `KEYS_TABLE` and `EVENTS_TABLE`, while CloudFormation answers with this status and body.
    async fn cli_in_aws(&self, line: &str, status: u16, body: String) -> CliResult {
        let answer = (StatusCode::from_u16(status).unwrap(), body);
        let router = Router::new().fallback(move || std::future::ready(answer.clone()));
        let url = serve(router).await;
        let cloudformation = [("AWS_ENDPOINT_URL_CLOUDFORMATION", url.as_str())];
        let tables = ["KEYS_TABLE", "EVENTS_TABLE"];
        self.cli_with(line, &tables, &cloudformation).await
    }
}

/// CloudFormation's description of a stack with these outputs.
fn description(outputs: &[(&str, &str)]) -> String {
    let outputs = outputs.iter().map(|(key, value)| {
        format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
    });
    let outputs = outputs.collect::<Vec<_>>().concat();
    format!(
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult>\
         <Stacks><member><StackName>vault</StackName><StackStatus>CREATE_COMPLETE</StackStatus>\
         <CreationTime>2026-01-02T03:04:05.678Z</CreationTime><Outputs>{outputs}</Outputs></member></Stacks>\
         </DescribeStacksResult></DescribeStacksResponse>"
    )
}

/// CloudFormation's refusal.
fn refusal(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )
}

#[tokio::test]
async fn program_finds_the_keys_table_in_the_stack_outputs() {
    let stack = TestStack::start().await;
    let table = stack.variable("KEYS_TABLE");
    let outputs = description(&[
        ("ApiUrl", "https://a.test"),
        ("KeysTable", table),
        ("EventsTable", stack.variable("EVENTS_TABLE")),
    ]);

    let line = "--stack vault teams create acme";
    let result = stack.cli_in_aws(line, 200, outputs.clone()).await;
    assert_eq!(result.code, 0, "{result:?}");
    let line = "keys create --team acme --permission full --stack vault";
    let result = stack.cli_in_aws(line, 200, outputs).await;
    let key = result.stdout.trim_end();
    assert_eq!(stack.list_credentials(key).await, 200);
    // The stack names a table that does not exist.
    let lost = description(&[("KeysTable", "lost")]);
    let result = stack
        .cli_in_aws("teams list --stack vault", 200, lost)
        .await;
    assert!(
        result
            .stderr
            .starts_with("error: there is no table lost in us-east-1"),
        "{result:?}"
    );
}

#[tokio::test]
async fn message_about_a_stack_says_what_to_check() {
    let stack = TestStack::start().await;
    for (status, answer, words) in [
        (
            400,
            refusal("ValidationError", "Stack with id vault does not exist"),
            "there is no stack vault in us-east-1: check the name (--stack, STACK), the region (AWS_REGION)",
        ),
        (
            200,
            description(&[("BucketName", "b")]),
            "stack vault (CREATE_COMPLETE) has no output KeysTable: it comes from another template or version",
        ),
        (
            403,
            refusal(
                "AccessDenied",
                "User: u is not authorized to perform: cloudformation:DescribeStacks",
            ),
            "you may not describe stack vault, or its name is wrong: AWS gives the same answer. AWS_PROFILE must name a \
             user or role with the policy in the stack's output OperatorPolicy",
        ),
        (
            403,
            refusal(
                "ExpiredToken",
                "The security token included in the request is expired",
            ),
            "CloudFormation refused to describe stack vault: The security token included in the request is expired",
        ),
    ] {
        let result = stack
            .cli_in_aws("--stack vault teams list", status, answer)
            .await;
        assert_eq!((result.code, result.stdout.as_str()), (1, ""));
        let text = &result.stderr;
        assert!(text.starts_with(&format!("error: {words}")), "{text}");
        assert_eq!(text.lines().count(), 1);
        // The message contains AWS's own words once, and no Rust struct.
        assert!(
            !text.contains('{') && text.matches("DescribeStacks").count() < 2,
            "{text}"
        );
    }
    let nobody_listens = [("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:1")];
    let result = stack
        .cli_with("--stack vault teams list", &["KEYS_TABLE"], &nobody_listens)
        .await;
    assert_eq!((result.code, result.stdout.as_str()), (1, ""));
    assert!(
        result
            .stderr
            .starts_with("error: CloudFormation does not answer: "),
        "{result:?}"
    );
}

#[tokio::test]
async fn stack_and_table_cannot_both_be_named() {
    let stack = TestStack::start().await;
    for (line, env) in [
        ("--stack vault teams list", None),
        ("--stack vault teams list --keys-table keys", None),
        ("teams list", Some(("STACK", "vault"))),
    ] {
        let result = stack.cli_with(line, &[], env.as_slice()).await;
        assert_eq!((result.code, result.stdout.as_str()), (2, ""), "{line}");
        assert!(
            result.stderr.contains("but only one is allowed"),
            "{result:?}"
        );
    }
    let result = stack.cli_with("teams list", &[], &[("STACK", "")]).await;
    assert_eq!(result.code, 0, "{result:?}");
}
