"""Airflow's own pages, as far as a person of ours uses them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from tests.e2e.ui.page import WIDTH, Page

LARGEST_BYTES = 300_000
_SCALE = 1.5


@dataclass(frozen=True, slots=True)
class Album:
    """Where pictures for the documents go; nowhere in an ordinary run of the tests."""

    directory: Path | None

    def keep(self, page: Page, name: str, *, height: int, css: str | None = None) -> None:
        """Make a picture of the window, or of one element."""
        if self.directory is None:
            return
        page.size(WIDTH, height, _SCALE)
        path = self.directory / f"{name}.png"
        page.shoot(path, css=css)
        page.size(WIDTH, 800)
        assert path.stat().st_size < LARGEST_BYTES, f"{path.name} is too large for a document"


def log_in(page: Page, user: str, password: str) -> None:
    """Fill the login form in."""
    page.go("/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.click("button", "Sign in")
    page.see("Admin", "nav, [role=navigation], body")


def begin_connection(page: Page, conn_id: str, kind: str) -> None:
    """Open the form for a new connection and choose its type."""
    page.go("/connections")
    page.click("button", "Add Connection")
    page.fill("[role=dialog] input[name=connection_id]", conn_id)
    page.click("[role=dialog] [role=combobox]")
    page.type(kind)
    page.click("[role=option]", kind)
    page.until("!!document.querySelector('[role=dialog] [name=login]')", "the fields of the type")


def labels_of(page: Page) -> set[str]:
    """Give the labels in the open dialog that can be read."""
    script = "[...document.querySelectorAll('[role=dialog] label')].filter(e => e.offsetParent).map(e => e.innerText)"
    return {str(one).replace("*", "").strip() for one in page.run(script) or ()}


def choose(page: Page, field: str, option: str) -> None:
    """Choose from a parameter's list."""
    page.click(f"[role=dialog] #element_{field}")
    page.click("[role=option]", option)


def open_trigger_form(page: Page, dag_id: str) -> None:
    """Go to a DAG and press its button."""
    page.go(f"/dags/{dag_id}")
    page.see(dag_id)
    page.click("[data-testid=trigger-dag-button]")
    page.see("Trigger Dag", "[role=dialog]")


def press_trigger(page: Page) -> str:
    """Start the run; Airflow then goes to its page. Gives its id."""
    page.click("[data-testid=trigger-dag-submit]")
    return unquote(str(page.until("location.pathname.split('/runs/')[1]", "the page of the run")).rstrip("/"))


def run_path(dag_id: str, run_id: str) -> str:
    """Give the address of a run."""
    return f"/dags/{dag_id}/runs/{quote(run_id, safe=':+')}"
