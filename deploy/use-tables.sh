#!/usr/bin/env bash
# Lets a deployed stack use other tables. Its template, its code and its other parameters stay. Needs only the AWS CLI.
#
#     use-tables.sh STACK NAME=VALUE ...   the values that restore-table.sh prints
#
# The stack policy forbids CloudFormation to delete a table. For this update only, the script lets tables leave the stack.
# The tables that the stack used before stay in the account. An empty value is refused: with it, CloudFormation would
# create a new, empty table.
set -euo pipefail
export AWS_PAGER=''

[ $# -ge 2 ] || { sed -n 's/^#  *use-tables.sh /usage: use-tables.sh /p' "$0" >&2; exit 2; }
stack=$1
shift

parameters=() given=' '
for pair in "$@"; do
  [[ $pair == [A-Z]*Table*=?* ]] || {
    echo "$pair is not NAME=VALUE with a value, as restore-table.sh prints it" >&2
    exit 2
  }
  [[ $given != *" ${pair%%=*}="* ]] || { echo "${pair%%=*} is named twice" >&2; exit 2; }
  parameters+=("ParameterKey=${pair%%=*},ParameterValue=${pair#*=}")
  given+="$pair "
done
# CloudFormation would accept the stream of another table, and then nothing would read the new table's stream.
for table in Credentials Events; do
  [[ $given == *" ${table}TableName="* || $given == *" ${table}TableStreamArn="* ]] || continue
  name=${given#*" ${table}TableName="} name=${name%% *}
  [[ $given == *" ${table}TableStreamArn=arn:"*":table/$name/stream/"* ]] || {
    echo "set ${table}TableName and ${table}TableStreamArn together, with the stream of that table" >&2
    exit 2
  }
done
deployed=$(aws cloudformation describe-stacks --stack-name "$stack" \
  --query 'Stacks[0].Parameters[].ParameterKey' --output text)
for name in $deployed; do
  # With gradual deployment, the API calls versions of two functions. A version keeps its tables, and a new name of the update
  # makes new versions.
  if [ "$name" = UpdateName ]; then
    parameters+=("ParameterKey=UpdateName,ParameterValue=$(date -u +%Y%m%dT%H%M%SZ)")
    continue
  fi
  [[ $given == *" $name="* ]] || parameters+=("ParameterKey=$name,UsePreviousValue=true")
done

aws cloudformation update-stack --stack-name "$stack" --use-previous-template \
  --stack-policy-during-update-body "file://$(dirname "$0")/stack-policy-restore.json" \
  --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --parameters "${parameters[@]}" >/dev/null
echo "updating $stack" >&2
aws cloudformation wait stack-update-complete --stack-name "$stack"
cat >&2 <<END
$stack uses the tables. If another tool deploys the stack (samconfig.toml, Terraform, CDK), write the new values there before the
next deployment: an empty value would give the stack new, empty tables.
END
