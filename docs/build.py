"""Write ``docs/reference``: every public name with its signature and docstring, and every verb of the command line."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click

import tidewheel as tw
from tidewheel.cli import cli
from tidewheel.datasets.read import Datasets
from tidewheel.features.read import Features
from tidewheel.features.record_statistics import Statistics
from tidewheel.models.registry import Registry
from tidewheel.runs.record import Runs

REFERENCE = Path(__file__).parent / "reference"

WORKSPACE = {"features": Features, "datasets": Datasets, "statistics": Statistics, "registry": Registry, "runs": Runs}
"""Attributes of a workspace, ``ws = tw.open_workspace()``, whose methods are for everyone."""


def main() -> None:
    """Write both pages."""
    REFERENCE.mkdir(exist_ok=True)
    (REFERENCE / "api.md").write_text(api())
    (REFERENCE / "cli.md").write_text(command_line())


def api() -> str:
    """The page of public names."""
    parts = [
        "# Reference: `import tidewheel as tw`",
        "",
        "Made by `make docs` from the docstrings; `ws` is `tw.open_workspace()`.",
        "",
    ]
    for name in tw.__all__:
        value = getattr(tw, name)
        parts += [f"## tw.{name}", "", "```text", f"{name}{_signature(value)}", "```", ""]
        parts += ["```text", inspect.getdoc(value) or "", "```", ""]
    for attribute, home in WORKSPACE.items():
        for name, method in inspect.getmembers(home, inspect.isfunction):
            if not name.startswith("_"):
                parts += [f"## ws.{attribute}.{name}", "", "```text", f"{name}{_signature(method)}", "```", ""]
                parts += ["```text", inspect.getdoc(method) or "", "```", ""]
    return "\n".join(parts)


def _signature(value: object) -> str:
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    lines = [
        f"    {re.sub(r' at 0x[0-9a-f]+', '', str(parameter))},"
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return "(\n" + "\n".join(lines) + "\n)" if lines else "()"


def command_line() -> str:
    """The page of verbs."""
    parts = ["# Reference: the command line", "", "Made by `make docs` from the commands' own help.", ""]
    parts += ["Exit codes: 0 ok, 1 error, 2 differences, 3 a gate failed.", ""]
    for path, command in _commands(cli, ("tidewheel",)):
        context = click.Context(command, info_name=" ".join(path), max_content_width=100)
        parts += [f"## {' '.join(path)}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(parts)


def _commands(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            if not child.hidden:
                found += _commands(child, (*path, name))
    return found


if __name__ == "__main__":
    main()
