#!/usr/bin/env bash
# What has to be done once, before Airflow's parts start: looks whether the directories can be used, makes or upgrades
# the database, and makes the first user. Run it as often as you like.
set -euo pipefail

readonly HOME_DIRECTORY=${AIRFLOW_HOME:-/opt/airflow}
wrong=0

complain() {
  echo "init: $*" >&2
  wrong=1
}

for name in backups certs logs rendered; do
  [ -w "$HOME_DIRECTORY/$name" ] || complain "$HOME_DIRECTORY/$name cannot be written by user $(id -u), group $(id -g); chown it to that user (docs/permissions.md)"
done
[ -r "$AIRFLOW__VMFERRY__POLICY_FILE" ] \
  || complain "there is no policy in $AIRFLOW__VMFERRY__POLICY_FILE; copy variables.example.json to variables.json there and edit it (docs/install.md)"
[ "$wrong" -eq 0 ] || exit 2

airflow db migrate
if [ -n "${ADMIN_PASSWORD:-}" ]; then
  # By standard input: what is in an argument can be read in the list of processes. An existing user is left alone, and
  # then nobody reads the password: no printf may be there to be ended by that.
  airflow users create --role Admin --username admin --firstname vmferry --lastname admin --email admin@localhost.invalid \
    <<<"$ADMIN_PASSWORD"$'\n'"$ADMIN_PASSWORD"
fi
echo "init: all is ready"
