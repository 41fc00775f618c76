"""The `trimtab` command: one typer command per file of `commands/`."""

import typer

from trimtab_cli.commands.plan import plan
from trimtab_cli.commands.run import run
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


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
