# shellcheck shell=bash
# How our scripts install apt packages; setup.sh and install_packages.sh source it. They set CALLER, LOG (all that was
# printed) and LAST (what the last command printed).

say() { echo "$CALLER: $*" | tee -a "$LOG"; }

# Says what failed, after the end of what the last command printed.
die() {
  [ ! -s "$LAST" ] || tail -n 15 "$LAST" | sed 's/^/  | /' >&2
  echo "$CALLER: FAILED: $*" | tee -a "$LOG" >&2
  exit 1
}

# Quiet; the log has it all. Descriptor 9 is our lock: no service that apt starts may keep it.
run() {
  local result=0
  echo "+ $*" >>"$LOG"
  "$@" >"$LAST" 2>&1 9>&- </dev/null || result=$?
  cat "$LAST" >>"$LOG"
  return "$result"
}

# A mirror that is just being updated or a line that drops: the same again mostly works.
run_three_times() {
  local pause
  for pause in 5 10; do
    if run "$@"; then return; fi
    say "$(tail -n 1 "$LAST"); the same again in $pause s"
    sleep "$pause"
  done
  run "$@"
}

# sudo asks for the password here, where it can be seen, if it has to.
can_be_root() { [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || sudo -v; }; }; }

# Run level 1: where there is no systemd, a server that comes with a package is not started.
as_root() {
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo --preserve-env=DEBIAN_FRONTEND,RUNLEVEL "$@"; fi
}

# One name a line, and why.
listed_packages() { sed 's/#.*//' "$@" | awk 'NF { print $1 }'; }

missing_packages() {
  local name
  for name in "$@"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || echo "$name"
  done
}

apt_get() { run_three_times as_root apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@"; }

# One broken source of many is no reason to stop: the packages we need may come from another.
update_lists() { apt_get update || say "apt-get update failed; going on with the package lists there are"; }

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  can_be_root || die "neither root nor sudo; ask an admin for: apt-get install ${missing[*]}"
  say "apt packages: ${missing[*]}"
  update_lists
  apt_get install --no-install-recommends "${missing[@]}" || die "apt-get install ${missing[*]}; see $LOG"
}
