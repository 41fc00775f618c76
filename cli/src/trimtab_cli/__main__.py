"""The `trimtab` command, also `kubectl trim`: one typer command per file of `commands/`."""

import typer

from trimtab_cli.commands.doctor import doctor
from trimtab_cli.commands.fetch import fetch
from trimtab_cli.commands.plan import plan
from trimtab_cli.commands.report import report
from trimtab_cli.commands.run import run
from trimtab_cli.commands.status import status
from trimtab_cli.commands.validate import validate

__all__ = ["app", "main"]

app = typer.Typer(
    name="trimtab",
    help="Search, train, prune, quantize, export and benchmark a model from one manifest.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(validate)
app.command()(plan)
app.command()(run)
app.command()(status)
app.command()(report)
app.command()(fetch)
app.command()(doctor)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
