"""A server that has a folder's files as SEQ2EXP_MIRROR names them, HOST/PATH."""

from pathlib import Path

from range_server import RangeServer, serve_files


class Mirror(RangeServer):
    """The files below a folder."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = Path(folder)

    def found(self, target):
        path = self.folder / target.lstrip("/")
        return (path if path.is_file() else None), {}


def serve_mirror(folder: Path):
    """A context manager: the Mirror while its block runs."""
    return serve_files(Mirror(folder))
