"""Choice of the reader for a signal's file, by the file's extension."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_core.errors import InputError
from model_core.remote.address import input_path
from model_core.signals.hic import HicSignal
from model_core.signals.hic_vectors import StoredContact
from model_core.signals.power_law_contact import POWER_LAW, PowerLawContact
from model_core.signals.signal import BamSignal, BigWigSignal, Signal
from model_core.track_formats import FORMATS, TO_SIGNAL, UNTOLD, format_of


def open_signal(spec: Mapping[str, Any] | Any, cache: str | Path, sizes: Mapping[str, int] | None = None) -> Signal:
    """Return the signal of one [[signals]] entry, by its file's extension. Nothing is read yet.

    Parameters
    ----------
    spec : Mapping[str, Any] or Any
        Keys of a mapping, or attributes: name, path, and optionally transform, scale; for BAM also extend, shift;
        for Hi-C resolution, normalisation, pseudocount. None means the default.
    cache : str or Path
        Folder for the coverage computed from a BAM and the map made of a .hic.
    sizes : Mapping[str, int] or None
        Length in bp of each chromosome of the genome, for the power law, which has no file to take them from.

    Returns
    -------
    Signal
        The reader for this kind of file.

    Raises
    ------
    InputError
        Impossible setting, or a file extension that no reader takes.
    """

    def get(key: str) -> Any:
        return spec.get(key) if isinstance(spec, Mapping) else getattr(spec, key, None)

    def given(*keys: str) -> dict[str, Any]:
        return {key: get(key) for key in keys if get(key) is not None}

    path = input_path(get("path"))
    ending = path.suffix.lower()
    if path == POWER_LAW:
        return PowerLawContact(get("name"), sizes)
    if ending in (".hic", ".mcool", ".cool"):
        transform = given("transform").get("transform", "none")
        if transform != "none":
            found = f"transform '{transform}' for signal {get('name')}"
            expected = "transform 'none', as contact is read as log10(1 + x)"
            raise InputError(path, found=found, expected=expected, fix="remove the transform")
        return HicSignal(cache=cache, **given("name", "path", "resolution", "normalisation", "pseudocount"))
    if path.name.lower().endswith(".contact.json"):
        return StoredContact(**given("name", "path"))
    if ending == ".bam":
        return BamSignal(cache=cache, **given("name", "path", "transform", "scale", "extend", "shift"))
    if ending in (".bw", ".bigwig"):
        return BigWigSignal(**given("name", "path", "transform", "scale"))
    expected = ".bw, .bigWig, .bam, .hic, .mcool, .cool or .contact.json"
    told = format_of(path) if isinstance(path, Path) else "text"
    do = TO_SIGNAL.get(told, "rename or convert it")
    found = f"the file extension '{ending}' of {'a file' if told in UNTOLD else FORMATS[told]}"
    raise InputError(path, found=found, expected=expected, fix=do)
