"""The check of Dockerfile, docker-compose.yaml and .env.example finds what is planted in them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripts.check_deployment import check_tree

ROOT = Path(__file__).resolve().parents[3]
FILES = (
    "Dockerfile",
    ".dockerignore",
    "docker-compose.yaml",
    ".env.example",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "NOTICE",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What the checkout has, as far as the check looks at it."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("provider", "dags", "dag_templates", "deploy/image", "scripts", "requirements"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_is_shipped_has_no_fault(tree: Path) -> None:
    assert check_tree(tree) == []


ASK = ":?run scripts/new_env.sh}"
PLANTED = {
    "latest database": ("docker-compose.yaml", "postgres:16.10-bookworm", "postgres:latest", "postgres: image"),
    "no tag": ("docker-compose.yaml", "image: redis:7.2.11-bookworm", "image: redis", "redis: image"),
    "root": ("docker-compose.yaml", "user: ${AIRFLOW_UID:-50000}:0", 'user: "0:0"', "runs as root"),
    "root by default": ("docker-compose.yaml", "    user: redis\n", "", "redis: runs as root"),
    "no health check": ("docker-compose.yaml", "test: [CMD, healthy.sh, triggerer]", "retries: 3", "triggerer: has no"),
    "disabled for good": ("docker-compose.yaml", "restart: on-failure:3", "restart: always", "has no health check"),
    "no restart": ("docker-compose.yaml", "  restart: unless-stopped\n", "", "postgres: has no restart policy"),
    "capabilities": ("docker-compose.yaml", "  cap_drop: [ALL]\n", "", "redis: has not given up"),
    "privileged": ("docker-compose.yaml", "    user: redis\n", "    user: redis\n    privileged: true\n", "privileged"),
    "unknown variable": ("docker-compose.yaml", "${AIRFLOW_PORT:-8080}", "${UI_PORT:-8080}", "${UI_PORT} is not in"),
    "other default": ("docker-compose.yaml", "${AIRFLOW_PORT:-8080}", "${AIRFLOW_PORT:-8888}", "AIRFLOW_PORT has not"),
    "no default": ("docker-compose.yaml", "${AIRFLOW_PORT:-8080}", "${AIRFLOW_PORT}", "AIRFLOW_PORT} has neither"),
    "no advice": ("docker-compose.yaml", "${FERNET_KEY" + ASK, "${FERNET_KEY:?}", "does not say what"),
    "secret with default": (
        "docker-compose.yaml", "${JWT_SECRET" + ASK, "${JWT_SECRET:-secret}", "the secret ${JWT_SECRET}",
    ),
    "plain secret": (
        "docker-compose.yaml", "${API_SECRET_KEY:?run scripts/new_env.sh}", "0123456789", "SECRET_KEY has a secret",
    ),
    "plain login": (
        "docker-compose.yaml", "${REDIS_PASSWORD" + ASK, "x1y2", "BROKER_URL has a",
    ),
    "secret in a command": (
        "docker-compose.yaml", "command: [triggerer]", 'command: [it, "${JWT_SECRET:?run it}"]', "list of processes",
    ),
    "example with a secret": (".env.example", "REDIS_PASSWORD=", "REDIS_PASSWORD=redis", "REDIS_PASSWORD has to be"),
    "unused example": (".env.example", "#BEHIND_PROXY=False", "#BEHIND_PROXY=False\n#FLOWER=1", "FLOWER is not used"),
    "base image": ("Dockerfile", "airflow:slim-3.3.2-python3.11", "airflow:latest", "apache/airflow:latest has no"),
    "image of root": ("Dockerfile", "USER 50000:0\n", "", "the last USER is root"),
    "image of another group": ("Dockerfile", "USER 50000:0", "USER 50000:50000", "the last USER is 50000:50000"),
    "missing source": ("Dockerfile", "COPY dags dags", "COPY dagz dags", "dagz is not in the tree"),
    "ignored source": (".dockerignore", "!dags\n", "", "dags is left out"),
    "own install": ("Dockerfile", "RUN scripts/install_image.sh", "RUN pip install -q x && true", "installs by itself"),
    "secret in the image": ("Dockerfile", "ENV VIRTUAL_ENV", "ENV FERNET_KEY=abc VIRTUAL_ENV", "stays in the image"),
    "fetched": ("Dockerfile", "COPY dags dags", "ADD dags dags", "COPY does what it says"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "said"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_found(tree: Path, name: str, old: str, new: str, said: str) -> None:
    change(tree / name, old, new)

    found = check_tree(tree)

    assert [fault for fault in found if said in fault], found


@pytest.mark.parametrize(
    ("old", "new"),
    [("restart: unless-stopped", "restarts: unless-stopped"), ("interval: 30s", "interval: {often: true}")],
    ids=["unknown key", "wrong type"],
)
def test_the_schema_finds_what_is_no_compose_file(tree: Path, old: str, new: str) -> None:
    change(tree / "docker-compose.yaml", old, new)
    program = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

    done = subprocess.run([*program, str(tree / "docker-compose.yaml")], capture_output=True, text=True)

    assert done.returncode == 1
    assert "docker-compose.yaml" in done.stdout


def new_env(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ROOT / "scripts/new_env.sh"), *arguments], capture_output=True, text=True)


def settings(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_a_new_env_has_all_that_is_asked_for_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    for path in (first, second):
        assert new_env("/srv/backups", str(path)).returncode == 0

    made = settings(first)
    assert made["BACKUP_DIR"] == "/srv/backups"
    assert set(made) == set(settings(ROOT / ".env.example"))
    assert [name for name, value in made.items() if len(value) < 12] == []
    assert first.stat().st_mode & 0o777 == 0o600
    same = {name for name in made if made[name] == settings(second)[name]}
    assert same == {"BACKUP_DIR"}


def test_an_env_that_is_there_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("FERNET_KEY=mine\n")

    done = new_env("/srv/backups", str(path))

    assert done.returncode == 2
    assert "is there already and stays as it is" in done.stderr
    assert path.read_text() == "FERNET_KEY=mine\n"


@pytest.mark.parametrize("backups", ["backups", "/srv/my backups", "/srv/$HOME"])
def test_a_wrong_backup_directory_makes_no_env(tmp_path: Path, backups: str) -> None:
    done = new_env(backups, str(tmp_path / ".env"))

    assert done.returncode == 2
    assert "BACKUP_DIR" in done.stderr
    assert list(tmp_path.iterdir()) == []
