//! Reads the outputs of the vault's CloudFormation stack.

use aws_config::SdkConfig;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudformation::operation::describe_stacks::DescribeStacksError;
use aws_sdk_cloudformation::types::Output;

use crate::error::{Error, chain};

#[derive(Debug)]
pub(crate) struct StackOutputs {
    stack: String,
    status: String,
    outputs: Vec<Output>,
}

impl StackOutputs {
    /// The value of the output `key`.
    pub(crate) fn get(&self, key: &'static str) -> Result<String, Error> {
        self.find(key).ok_or_else(|| Error::NoOutput {
            stack: self.stack.clone(),
            output: key,
            status: self.status.clone(),
        })
    }

    /// The value of the output `key`, if the stack has it.
    pub(crate) fn find(&self, key: &'static str) -> Option<String> {
        let mut outputs = self.outputs.iter();
        let output = outputs.find(|output| output.output_key() == Some(key))?;
        output.output_value().map(str::to_owned)
    }

    /// Asks CloudFormation for the outputs of the stack `name`.
    pub(crate) async fn read(config: &SdkConfig, name: &str, region: &str) -> Result<Self, Error> {
        let client = aws_sdk_cloudformation::Client::new(config);
        let described = client.describe_stacks().stack_name(name).send().await;
        let described = described.map_err(|error| describe_error(name, region, &error))?;
        let mut stacks = described.stacks.unwrap_or_default();
        let stack = stacks.pop().ok_or_else(|| Error::NoStack {
            stack: name.to_owned(),
            region: region.to_owned(),
        })?;
        Ok(Self {
            stack: name.to_owned(),
            status: stack
                .stack_status
                .map_or("unknown status".to_owned(), |status| {
                    status.as_str().to_owned()
                }),
            outputs: stack.outputs.unwrap_or_default(),
        })
    }
}

/// CloudFormation reports a missing stack as a `ValidationError`, as any other bad argument. Only the message tells.
fn describe_error(name: &str, region: &str, error: &SdkError<DescribeStacksError>) -> Error {
    let (stack, region) = (name.to_owned(), region.to_owned());
    let Some(refusal) = error.as_service_error() else {
        return Error::CloudFormationUnavailable(chain(error));
    };
    let reason = refusal.message().unwrap_or("no reason given").to_owned();
    match refusal.code() {
        Some("ValidationError") if reason.contains("does not exist") => {
            Error::NoStack { stack, region }
        }
        Some("AccessDenied" | "AccessDeniedException") => Error::StackDenied { stack, reason },
        _ => Error::StackRefused { stack, reason },
    }
}
