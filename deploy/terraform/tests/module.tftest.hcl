# `terraform test -var release=FOLDER` plans the module for a release, without AWS. tests/tools/release.py makes the
# release, and beside it the folder `damaged`: a copy in which one function and the template have changed.
mock_provider "aws" {}

variables {
  code_bucket  = "code-bucket"
  architecture = "x86_64"
}

run "the_stack_gets_the_template_and_every_parameter" {
  command = plan

  variables {
    log_retention_days = 365
  }

  assert {
    condition     = aws_cloudformation_stack.vault.parameters["LogRetentionDays"] == "365"
    error_message = "The stack does not get the value of log_retention_days."
  }
  assert {
    condition = (
      toset(keys(aws_cloudformation_stack.vault.parameters)) ==
      toset(keys(jsondecode(file("${var.release}/template.json")).Parameters))
    )
    error_message = "The stack does not get each parameter of the template. Run deploy/generate.py."
  }
  assert {
    condition     = length(aws_s3_object.code) == length(fileset("${var.release}/code", "**/*.zip"))
    error_message = "Terraform does not upload every function."
  }
}

run "a_changed_file_is_refused" {
  command = plan

  variables {
    release = "${var.release}/../damaged"
  }

  expect_failures = [aws_s3_object.code, aws_s3_object.template]
}

run "a_release_without_code_for_the_architecture_is_refused" {
  command = plan

  variables {
    architecture = "arm64"
  }

  expect_failures = [aws_cloudformation_stack.vault]
}

run "a_value_that_the_template_does_not_allow_is_refused" {
  command = plan

  variables {
    log_retention_days = 8
    web_acl            = "maybe"
    stack_name         = "a-name-with-more-than-thirty-characters"
  }

  expect_failures = [var.log_retention_days, var.web_acl, var.stack_name]
}
