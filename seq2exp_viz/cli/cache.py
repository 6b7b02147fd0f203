"""Command that shows and clears what was read over the network: cache."""

from __future__ import annotations

from typing import Annotated

import typer


def cache(
    text: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="part of the addresses that are meant; by default all")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="remove what is shown; studies and runs stay")] = False,
) -> None:
    """Show what is kept of remote files, so that it is read once and works offline; --clear removes it."""
    from model_core.cache import parsed_tables, user_cache
    from model_core.datasets import hugging_face
    from model_core.remote import block_store, whole_files
    from model_core.remote.traffic import human

    wanted = text or ""
    blocks = [file for file in block_store.stored() if wanted in file.address]
    whole = [file for file in whole_files.kept_files() if wanted in file.address]
    models = [file for file in hugging_face.kept_files() if wanted in file.path]
    parsed = [] if wanted else parsed_tables()
    lines = [(f"{human(file.held)} of {human(file.size)}", file.address) for file in blocks]
    lines += [(human(file.path.stat().st_size), file.address) for file in whole]
    lines += [(human(file.size or 0), file.path) for file in models]
    for path in parsed:
        kind = "parsed peaks" if path.parent.name == "peaks" else "a parsed annotation"
        lines.append((human(path.stat().st_size), f"{kind}, {path.name}"))
    for size, what in lines:
        typer.echo(f"{size:>20}  {what}")
    held = sum(file.held for file in block_store.stored())
    typer.echo(f"{user_cache()}: blocks take {human(held)}, at most {human(block_store.limit())} (SEQ2EXP_CACHE_LIMIT)")
    if clear:
        freed = sum(block_store.remove_stored(file.address) for file in blocks)
        freed += sum(whole_files.remove_kept(file) for file in whole)
        freed += sum(hugging_face.remove_kept(file.path) for file in models)
        for path in parsed:
            freed += path.stat().st_size
            path.unlink(missing_ok=True)
        typer.echo(f"removed {human(freed)}")
