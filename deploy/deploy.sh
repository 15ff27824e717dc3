#!/usr/bin/env bash
# Installs the vault from this release in your AWS account, or upgrades it. Needs only the AWS CLI, and AWS credentials.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
  cat <<'END'
usage: ./deploy.sh [OPTION …]

  --stack NAME            the stack (default: zoom-credentials)
  --bucket NAME           the bucket for the code, in the stack's region. Without it: the one of the last run, and for a
                          new stack one named after the stack, the account and the region. The script creates the
                          bucket if it does not exist
  --parameter NAME=VALUE  a parameter of the template; may be repeated. Parameters that you do not name keep their value
  --gradual STEPS         moves requests for tokens to the new version step by step, now and in later runs:
                          Canary10Percent5Minutes, … "off" ends that. docs/upgrade.md lists the steps
  --team NAME             the first team of a new stack (default: main)
  --role ARN              the role with which CloudFormation changes the stack, now and in later runs
  --preview               upload the code, show the changes of the stack, and make none
  --version               show the version of this release

The script finds AWS credentials and the region like the AWS CLI does (AWS_PROFILE, AWS_REGION, …).
It prints notes on standard error. For a new stack, it prints the first API key on standard output, once.
END
}

export AWS_PAGER=''
stack=zoom-credentials bucket='' gradual='' team=main role='' preview='' parameters=()
while [ $# -gt 0 ]; do
  case $1 in
    --version) cat VERSION; exit ;;
    --help | -h) usage; exit ;;
    --preview) preview=yes; shift; continue ;;
    --stack | --bucket | --parameter | --gradual | --team | --role) [ $# -gt 1 ] || { echo "deploy.sh: $1 needs a value" >&2; exit 2; } ;;
    *) echo "deploy.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  case $1 in
    --stack) stack=$2 ;;
    --bucket) bucket=$2 ;;
    --parameter) parameters+=("$2") ;;
    --gradual) gradual=$2 ;;
    --team) team=$2 ;;
    --role) role=$2 ;;
  esac
  shift 2
done

say() { printf '== %s\n' "$*" >&2; }
fail() { printf 'deploy.sh: %s\n' "$*" >&2; exit 1; }
# Prints a part of the stack's description.
of_stack() { aws cloudformation describe-stacks --stack-name "$stack" --output text --query "Stacks[0].$1"; }

[[ $stack =~ ^[a-z][a-z0-9-]{0,29}$ ]] ||
  fail "the name of a stack has at most 30 small letters, digits and hyphens: it is also a part of the bucket's name."
say 'checksums of the release'
if command -v sha256sum >/dev/null; then check=(sha256sum); else check=(shasum -a 256); fi
"${check[@]}" --check --quiet --strict SHA256SUMS >&2 || fail 'a file of this release is missing or damaged. Get the release again.'
[ "$(find code ! -type d | sort)" = "$(sed -n 's/^[0-9a-f]*  \(code\/.*\)$/\1/p' SHA256SUMS | sort)" ] ||
  fail 'the folder code has a file that SHA256SUMS does not name. Get the release again.'
for parameter in ${parameters[@]+"${parameters[@]}"}; do
  name=${parameter%%=*}
  case $parameter in
    *Table*=) fail "$name must not be empty: the stack would get a new, empty table." ;;
    *=*) ;;
    *) fail "--parameter $parameter is not NAME=VALUE." ;;
  esac
  [ -n "$(sed -n "/^ \"Parameters\"/,/^ }/s/^  \"$name\": {$/found/p" template.json template-gradual.json)" ] ||
    fail "the template has no parameter $name."
done

command -v aws >/dev/null || fail 'the AWS CLI is missing. https://aws.amazon.com/cli/ says how to install it.'
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
[ -n "$region" ] || fail 'no region is set. Set AWS_REGION.'
export AWS_REGION=$region AWS_DEFAULT_REGION=$region
account=$(aws sts get-caller-identity --query Account --output text) || fail 'AWS does not accept your credentials. See above.'

# Only this answer means that there is no stack: after any other error, nothing is known.
if ! status=$(of_stack StackStatus 2>&1); then
  case $status in
    *'does not exist'*) status='' ;;
    *) fail "CloudFormation does not describe the stack: $status" ;;
  esac
fi
case $status in
  ROLLBACK_COMPLETE | ROLLBACK_FAILED | DELETE_FAILED)
    fail "the first deployment of $stack failed ($status). Solve the reason that the stack's events name, delete the stack
(aws cloudformation delete-stack --stack-name $stack), and run this script again. Only empty tables stay behind." ;;
  '' | REVIEW_IN_PROGRESS) is_new=yes ;;
  *) is_new='' ;;
