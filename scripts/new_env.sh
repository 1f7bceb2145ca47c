#!/usr/bin/env bash
# Makes .env from .env.example with fresh keys, readable by its owner only: new_env.sh BACKUP_DIR [FILE]
# A file that is there is never written: with other keys, Airflow could not read its own connections any more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { echo "new_env: $*" >&2 && exit 2; }

[ "$#" -ge 1 ] && [ "$#" -le 2 ] || fail "usage: scripts/new_env.sh BACKUP_DIR [FILE]"
backups=$1
file=${2:-.env}
case $backups in
  *[!A-Za-z0-9/._-]*) fail "BACKUP_DIR may have letters, digits and /._- only: $backups" ;;
  /*) ;;
  *) fail "BACKUP_DIR is where backups go: a path that begins with /, not $backups" ;;
esac
[ ! -e "$file" ] || fail "$file is there already and stays as it is; to begin anew, move it away first"

hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
fernet() { head -c 32 /dev/urandom | base64 | tr '+/' '-_'; }

# Values reach awk by its environment: an argument could be read in the list of processes.
made=$(BACKUP_DIR=$backups FERNET_KEY=$(fernet) JWT_SECRET=$(hex 48) API_SECRET_KEY=$(hex 32) POSTGRES_PASSWORD=$(hex 24) \
  REDIS_PASSWORD=$(hex 24) ADMIN_PASSWORD=$(hex 12) \
  awk -F= '/^[A-Z_]+=$/ { print $1 "=" ENVIRON[$1]; next } { print }' .env.example)
umask 077
# noclobber: two at once cannot both write it.
set -o noclobber
printf '%s\n' "$made" >"$file" || fail "$file could not be written"
echo "new_env: $file is there; the first user is admin, its password is ADMIN_PASSWORD in it"
