"""The command line: parse, call, render. Data goes to stdout, everything else to stderr.

Exit codes: 0 ok, 1 error, 2 differences (``plan``, ``diff``, ``check``), 3 a gate failed.
"""

from __future__ import annotations

import json
import sys

import click

from tidewheel.cli.attend import backfill, schedules, trigger, work_
from tidewheel.cli.explain import explain
from tidewheel.cli.inspect import check, diff, repro, search, show, why
from tidewheel.cli.logs import logs
from tidewheel.cli.release import promote, rollback
from tidewheel.cli.serve import consume, dev, exec_, quarantine, serve
from tidewheel.cli.work import admin, apply, cancel, init, plan, run
from tidewheel.errors import GateFailed, TidewheelError

__all__ = ["cli", "main"]

OK, ERROR, DIFFERENCES, GATE_FAILED = 0, 1, 2, 3


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the version and the form of the kernel: installed without a C compiler it is interpreted: the same bits, slowly."""
    if not asked:
        return
    from importlib.metadata import version

    from tidewheel.features.kernel import COMPILED

    form = "compiled" if COMPILED else "interpreted and slow: install a C compiler, then tidewheel again"
    click.echo(f"tidewheel {version('tidewheel')} (kernel {form})")
    context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def cli() -> None:
    """Features, training sets, models, serving, monitoring and releases as one graph.

    Start with: tidewheel init NAME, then plan, apply, serve. Every verb takes --json; every verb that changes something shows
    first what it will do.
    """


for _command in (
    *(init, check, plan, apply, run, cancel, dev, serve, consume, quarantine, show, logs, search, diff, why, explain),
    *(work_, trigger, schedules, backfill, promote, rollback, repro, admin, exec_),
):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; errors are told with what, where and the next thing to do, never as a stack of frames."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(args=given, prog_name="tidewheel", standalone_mode=False)
    except TidewheelError as error:
        _tell(error, as_json="--json" in given)
        sys.exit(GATE_FAILED if isinstance(error, GateFailed) else ERROR)
    except click.ClickException as error:
        error.show()
        sys.exit(ERROR)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(ERROR)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(ERROR)
    sys.exit(code if isinstance(code, int) else OK)


def _tell(error: TidewheelError, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(error.as_dict()))
        return
    click.secho(f"error: {error.what}", fg="red", err=True)
    if error.where is not None:
        click.echo(f"   at: {error.where}", err=True)
    if error.fix is not None:
        click.echo(f"  fix: {error.fix}", err=True)