esac
value_of() { [ -n "$is_new" ] || of_stack "Parameters[?ParameterKey=='$1'].ParameterValue"; }
[ -n "$bucket" ] || bucket=$(value_of CodeBucket)
bucket=${bucket:-$stack-$account-$region}
say "release $(cat VERSION), stack $stack, account $account, region $region"

say "code: s3://$bucket"
# Whoever can replace the code can read every secret. So the bucket must be of this account, even if somebody else has taken
# its name. It is private, and keeps old versions. Every file is written again, whatever is there.
ours=(--bucket "$bucket" --expected-bucket-owner "$account")
if ! aws s3api head-bucket "${ours[@]}" >/dev/null 2>&1; then
  place=(--create-bucket-configuration "LocationConstraint=$region")
  [ "$region" != us-east-1 ] || place=() # this region must not be named
  aws s3api create-bucket --bucket "$bucket" ${place[@]+"${place[@]}"} >/dev/null
fi
aws s3api put-public-access-block "${ours[@]}" --public-access-block-configuration \
  BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
aws s3api put-bucket-versioning "${ours[@]}" --versioning-configuration Status=Enabled
aws s3 cp code "s3://$bucket" --recursive --only-show-errors

template=template.json
[ -n "$gradual" ] || gradual=$(value_of GradualDeployment)
case $gradual in
  '' | None | off) ;;
  # With an old name of the update, the functions would keep their old settings.
  *) template=template-gradual.json parameters+=("GradualDeployment=$gradual" "UpdateName=$(date -u +%Y%m%dT%H%M%SZ)") ;;
esac
change=(--no-fail-on-empty-changeset)
[ -z "$role" ] || change+=(--role-arn "$role")
[ -z "$preview" ] || change+=(--no-execute-changeset)
deploy() {
  aws cloudformation deploy --stack-name "$stack" --template-file "$template" --s3-bucket "$bucket" --s3-prefix templates \
    --force-upload --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND "${change[@]}" \
    --parameter-overrides "CodeBucket=$bucket" ${parameters[@]+"${parameters[@]}"} ||
    fail "the deployment failed: read the error above. If CloudFormation had begun, the stack's events say why:
aws cloudformation describe-stack-events --stack-name $stack"
}
if [ -n "$preview" ]; then
  say "changes of the stack, with $template"
  prepared=$(deploy | sed -n 's/.*--change-set-name \([^ ]*\).*/\1/p')
  if [ -n "$prepared" ]; then
    aws cloudformation describe-change-set --change-set-name "$prepared" --output text \
      --query 'Changes[].ResourceChange.[Action, LogicalResourceId, ResourceType, Replacement]' >&2
    aws cloudformation delete-change-set --change-set-name "$prepared"
    # The change set has made an empty stack, which waits for it.
    [ -z "$is_new" ] || aws cloudformation delete-stack --stack-name "$stack"
  else
    say 'no changes'
  fi
  exit 0
fi
say "stack, with $template: this takes some minutes"
deploy >&2
# CloudFormation then refuses an update that would replace or delete a table or a key.
aws cloudformation set-stack-policy --stack-name "$stack" --stack-policy-body file://stack-policy.json
aws cloudformation update-termination-protection --stack-name "$stack" --enable-termination-protection >/dev/null

url=$(of_stack "Outputs[?OutputKey=='ApiUrl'].OutputValue")
say "the API: $url"
vault=bin/$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m | sed s/aarch64/arm64/)/zoom-vault
if [ ! -x "$vault" ]; then
  say "this release has no zoom-vault for $(uname -sm), so there is no key yet. On a machine with Linux on x86-64, in the folder of
this release, run:
  export STACK=$stack PATH=\$PWD/bin/linux-x86_64:\$PATH
  zoom-vault teams create $team
  zoom-vault keys create --team $team --permission full"
  [ -z "$is_new" ] || exit 1
  exit 0
fi
export STACK=$stack
# A team without a key is left from a run that stopped here.
teams=$("$vault" teams list 2>/dev/null) || fail 'the teams cannot be listed: run the script again, with rights to read the tables.'
if [ -z "$teams" ]; then
  say "the first team, $team"
  "$vault" teams create "$team" >&2
  keys=''
else
  keys=$("$vault" keys list --team "$team" 2>/dev/null) || keys=unknown # there are teams, and none has this name
fi
if [ -z "$keys" ]; then
  say "the first key of team $team: store it, because it is not shown again"
  "$vault" keys create --team "$team" --permission full --label 'the first key'
  say "next: open $url/console with the key, and register your Zoom app."
fi
say 'doctor'
"$vault" doctor >&2 || say 'doctor found problems. It says above how to solve each.'
