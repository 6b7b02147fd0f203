"""Checkpoints and pickles that are small on disk and ask for much: makers by name, for tests.

`python tests/hostile_files.py FOLDER` tries to read each file of a folder as what its ending says, and prints as JSON
what was said of each and by how many MB the process grew at most.
"""

import json
import pickle
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

STORAGE = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ%btQ"
MANY = 10**6


def storage(elements: int) -> bytes:
    """Return the instructions that name a storage of float32."""
    return STORAGE.replace(b"((", b"(").replace(b"%b", struct.pack("<i", elements))


def tensor(elements: int, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """Return the instructions that name a tensor."""
    numbers = [b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in row) + b"t" for row in (shape, stride)]
    begin = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(elements)
    return begin + b"J" + struct.pack("<i", offset) + b"".join(numbers) + b"\x89ccollections\nOrderedDict\n)RtR"


def state_of(value: bytes, name: str = "x") -> bytes:
    """Return the pickle of {"state_dict": {name: value}}."""
    key = name.encode()
    return b"\x80\x02}X\x0a\x00\x00\x00state_dict}X" + struct.pack("<I", len(key)) + key + value + b"ss."


def write_ckpt(path: Path, data: bytes, storages: tuple[bytes, ...] = (b"\0" * 4,), **members: bytes) -> None:
    """Write an archive as torch.save does."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for number, content in enumerate(storages):
            archive.writestr(f"archive/data/{number}", content)
        for name, content in members.items():
            archive.writestr(name, content)


def deflated(path: Path) -> None:
    """Write a pickle of 320 MB that is a file of 1 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (320 << 20))


def deflated_storage(path: Path) -> None:
    """Write a storage that is compressed, beside a pickle that is not."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", state_of(tensor(100 << 20, (100 << 20,), (1,))))
        archive.writestr("archive/data/0", b"\0" * (320 << 20), zipfile.ZIP_DEFLATED, 1)


def twice(path: Path) -> None:
    """Write two members of one name; the zip format allows it."""
    with warnings.catch_warnings(action="ignore"):
        write_ckpt(path, state_of(tensor(1, (1,), (1,))), **{"archive/data/0": b"\1" * 4})


def many_members(path: Path) -> None:
    """Write a zip whose directory names 300,000 members."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0) + b"archive/x"
    count, length = 300_000, 300_000 * len(entry)
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, length, 0, 0)
    path.write_bytes(entry * count + tail)


def laughs(depth: int) -> bytes:
    """Return a dict of `depth` levels whose 2^depth leaves are one."""
    steps = b"0".join(b"(h" + bytes([n]) + b"h" + bytes([n]) + b"lq" + bytes([n + 1]) for n in range(depth))
    start = state_of(tensor(1, (1,), (1,)), "model.prior_weights")[:-2]
    second = b"X\x12\x00\x00\x00model.signal_betas" + tensor(1, (1,), (1,)) + b"ss"
    return start + second + b"X\x10\x00\x00\x00hyper_parameters]q\x000" + steps + b"s."


