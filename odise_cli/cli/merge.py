import typer


def merge(ctx: typer.Context) -> None:
    """x"""
