"""One typer command per file."""
