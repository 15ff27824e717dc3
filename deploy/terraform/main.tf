# Uploads the code and the template of a release to a bucket, and creates the stack from them.
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "release" {
  description = "The folder of a release, with the files template.json, SHA256SUMS and stack-policy.json."
  type        = string
  nullable    = false
}

variable "stack_name" {
  description = "The name of the stack. The names of functions, roles and tables begin with it."
  type        = string
  nullable    = false
  default     = "zoom-credentials"
  validation {
    # CloudFormation shortens longer names in the names of resources. Then the rule PowerChanges may not match.
    condition     = can(regex("^[a-zA-Z][a-zA-Z0-9-]{0,29}$", var.stack_name))
    error_message = "stack_name must have at most 30 letters, digits and hyphens, and must begin with a letter."
  }
}

variable "deployment_role_arn" {
  description = "The ARN of the role that CloudFormation assumes, such as the output DeployerRole of deploy/ci-cd."
  type        = string
  default     = null
}

locals {
  template = "${var.release}/template.json"
  # `code` has the same folders as the bucket.
  code = fileset("${var.release}/code", "*/*/${var.architecture}/*.zip")
  checksums = {
    for line in split("\n", trimspace(file("${var.release}/SHA256SUMS"))) :
    split("  ", line)[1] => split("  ", line)[0]
  }
}

data "aws_s3_bucket" "code" {
  bucket = var.code_bucket
}

resource "aws_s3_object" "code" {
  for_each = local.code

  bucket             = data.aws_s3_bucket.code.id
  key                = each.value
  source             = "${var.release}/code/${each.value}"
  source_hash        = lookup(local.checksums, "code/${each.value}", null)
  checksum_algorithm = "SHA256"

  lifecycle {
    # If the update of the stack fails, CloudFormation needs the code of the previous release to go back.
    create_before_destroy = true
    precondition {
      condition = (
        filesha256("${var.release}/code/${each.value}") == lookup(local.checksums, "code/${each.value}", null)
      )
      error_message = "The file code/${each.value} is not the one in SHA256SUMS. Get the release again."
    }
  }
}

# The template has more than 51,200 bytes, so CloudFormation must read it from a bucket.
resource "aws_s3_object" "template" {
  bucket = data.aws_s3_bucket.code.id
  # Another template needs another name. Without it, Terraform would see no change of the stack.
  key                = "zoom-credentials/templates/${filesha256(local.template)}.json"
  source             = local.template
  checksum_algorithm = "SHA256"

  lifecycle {
    create_before_destroy = true
    precondition {
      condition     = filesha256(local.template) == lookup(local.checksums, "template.json", null)
      error_message = "The file template.json is not the one in SHA256SUMS. Get the release again."
    }
  }
}

resource "aws_cloudformation_stack" "vault" {
  name         = var.stack_name
  template_url = "https://${data.aws_s3_bucket.code.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  parameters   = local.parameters
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  iam_role_arn = var.deployment_role_arn
  policy_body  = file("${var.release}/stack-policy.json")
  depends_on   = [aws_s3_object.code]

  lifecycle {
    # A deleted stack leaves its tables and keys behind, and no other stack can use them.
    prevent_destroy = true
    precondition {
      condition     = length(local.code) > 0
      error_message = "The release has no code for ${var.architecture}. Choose the other architecture."
    }
  }
}
