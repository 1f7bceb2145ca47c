# SPDX-License-Identifier: Apache-2.0
"""``vmferry completion``: the shell's completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(
    epilog='\b\nExample:\n  eval "$(vmferry completion bash)"\n'
    "  vmferry completion fish > ~/.config/fish/completions/vmferry.fish"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.pass_context
def completion(context: click.Context, shell: str, as_json: bool) -> None:
    """Print the script that makes SHELL complete vmferry's commands and options."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    script = kind(context.find_root().command, {}, "vmferry", "_VMFERRY_COMPLETE").source()
    if as_json:
        import json

        script = json.dumps({"shell": shell, "script": script})
    click.echo(script)
