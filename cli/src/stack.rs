//! What a stack that was deployed says of itself.

use aws_config::SdkConfig;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::operation::describe_stacks::DescribeStacksError;
use aws_sdk_cloudformation::types::Stack;

use crate::Tables;
use crate::error::{Error, chain};

/// The names of tables of a stack, which the stack says in its outputs `named`.
pub(crate) async fn tables(
    config: &SdkConfig,
    name: &str,
    named: &'static [&'static str],
    region: &str,
) -> Result<Tables, Error> {
    let client = aws_sdk_cloudformation::Client::new(config);
    let described = client.describe_stacks().stack_name(name).send().await;
    let described = described.map_err(|error| failed(name, region, &error))?;
    let stack = described.stacks().first().ok_or_else(|| Error::NoStack {
        stack: name.to_owned(),
        region: region.to_owned(),
    })?;
    let table = |named: &&'static str| match output(stack, named) {
        Some(table) => Ok((*named, table.to_owned())),
        None => Err(Error::NoOutput {
            stack: name.to_owned(),
            output: named,
            status: stack
                .stack_status()
                .map_or("of no status", |status| status.as_str())
                .to_owned(),
        }),
    };
    named.iter().map(table).collect()
}

fn output<'a>(stack: &'a Stack, key: &str) -> Option<&'a str> {
    let mut outputs = stack.outputs().iter();
    outputs
        .find(|output| output.output_key() == Some(key))?
        .output_value()
}

/// CloudFormation has no error of its own for a stack that is not there: its code is that of any bad argument.
fn failed(name: &str, region: &str, error: &SdkError<DescribeStacksError>) -> Error {
    let (stack, region) = (name.to_owned(), region.to_owned());
    let Some(refused) = error.as_service_error() else {
        return Error::NoCloudFormation(chain(error));
    };
    let why = refused.message().unwrap_or("without a word").to_owned();
    match refused.code() {
        Some("ValidationError") if why.contains("does not exist") => {
            Error::NoStack { stack, region }
        }
        Some("AccessDenied" | "AccessDeniedException") => Error::StackDenied { stack, why },
        _ => Error::StackRefused { stack, why },
    }
}
