# Installs a release: `terraform apply -var release=/path/to/dist/0.2.0 -var code_bucket=BUCKET`.
terraform {
  required_version = ">= 1.5"
}

variable "release" {
  description = "The folder of a release."
  type        = string
}

variable "code_bucket" {
  description = "A private bucket in the region of the stack."
  type        = string
}

provider "aws" {
  region = "eu-central-1"
}

module "vault" {
  source = "../"

  release            = var.release
  code_bucket        = var.code_bucket
  architecture       = "x86_64"
  log_retention_days = 365
}

output "api_url" {
  description = "The base URL of the API."
  value       = module.vault.api_url
}
