"""The instance that Terraform makes sets itself up: terraform/oci/first_boot.sh, run as root in a root of its own.

`scratch_root` says what of that is real, and what stands in for systemd, apt-get and Vault.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.deploy.scratch_root import ROOT, VAULT_PASSWORD

pytestmark = [pytest.mark.e2e, pytest.mark.root]
RIGHTS = """
select u.username, r.name, p.name, v.name from ab_user u
join ab_user_role ur on ur.user_id = u.id join ab_role r on r.id = ur.role_id
join ab_permission_view_role pr on pr.role_id = r.id join ab_permission_view pv on pv.id = pr.permission_view_id
join ab_permission p on p.id = pv.permission_id join ab_view_menu v on v.id = pv.view_menu_id order by 3
"""
LOOK = f"""
set -eu
terraform/oci/first_boot.sh >/var/log/first_boot 2>&1 || {{ tail -c 4000 /var/log/first_boot; exit 1; }}
echo "said: $(tail -n 1 /var/log/first_boot)"
echo "certificate: $(openssl x509 -in /etc/vmferry/tls/server.pem -noout -ext subjectAltName | tail -n 1)"
stat --format='%a %U:%G %n' /etc/vmferry/vmferry.env /etc/vmferry/tls/server.key /etc/vmferry/variables.json
runuser -u postgres -- psql -qtA -F' ' -c "{RIGHTS}" airflow | sed 's/^/right: /'
echo "asked for: $(cat /var/log/asked-for)"
sed 's/^/systemctl: /' /var/log/systemctl
if grep -rqF '{VAULT_PASSWORD}' /etc/vmferry /var/lib/vmferry /var/log/first_boot
then echo "the password lies about"; fi
if (set -a && . /etc/vmferry/vmferry.env && env) | grep -E '=[A-Z_]*(SECRET|KEY|PASSWORD)$' | cut -d= -f1 | grep .
then echo "not filled in"; fi
"""


@pytest.mark.timeout(1800)
def test_first_boot_makes_an_airflow_and_a_user_with_three_rights(tmp_path: Path) -> None:
    spaces = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child"]
    program = [sys.executable, "-m", "tests.e2e.deploy.scratch_root", str(tmp_path), "bash", "-c", LOOK]
    done = subprocess.run([*spaces, *program], capture_output=True, text=True, cwd=ROOT, timeout=1500, check=False)
    said = done.stdout
    assert done.returncode == 0, said + done.stderr[-3000:]
    assert "said: first_boot: Airflow: https://10.20.30.40:8443; its certificate" in said
    assert "IP Address:10.20.30.40" in said
    assert "640 root:vmferry /etc/vmferry/vmferry.env" in said
    assert "640 root:vmferry /etc/vmferry/tls/server.key" in said
    assert [line for line in said.splitlines() if line.startswith("right: ")] == [
        "right: oci-function vmferry-import can_create DAG Run:oci_disk_import",
        "right: oci-function vmferry-import can_edit DAG:oci_disk_import",
        "right: oci-function vmferry-import can_read DAG:oci_disk_import",
    ]
    assert "asked for: ocid1.vaultsecret.oc1..test" in said
    assert "systemctl: enable --now vmferry-init.service vmferry.target" in said
    assert "the password lies about" not in said
    assert "not filled in" not in said
