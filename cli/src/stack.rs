//! What a stack that was deployed says of itself.

use aws_config::SdkConfig;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::operation::describe_stacks::DescribeStacksError;
use aws_sdk_cloudformation::types::Output;

use crate::error::{Error, chain};

/// A stack's outputs.
#[derive(Debug)]
pub(crate) struct Outputs {
    stack: String,
    status: String,
    said: Vec<Output>,
}

impl Outputs {
    /// What the stack says under `key`.
    pub(crate) fn get(&self, key: &'static str) -> Result<String, Error> {
        let mut outputs = self.said.iter();
        outputs
            .find(|output| output.output_key() == Some(key))
            .and_then(|output| output.output_value().map(str::to_owned))
            .ok_or_else(|| Error::NoOutput {
                stack: self.stack.clone(),
                output: key,
                status: self.status.clone(),
            })
    }
}

/// Asks CloudFormation for a stack's outputs.
pub(crate) async fn outputs(
    config: &SdkConfig,
    name: &str,
    region: &str,
) -> Result<Outputs, Error> {
    let client = aws_sdk_cloudformation::Client::new(config);
    let described = client.describe_stacks().stack_name(name).send().await;
    let described = described.map_err(|error| failed(name, region, &error))?;
    let mut stacks = described.stacks.unwrap_or_default();
    let stack = stacks.pop().ok_or_else(|| Error::NoStack {
        stack: name.to_owned(),
        region: region.to_owned(),
    })?;
    Ok(Outputs {
        stack: name.to_owned(),
        status: stack
            .stack_status
            .map_or("of no status".to_owned(), |status| {
                status.as_str().to_owned()
            }),
        said: stack.outputs.unwrap_or_default(),
    })
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
