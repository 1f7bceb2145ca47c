"""A process that backs up or restores a VM, and that a test kills: ``python -m tests.integration.ovirt.victim``.

What to do comes as one JSON line on standard input.
"""

import json
import sys
from pathlib import Path
from typing import Any

from vmferry import operations
from vmferry.platforms.ovirt import OvirtSettings, OvirtSite
from vmferry.platforms.runs import RunId
from vmferry.policy.vm import RestoreRule, VmPolicy
from vmferry.vault import open_vault


def main() -> None:
    """Do it."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    vault, run = open_vault(order["vault"]), RunId(order["run"])
    with OvirtSite(OvirtSettings(**order["settings"])) as site:
        if order["what"] == "backup":
            done = operations.back_up_vm(site, vault, VmPolicy.from_json(order["policy"]), run)
        else:
            rule = RestoreRule(**order["rule"])
            done = operations.restore_vm(site, vault, order["vm"], rule, run, job_dir=Path(order["job_dir"]))
    print(json.dumps(done))


if __name__ == "__main__":
    main()
