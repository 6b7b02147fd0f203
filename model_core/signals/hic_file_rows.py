"""Contacts of a .hic at an address, read row by row over ranges of bytes; no map of it is made."""

from __future__ import annotations

import numpy as np

from model_core.remote.address import RemotePath
from model_core.remote.hic_file import HicFile
from model_core.signals.cooler_rows import require_normalisation, require_resolution


class HicFileRows:
    """Normalised contacts of a .hic at an address, at one resolution.

    It answers as `CoolerRows` does, and can be pickled and read in any process and thread.

    Parameters
    ----------
    path : RemotePath
        The .hic.
    resolution : int
        bp per bin; the file must hold it.
    normalisation : str
        As the file names it, or "NONE".
    """

    def __init__(self, path: RemotePath, resolution: int, normalisation: str):
        self.path, self.resolution, self.normalisation = path, resolution, normalisation
        self._read: HicFile | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Length in bp of each chromosome.

        Raises
        ------
        InputError
            The file cannot be reached or read, or has no such resolution or normalisation.
        """
        return self._file.header.sizes

    def within(self, distance: int) -> HicFileRows:
        """Return this object, which serves contacts at any distance (`distance` is in bp)."""
        return self

    def row(self, chrom: str, anchor: int, first: int, last: int) -> np.ndarray:
        """Return the normalised contact of the bins first to last - 1 with the bin `anchor`, as `CoolerRows.row`."""
        return self._file.row(chrom, self.resolution, self.normalisation, anchor, first, last)

    @property
    def _file(self) -> HicFile:
        from model_core.remote.remote_file import open_ranges  # no network code where files are local

        ranges = open_ranges(self.path)  # another object once the file has changed
        if self._read is None or self._read.file is not ranges:
            self._read = self._opened(HicFile(ranges))
        return self._read

    def _opened(self, file: HicFile) -> HicFile:
        require_resolution(self.path, self.resolution, file.header.resolutions)
        if self.normalisation != "NONE":
            held = file.normalisations(self.resolution)
            require_normalisation(self.path, self.resolution, self.normalisation, held)
        return file
