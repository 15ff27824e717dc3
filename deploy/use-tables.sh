#!/usr/bin/env bash
# Lets a deployed stack use other tables. Its template, its code and its other parameters stay. Needs only the AWS CLI.
#
#     deploy/use-tables.sh STACK NAME=VALUE ...   the values that deploy/restore-table.sh prints
#
# The tables that the stack used before stay in the account. An empty value is refused: with it, CloudFormation would
# create a new, empty table.
set -euo pipefail
export AWS_PAGER=''

[ $# -ge 2 ] || { sed -n 's/^#  *\(deploy.*\)/\1/p' "$0" >&2; exit 2; }
stack=$1
shift

parameters=() given=' '
for pair in "$@"; do
  [[ $pair == [A-Z]*Table*=?* ]] || {
    echo "$pair is not NAME=VALUE with a value, as deploy/restore-table.sh prints it" >&2
    exit 2
  }
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
  [[ $given == *" $name="* ]] || parameters+=("ParameterKey=$name,UsePreviousValue=true")
done

aws cloudformation update-stack --stack-name "$stack" --use-previous-template \
  --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --parameters "${parameters[@]}" >/dev/null
echo "updating $stack" >&2
aws cloudformation wait stack-update-complete --stack-name "$stack"
cat >&2 <<END
$stack uses the tables. If samconfig.toml has these parameters, write the new values there before the next deployment: an
empty value would give the stack new, empty tables.
END
