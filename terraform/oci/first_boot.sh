#!/usr/bin/env bash
# Makes an Airflow with vmferry of a fresh Ubuntu instance, as docs/install.md says under "Packages and systemd", and a user
# for the function. cloud-init runs it once; it may be run again. Its log: /var/log/cloud-init-output.log
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# shellcheck source=/dev/null
. /etc/vmferry/first_boot.env
readonly TLS=/etc/vmferry/tls HOME_DIRECTORY=/var/lib/vmferry PREFIX=/opt/vmferry
PYTHON=$(command -v python3.12 || command -v python3)
ADDRESS=$(hostname -I | awk '{ print $1 }')
readonly ADDRESS
[ -n "$ADDRESS" ] || { echo "first_boot: this machine has no address; look at its network card" >&2 && exit 1; }

say() { echo "first_boot: $*"; }

install_all() {
  scripts/install_packages.sh scripts/packages.apt scripts/packages-build.apt
  apt-get -q -y install --no-install-recommends postgresql openssl
  [ -x "$PREFIX/venv/bin/airflow" ] || PYTHON=$PYTHON scripts/install_image.sh "$PREFIX"
  id vmferry >/dev/null 2>&1 \
    || useradd --system --uid 50000 --user-group --home-dir "$HOME_DIRECTORY" --shell /usr/sbin/nologin vmferry
  install -d -o root -g vmferry -m 0750 /etc/vmferry "$TLS"
  [ -f /etc/vmferry/variables.json ] \
    || install -m 0640 -o root -g vmferry variables.example.json /etc/vmferry/variables.json
  install -m 0644 deploy/systemd/*.service deploy/systemd/*.target /etc/systemd/system/
}

# An authority of this instance alone: its certificate is what airflow_ca_pem wants.
make_certificate() {
  [ ! -f "$TLS/server.pem" ] || return 0
  openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj "/CN=vmferry $ADDRESS" \
    -addext "subjectAltName=IP:$ADDRESS,DNS:$(hostname -f)" -keyout "$TLS/server.key" -out "$TLS/server.pem"
  chown root:vmferry "$TLS"/server.* && chmod 0640 "$TLS"/server.*
}

make_database() {
  local password=$1
  runuser -u postgres -- psql -qtAc "select 1 from pg_roles where rolname = 'airflow'" | grep -q 1 \
    || runuser -u postgres -- psql -q <<<"create role airflow login password '$password'"
  runuser -u postgres -- psql -qtAc "select 1 from pg_database where datname = 'airflow'" | grep -q 1 \
    || runuser -u postgres -- createdb --owner=airflow airflow
}

write_settings() {
  local database=$1
  umask 0027
  {
    cat deploy/systemd/vmferry.env.example
    echo "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgresql+psycopg2://airflow:$database@127.0.0.1/airflow"
    echo "AIRFLOW__CORE__FERNET_KEY=$(openssl rand -base64 32 | tr '+/' '-_')"
    echo "AIRFLOW__API_AUTH__JWT_SECRET=$(openssl rand -hex 48)"
    echo "AIRFLOW__API__SECRET_KEY=$(openssl rand -hex 48)"
    echo "AIRFLOW__API__HOST=0.0.0.0"
    echo "AIRFLOW__API__PORT=$PORT"
    echo "AIRFLOW__API__BASE_URL=https://$ADDRESS:$PORT"
    echo "AIRFLOW__CORE__EXECUTION_API_SERVER_URL=https://$ADDRESS:$PORT/execution/"
    echo "AIRFLOW__API__SSL_CERT=$TLS/server.pem"
    echo "AIRFLOW__API__SSL_KEY=$TLS/server.key"
    echo "SSL_CERT_FILE=$TLS/trusted.pem"
  } >/etc/vmferry/vmferry.env
  cat /etc/ssl/certs/ca-certificates.crt "$TLS/server.pem" >"$TLS/trusted.pem"
  chown root:vmferry /etc/vmferry/vmferry.env "$TLS/trusted.pem"
}

# From Vault, by the instance's own principal: neither Terraform nor its state file ever has it.
read_password() {
  "$PREFIX/venv/bin/python" - "$SECRET_OCID" <<'EOF'
import base64, sys
import oci

signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner()
bundle = oci.secrets.SecretsClient({}, signer=signer).get_secret_bundle(sys.argv[1]).data
print(base64.b64decode(bundle.secret_bundle_content.content).decode().strip())
EOF
}

as_vmferry() {
  systemd-run --quiet --wait --pipe --uid=vmferry --gid=vmferry -p EnvironmentFile=/etc/vmferry/vmferry.env \
    -p "Environment=AIRFLOW_HOME=$HOME_DIRECTORY" "$@"
}

# The password goes by standard input: what is in an argument can be read in the list of processes.
make_function_user() {
  local password
  password=$(read_password)
  as_vmferry "$PREFIX/venv/bin/python" "$PWD/terraform/oci/function_user.py" "$FUNCTION_USER" <<<"$password"
}

main() {
  install_all
  make_certificate
  if [ ! -f /etc/vmferry/vmferry.env ]; then
    local database
    database=$(openssl rand -hex 24)
    make_database "$database"
    write_settings "$database"
  fi
  systemctl daemon-reload
  systemctl enable --now vmferry-init.service vmferry.target
  make_function_user
  say "Airflow: https://$ADDRESS:$PORT; its certificate, for airflow_ca_pem: $TLS/server.pem"
}

main
