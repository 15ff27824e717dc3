#!/usr/bin/env bash
# Installs the vault from this release in your AWS account, or upgrades it. Needs only the AWS CLI, and AWS credentials.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
  cat <<'END'
usage: ./deploy.sh [OPTION …]

  --stack NAME            the stack (default: zoom-credentials)
  --bucket NAME           the bucket for the code, in the stack's region. The default is NAME of the stack with the
                          account and the region. The script creates the bucket if it does not exist
  --parameter NAME=VALUE  a parameter of the template; may be repeated. Parameters that you do not name keep their value
  --gradual STEPS         moves requests for tokens to the new version step by step, now and in later runs:
                          Canary10Percent5Minutes, … "off" ends that. docs/upgrade.md lists the steps
  --team NAME             the first team of a new stack (default: main)
  --preview               show the changes, and deploy nothing
  --version               show the version of this release

The script finds AWS credentials and the region like the AWS CLI does (AWS_PROFILE, AWS_REGION, …).
It prints notes on standard error. For a new stack, it prints the first API key on standard output, once.
END
}

stack=zoom-credentials bucket='' gradual='' team=main preview='' parameters=()
while [ $# -gt 0 ]; do
  case $1 in
    --version) cat VERSION; exit ;;
    --help | -h) usage; exit ;;
    --preview) preview=yes; shift; continue ;;
    --stack | --bucket | --parameter | --gradual | --team) [ $# -gt 1 ] || { echo "deploy.sh: $1 needs a value" >&2; exit 2; } ;;
    *) echo "deploy.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  case $1 in
    --stack) stack=$2 ;;
    --bucket) bucket=$2 ;;
    --parameter) parameters+=("$2") ;;
    --gradual) gradual=$2 ;;
    --team) team=$2 ;;
  esac
  shift 2
done

say() { printf '== %s\n' "$*" >&2; }
fail() { printf 'deploy.sh: %s\n' "$*" >&2; exit 1; }
output() {
  aws cloudformation describe-stacks --stack-name "$stack" --output text --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue"
}

say 'checksums of the release'
if command -v sha256sum >/dev/null; then check=(sha256sum); else check=(shasum -a 256); fi
"${check[@]}" --check --quiet --strict SHA256SUMS >&2 || fail 'a file of this release is missing or damaged. Get the release again.'

command -v aws >/dev/null || fail 'the AWS CLI is missing. https://aws.amazon.com/cli/ says how to install it.'
region=${AWS_REGION:-$(aws configure get region || true)}
region=${region:-${AWS_DEFAULT_REGION:-}}
[ -n "$region" ] || fail 'no region is set. Set AWS_REGION.'
export AWS_REGION=$region AWS_DEFAULT_REGION=$region
account=$(aws sts get-caller-identity --query Account --output text) || fail 'AWS does not accept your credentials. See above.'
bucket=${bucket:-$stack-$account-$region}
say "release $(cat VERSION), stack $stack, account $account, region $region"

say "code: s3://$bucket"
# Whoever can replace the code can read every secret. So the bucket must be of this account, even if somebody else has taken
# its name. It is private, and keeps old versions.
ours=(--bucket "$bucket" --expected-bucket-owner "$account")
if ! aws s3api head-bucket "${ours[@]}" >/dev/null 2>&1; then
  place=(--create-bucket-configuration "LocationConstraint=$region")
  [ "$region" != us-east-1 ] || place=() # this region must not be named
  aws s3api create-bucket --bucket "$bucket" ${place[@]+"${place[@]}"} >/dev/null
fi
aws s3api put-public-access-block "${ours[@]}" --public-access-block-configuration \
  BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
aws s3api put-bucket-versioning "${ours[@]}" --versioning-configuration Status=Enabled
aws s3 sync code "s3://$bucket" --only-show-errors

template=template.json
[ -n "$gradual" ] || gradual=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
  --query "Stacks[0].Parameters[?ParameterKey=='GradualDeployment'].ParameterValue" 2>/dev/null || true)
case $gradual in
  '' | None | off) ;;
  # With an old name of the update, the functions would keep their old settings.
  *) template=template-gradual.json parameters+=("GradualDeployment=$gradual" "UpdateName=$(date -u +%Y%m%dT%H%M%SZ)") ;;
esac
say "stack, with $template: this takes some minutes"
change=(--no-fail-on-empty-changeset)
[ -z "$preview" ] || change+=(--no-execute-changeset)
aws cloudformation deploy --stack-name "$stack" --template-file "$template" --s3-bucket "$bucket" --s3-prefix templates \
  --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND "${change[@]}" \
  --parameter-overrides "CodeBucket=$bucket" ${parameters[@]+"${parameters[@]}"} >&2 ||
  fail "the deployment failed. \`aws cloudformation describe-stack-events --stack-name $stack\` says why."
[ -z "$preview" ] || exit 0
# CloudFormation then refuses an update that would replace or delete a table or a key.
aws cloudformation set-stack-policy --stack-name "$stack" --stack-policy-body file://stack-policy.json
aws cloudformation update-termination-protection --stack-name "$stack" --enable-termination-protection >/dev/null

url=$(output ApiUrl)
say "the API: $url"
vault=bin/$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m | sed s/aarch64/arm64/)/zoom-vault
if [ ! -x "$vault" ]; then
  say "this release has no zoom-vault for $(uname -sm). On Linux, run it there: zoom-vault --stack $stack teams create $team"
  exit 0
fi
export STACK=$stack
key=''
if [ -z "$("$vault" teams list)" ]; then
  say "the first team, $team, and its first key"
  "$vault" teams create "$team" >&2
  key=$("$vault" keys create --team "$team" --permission full --label 'the first key')
fi

say 'doctor'
"$vault" doctor >&2 || say 'doctor found problems. It says above how to solve each.'
if [ -n "$key" ]; then
  say "next: store this key, which is not shown again. Then open $url/console with it, and register your Zoom app."
  printf '%s\n' "$key"
fi