CKPT: dict[str, Callable[[Path], None]] = {
    "a pickle of 320 MB, deflated": deflated,
    "a deflated storage": deflated_storage,
    "stride 0": lambda path: write_ckpt(path, state_of(tensor(1, (2 * 10**9,), (0,)))),
    "stride 0 in two dimensions": lambda path: write_ckpt(path, state_of(tensor(1, (10**6, 10**6), (0, 0)))),
    "a storage of 8 GB in 4 bytes": lambda path: write_ckpt(path, state_of(tensor(2 * 10**9, (2 * 10**9,), (1,)))),
    "a tensor beyond its storage": lambda path: write_ckpt(path, state_of(tensor(1, (1,), (1,), offset=3))),
    "a negative stride": lambda path: write_ckpt(path, state_of(tensor(1, (1,), (-1,)))),
    "a storage that is not there": lambda path: write_ckpt(path, state_of(tensor(1, (1,), (1,))), ()),
    "two members of one name": twice,
    "two pickles": lambda path: write_ckpt(path, b"\x80\x02}.", **{"other/data.pkl": b"\x80\x02}."}),
    "a member outside": lambda path: write_ckpt(path, b"\x80\x02}.", **{"../data/1": b""}),
    "300,000 members": many_members,
    "big-endian": lambda path: write_ckpt(path, state_of(tensor(1, (1,), (1,))), **{"archive/byteorder": b"big"}),
    "os.system": lambda path: write_ckpt(path, b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00exit\x85R."),
    "eval": lambda path: write_ckpt(path, b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R."),
    "torch.load": lambda path: write_ckpt(path, b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00x\x85R."),
    "a function of an allowed module": lambda path: write_ckpt(path, b"\x80\x02ctorch._utils\n_import_dotted_name\n."),
    "a memo of 64 GB": lambda path: write_ckpt(path, b"\x80\x02}r\xff\xff\xff\xff."),
    "copies of a list": lambda path: write_ckpt(
        path, b"\x80\x02(" + b"N" * 10**5 + b"lq\x000](" + b"c__builtin__\nlist\nh\x00\x85R" * 10**5 + b"e."
    ),
    "8 million dicts": lambda path: write_ckpt(path, b"\x80\x02(" + b"}" * (8 << 20) + b"l."),
    "a million dicts": lambda path: write_ckpt(path, b"\x80\x02(" + b"}" * 999_000 + b"l."),
    "a million memos": lambda path: write_ckpt(path, b"\x80\x04}" + b"\x94" * 999_000 + b"."),
    "a bytearray of 8 EB": lambda path: write_ckpt(path, b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f."),
    "text of 4 GB": lambda path: write_ckpt(path, b"\x80\x02X\xff\xff\xff\xff."),
    "a number of 10^5 digits": lambda path: write_ckpt(path, b"\x80\x02L" + b"9" * 10**5 + b"L\n."),
    "a deep list": lambda path: write_ckpt(path, b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"."),
    "settings of 2^40 values": lambda path: write_ckpt(path, laughs(40)),
    "settings nested 200 deep": lambda path: write_ckpt(path, laughs(200)),
    "a state for a tensor": lambda path: write_ckpt(path, state_of(tensor(1, (1,), (1,)) + b"}b")),
    "keys that are numbers": lambda path: write_ckpt(path, b"\x80\x02}X\x0a\x00\x00\x00state_dict}K\x01N" + b"ss."),
    "no instructions": lambda path: write_ckpt(path, b""),
}


def write_safetensors(path: Path, header: object, data: bytes = b"", length: int | None = None) -> None:
    """Write a header, of JSON values or as it is, and what follows it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def with_settings(**settings: object) -> Callable[[Path], None]:
    """Return the maker of a checkpoint of few tensors with these settings."""

    def make(path: Path) -> None:
        config = {"window": 256, "promoter": 32, "d_model": 8, "n_layers": 1, **settings}
        metadata = {"format": "seq2exp-viz checkpoint 1", "config": json.dumps(config), "metadata": "{}"}
        one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
        write_safetensors(path, {"__metadata__": metadata, "x": one}, b"\0" * 4)

    return make


def one_tensor(**described: object) -> Callable[[Path], None]:
    """Return the maker of a file with one tensor of 4 bytes, described so."""
    whole = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **described}
    return lambda path: write_safetensors(path, {"x": whole}, b"\0" * 4)


def two_tensors(*offsets: list[int]) -> Callable[[Path], None]:
    """Return the maker of a file with two tensors of 4 bytes at these places of 8."""
    described = [{"dtype": "F32", "shape": [1], "data_offsets": place} for place in offsets]
    return lambda path: write_safetensors(path, dict(zip("xy", described, strict=True)), b"\0" * 8)


def long_header(path: Path) -> None:
    """Write a header of 90 MB, which safetensors itself would read."""
    write_safetensors(path, b"{" + b'"a":{},' * (13 << 20) + b'"b":1}')


SAFETENSORS: dict[str, Callable[[Path], None]] = {
    "n_layers of a million": with_settings(n_layers=MANY),
    "n_layers of 256": with_settings(n_layers=256),
    "expand of a million": with_settings(expand=MANY),
    "expand of 64 at the largest width": with_settings(expand=64, d_model=32_768),
    "a width of 10^12": with_settings(d_model=10**12),
    "a window of 10^12 with positions": with_settings(window=10**12, position_embedding=True),
    "the largest window with positions": with_settings(window=10**7, position_embedding=True, d_model=32_768),
    "10^8 gene features": with_settings(n_gene_features=10**8),
    "10^5 signals": with_settings(signals=["x"] * 10**5, prior_b=[1.0] * 10**5, prior_w=[1.0] * 10**5),
    "an encoder of 10^9 channels": with_settings(encoder=10**9),
    "a convolution of 10^9": with_settings(d_conv=10**9),
    "a number of 400 digits": with_settings(d_model=10**400),
    "a header of 8 EB": lambda path: write_safetensors(path, {}, length=1 << 63),
    "a header of 90 MB": long_header,
    "a header of lists": lambda path: write_safetensors(path, b"[" * 10**6),
    "a header of dicts": lambda path: write_safetensors(path, b'{"a":' * 10**5 + b"1" + b"}" * 10**5),
    "a header that is a list": lambda path: write_safetensors(path, []),
    "a header that is no text": lambda path: write_safetensors(path, b"\xff" * 64),
    "no header": lambda path: path.write_bytes(b"\0" * 3),
    "metadata that are no text": lambda path: write_safetensors(path, {"__metadata__": {"format": 1}}),
    "a huge shape": one_tensor(shape=[2**62, 2**62]),
    "a negative shape": one_tensor(shape=[-1]),
    "a shape of floats": one_tensor(shape=[1.0]),
    "a shape of bools": one_tensor(shape=[True]),
    "offsets beyond the file": one_tensor(data_offsets=[0, 2**40], shape=[2**38]),
    "offsets that fall": one_tensor(data_offsets=[4, 0]),
    "one offset": one_tensor(data_offsets=[0]),
    "an unknown type": one_tensor(dtype="F31"),
    "a type that is a list": one_tensor(dtype=["F32"]),
    "an unknown entry": one_tensor(extra=1),
    "overlapping tensors": two_tensors([0, 4], [2, 6]),
    "one place for two tensors": two_tensors([0, 4], [0, 4]),
    "a gap between tensors": lambda path: write_safetensors(
        path, {"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"\0" * 8
    ),
    "bytes after the tensors": lambda path: write_safetensors(path, {}, b"\0" * 8),
}


def array_pickle(data: bytes, runs: int = 0) -> bytes:
    """Return the pickle of a list of numpy bool arrays of the same bytes, `runs` times."""
    one = b"cnumpy.core.numeric\n_frombuffer\n(h\x00cnumpy\ndtype\nX\x02\x00\x00\x00b1\x85RM" + struct.pack(
        "<H", len(data)
    )
    return b"\x80\x03B" + struct.pack("<I", len(data)) + data + b"q\x000(" + (one + b"\x85tR") * runs + b"l."


PKL: dict[str, Callable[[Path], None]] = {
    "bytes of 8 EB": lambda path: path.write_bytes(b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f."),
    "a bytearray of 8 EB": lambda path: path.write_bytes(b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f."),
    "a frame of 8 EB": lambda path: path.write_bytes(b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f."),
    "a memo of 64 GB": lambda path: path.write_bytes(b"\x80\x02]r\xff\xff\xff\xff."),
    "50 million dicts": lambda path: path.write_bytes(b"\x80\x02(" + b"}" * (50 << 20) + b"l."),
    "runs of the same bytes over and over": lambda path: path.write_bytes(array_pickle(b"\0\1" * 4_000, 10**5)),
    "text decoded over and over": lambda path: path.write_bytes(
        b"\x80\x02X\x40\x42\x0f\x00" + b"x" * 10**6 + b"q\x000("
        + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 10**4 + b"l."
    ),
    "an array that is never filled": lambda path: path.write_bytes(
        b"\x80\x02}X\x04\x00\x00\x00chr1cnumpy\nndarray\n)\x81s."
    ),
    "a bool of 2": lambda path: path.write_bytes(array_pickle(b"\0\2", 1)),
    "eval": lambda path: path.write_bytes(b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R."),
    "a module": lambda path: path.write_bytes(pickle.dumps(json.dumps)),
}  # fmt: skip
KINDS = {".ckpt": CKPT, ".safetensors": SAFETENSORS, ".pkl": PKL}


def write_all(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write every file; yield its name in words and its path."""
    for suffix, makers in KINDS.items():
        for number, (words, make) in enumerate(makers.items()):
            path = folder / f"{number}{suffix}"
            make(path)
            yield f"{words} ({suffix})", path


def begin_measuring() -> None:
    """Forget the highest memory of this process so far."""
    Path("/proc/self/clear_refs").write_text("5")


def megabytes(name: str) -> int:
    """Return memory of this process: VmRSS, held now, or VmHWM, the highest since `begin_measuring`.

    `resource.getrusage` would give at least the highest memory of the process that started this one.
    """
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) // 1024


def main(folder: Path) -> None:
    """Read all files of a folder, and print what became of each."""
    from model_core.datasets.blacklist_pickle import read_masks
    from model_core.errors import InputError
    from model_core.model.checkpoint import load_checkpoint

    found: dict[str, list] = {}
    for path in sorted(folder.iterdir()):
        begin_measuring()
        before = megabytes("VmRSS")
        try:
            said = f"read: {read_masks(path) if path.suffix == '.pkl' else load_checkpoint(path, 'cpu')}"[:80]
        except InputError as error:
            said = f"refused: {error}"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"[:200]
        found[path.name] = [said, megabytes("VmHWM") - before]
    print(json.dumps({"files": found, "modules": [name for name in ("sympy", "torch._dynamo") if name in sys.modules]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
