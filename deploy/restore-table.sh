#!/usr/bin/env bash
# Restores one table of a stack into a new table, with all settings that template.yaml gives the table. Prints the
# parameters with which the stack uses the new table. Changes nothing in the stack. Needs only the AWS CLI.
#
#     restore-table.sh STACK TABLE TIME     TIME is in UTC, for example 2026-11-30T07:15:00Z
#     restore-table.sh STACK TABLE BACKUP   the ARN of a backup, for example of a deleted table
#
# TABLE is credentials, pairs, secrets, keys, requests, token-urls or events. The name of the new table follows from the
# arguments. So if the script stops early, run it again with the same arguments: it goes on where it stopped.
# docs/disaster.md says which tables to restore together, and what to do next.
set -euo pipefail
export AWS_PAGER=''

usage() {
  [ -z "${1:-}" ] || echo "restore-table.sh: $1" >&2
  sed -n 's/^#  *restore-table.sh /usage: restore-table.sh /p' "$0" >&2
  exit 2
}
say() { printf '%s: %s\n' "$table" "$1" >&2; }

[ $# = 3 ] || usage
stack=$1 table=$2 from=$3

# A test compares these settings with template.yaml.
case $table in
  credentials) output=CredentialsTable ttl=purge_at stream=NEW_AND_OLD_IMAGES ;;
  pairs) output=PairsTable ttl=expires_at stream='' ;;
  secrets) output=SecretsTable ttl=purge_at stream='' ;;
  keys) output=KeysTable ttl='' stream='' ;;
  requests) output=RequestsTable ttl=expires_at stream='' ;;
  token-urls) output=TokenUrlsTable ttl=purge_at stream='' ;;
  events) output=EventsTable ttl=purge_at stream=NEW_IMAGE ;;
  *) usage "there is no table $table" ;;
esac

# The name starts with the name of the stack: the alarm `PowersChanged` and the dashboard find the table by it.
case $from in
  [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z) name=$stack-$table-${from//[-:]/} ;;
  arn:*/backup/*) name=$stack-$table-${from##*/} ;;
  *) usage "$from is neither a time such as 2026-11-30T07:15:00Z nor the ARN of a backup" ;;
esac

# Sets `status`, `streams`, `protected`, `arn` and `stream_arn` of the new table. Fails if there is no table.
look() {
  local fields='TableStatus, StreamSpecification.StreamEnabled, DeletionProtectionEnabled, TableArn, LatestStreamArn'
  read -r status streams protected arn stream_arn < <(aws dynamodb describe-table --table-name "$name" \
    --query "Table.[$fields]" --output text 2>"$errors")
}

# Waits until the table can be used. A restore takes minutes, or hours for a large table.
wait_until_active() {
  until look && [ "$status" = ACTIVE ]; do
    [ ! -s "$errors" ] || { cat "$errors" >&2; exit 1; }
    say "$name is $status, waiting"
    sleep 15
  done
}

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

stack_says() { aws cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].$1" --output "$2"; }

if look; then
  say "$name exists, going on with its settings"
else
  grep -q ResourceNotFoundException "$errors" || { cat "$errors" >&2; exit 1; }
  read -r key source_table < <(stack_says \
    "Outputs.[[?OutputKey=='AtRestKeyArn'].OutputValue, [?OutputKey=='$output'].OutputValue][]|[join(' ', @)]" text)
  new=(--target-table-name "$name" --billing-mode-override PAY_PER_REQUEST
    --sse-specification-override "Enabled=true,SSEType=KMS,KMSMasterKeyId=$key")
  if [[ $from == arn:* ]]; then
    say "restoring the backup into $name"
    aws dynamodb restore-table-from-backup --backup-arn "$from" "${new[@]}" >/dev/null
  else
    say "restoring $source_table at $from into $name"
    aws dynamodb restore-table-to-point-in-time --source-table-name "$source_table" --restore-date-time "$from" \
      "${new[@]}" >/dev/null
  fi
fi
wait_until_active

# The stream comes before TTL, so that the function purge sees every row that TTL removes.
if [ -n "$stream" ] && [ "$streams" != True ]; then
  say 'switching on the stream'
  aws dynamodb update-table --table-name "$name" \
    --stream-specification "StreamEnabled=true,StreamViewType=$stream" >/dev/null
  wait_until_active
fi

if [ "$protected" != True ]; then
  say 'switching on deletion protection'
  aws dynamodb update-table --table-name "$name" --deletion-protection-enabled >/dev/null
  wait_until_active
fi

if [ -n "$ttl" ]; then
  has_ttl=$(aws dynamodb describe-time-to-live --table-name "$name" \
    --query TimeToLiveDescription.TimeToLiveStatus --output text)
  if [[ $has_ttl != ENABL* ]]; then
    say 'switching on TTL'
    aws dynamodb update-time-to-live --table-name "$name" \
      --time-to-live-specification "Enabled=true,AttributeName=$ttl" >/dev/null
  fi
fi

say 'switching on point-in-time recovery'
aws dynamodb update-continuous-backups --table-name "$name" \
  --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true >/dev/null

# CloudFormation gives the tags of the stack to its own tables.
tags=$(stack_says 'Tags || `[]`' json)
if [ "${tags//[[:space:]]/}" != '[]' ]; then
  say 'adding the tags of the stack'
  aws dynamodb tag-resource --resource-arn "$arn" --tags "$tags"
fi

say "$name is ready"
echo "${output}Name=$name"
[ -z "$stream" ] || echo "${output}StreamArn=$stream_arn"
