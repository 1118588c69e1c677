"""Options that many verbs share, and how a verb opens its project."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from tidewheel.ledger.definition import NodeId
    from tidewheel.project.load import Project
    from tidewheel.project.open import Workspace

_ACCEPTED = "tidewheel.accept"
_GIVEN = "tidewheel.param"
_STRICT = "tidewheel.strict"
F = TypeVar("F", bound=Callable[..., object])


def project_options(function: F) -> F:
    """``--project``, ``--workspace`` and ``--json``."""
    function = click.option("--json", "as_json", is_flag=True, help="Answer as JSON on stdout.")(function)
    function = click.option("--workspace", "-w", default=None, help="Workspace of tidewheel.toml.  [default: local]")(function)
    return click.option(
        "--project",
        "folder",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=Path(),
        help="Folder of the project.  [default: here]",
    )(function)


def environment_argument(function: F) -> F:
    """The optional ENVIRONMENT argument."""
    return click.argument("environment", required=False)(function)


def accept_option(function: F) -> F:
    """``--accept NODE``, any number of times; :func:`accepted` tells which."""

    def keep(context: click.Context, _: click.Parameter, value: tuple[str, ...]) -> None:
        context.meta[_ACCEPTED] = value

    text = "NODE may break those that use it; the plan says whom.  [several]"
    return click.option("--accept", metavar="NODE", multiple=True, expose_value=False, callback=keep, help=text)(function)


def accepted() -> tuple[NodeId, ...]:
    """Nodes that were named by ``--accept``."""
    return tuple(click.get_current_context().meta.get(_ACCEPTED, ()))


def param_option(function: F) -> F:
    """``--param NAME=VALUE``, any number of times; :func:`given` tells them."""

    def keep(context: click.Context, _: click.Parameter, value: tuple[str, ...]) -> None:
        for text in value:
            if "=" not in text:
                raise click.BadParameter(f"{text!r} is not NAME=VALUE")
        context.meta[_GIVEN] = dict(text.split("=", 1) for text in value)

    text = "An argument of a pipeline, read as its annotation says.  [several]"
    return click.option("--param", metavar="NAME=VALUE", multiple=True, expose_value=False, callback=keep, help=text)(function)


def given() -> dict[str, str]:
    """Arguments that were given by ``--param``, by name."""
    return dict(click.get_current_context().meta.get(_GIVEN, {}))


def strict_option(function: F) -> F:
    """``--strict``; :func:`open_project` refuses then what cannot be followed."""

    def keep(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.meta[_STRICT] = value

    text = "Refuse code whose result depends on what cannot be followed: paths that C++ opens, clock, network, draws."
    return click.option("--strict", is_flag=True, expose_value=False, callback=keep, help=text)(function)


@contextmanager
def working(folder: Path, workspace: str | None, *, wanted: bool) -> Iterator[Callable[[], None]]:
    """Hand out a function that starts a worker, where one is wanted; the worker ends with the block."""
    from tidewheel.project.tether import helpers

    arguments = ["work", "--project", str(folder.absolute()), *(["-w", workspace] if workspace else [])]
    with helpers(arguments, count=1 if wanted else 0, quiet=False) as start:
        yield start


def open_project(folder: Path, workspace: str | None) -> tuple[Project, Workspace]:
    """Load the project and open its workspace; click closes the workspace when the verb ends.

    Under ``--strict`` a project is refused that uses what cannot be followed.
    """
    from tidewheel.project.check import refuse_untracked
    from tidewheel.project.load import find_root, load_project
    from tidewheel.project.open import open_workspace

    root = find_root(folder)
    project = load_project(root)
    opened = open_workspace(root, workspace)
    context = click.get_current_context()
    context.call_on_close(opened.close)
    if context.meta.get(_STRICT):
        refuse_untracked(project, opened.fingerprinter)
    return project, opened


def open_only(folder: Path, workspace: str | None) -> Workspace:
    """Open the workspace for a verb that needs no code of the project; click closes it when the verb ends."""
    from tidewheel.project.load import find_root
    from tidewheel.project.open import open_workspace

    opened = open_workspace(find_root(folder), workspace)
    click.get_current_context().call_on_close(opened.close)
    return opened


def emit(value: object) -> None:
    """A value as JSON on stdout."""
    click.echo(json.dumps(value, indent=2, default=str))
