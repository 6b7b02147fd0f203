"""Small bigWigs written here byte by byte, of either byte order, and damaged copies of files."""

import random
import struct

TINY = {"chr1": 1000, "chr2": 500}
BIGWIG, TREE, INDEX = 0x888FFC26, 0x78CA8C91, 0x2468ACE0


def tiny(key=0x7FFFFFFF, value=8, items=0xFFFFFFFFFFFF, count=1, leaf=1):
    """304 bytes that look like a bigWig and end a process that lets pybigtools read them; other values panic."""
    head = struct.pack("<IHHQQQHHQQIQ", BIGWIG, 4, 0, 64, 200, 200, 0, 0, 0, 0, 0, 0)
    tree = struct.pack("<IIIIQQ", TREE, 256, key, value, items, 0) + struct.pack("<BBH", leaf, 0, count)
    return (head + tree).ljust(300, b"\0") + struct.pack("<I", BIGWIG)


def written(order="<", child=None, count=None, leaf_end=None, size=None, key=4):
    """An uncompressed bigWig of TINY with 2.5 at chr1:10-20 and chr2:0-5, its index one level deep.

    Parameters
    ----------
    order
        "<" or ">".
    child
        Offset of the node below the root of the index; None: the right one.
    count
        Items that the second section claims; None: the right number, 1.
    leaf_end
        End of the first section's places in the index; None: the right one, 20.
    size
        Bytes of the second section that the index claims; None: the right number.
    key
        Letters of a name that the tree claims.
    """
    names = b"".join(
        struct.pack(f"{order}4sII", name.encode(), number, length) for number, (name, length) in enumerate(TINY.items())
    )
    tree = struct.pack(order + "IIIIQQBBH", TREE, 2, key, 8, 2, 0, 1, 0, 2) + names
    data = 64 + len(tree)
    sections = [
        struct.pack(order + "IIIIIBBHIIf", chrom, start, end, 0, 0, 1, 0, items, start, end, 2.5)
        for chrom, start, end, items in ((0, 10, 20, 1), (1, 0, 5, 1 if count is None else count))
    ]
    index = data + 4 + sum(map(len, sections))
    leaf = index + 48 + 4 + 24
    root = struct.pack(order + "BBHIIIIQ", 0, 0, 1, 0, 10, 1, 5, leaf if child is None else child)
    places = [(0, 10, 0, 20 if leaf_end is None else leaf_end), (1, 0, 1, 5)]
    offsets, sizes = (data + 4, data + 40), (36, 36 if size is None else size)
    leaves = [struct.pack(order + "IIIIQQ", *place, *at) for place, *at in zip(places, offsets, sizes, strict=True)]
    head = struct.pack(order + "IHHQQQHHQQIQ", BIGWIG, 4, 0, 64, data, index, 0, 0, 0, 0, 0, 0)
    top = struct.pack(order + "IIQIIIIQII", INDEX, 256, 2, 0, 10, 1, 5, index, 1, 0)
    content = [head, tree, struct.pack(order + "I", 2), *sections, top, root, struct.pack(order + "BBH", 1, 0, 2)]
    return b"".join([*content, *leaves, struct.pack(order + "I", BIGWIG)])


def damaged(content, seed, head=700):
    """A copy with bits, numbers or a piece of it changed; six of ten within the first `head` bytes."""
    rng, copy = random.Random(seed), bytearray(content)
    span = min(len(copy), head) if rng.random() < 0.6 else len(copy)
    kind, at = rng.randrange(4), rng.randrange(span)
    if kind == 0:
        copy[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        width = rng.choice([2, 4, 8])
        values = [b"\xff" * width, bytes(width), b"\xff" * (width - 1) + b"\x7f", rng.randbytes(width)]
        copy[at : at + width] = rng.choice(values)
    elif kind == 2:
        for _ in range(rng.choice([2, 20])):
            copy[rng.randrange(span)] = rng.randrange(256)
    else:
        del copy[at : at + rng.randrange(1, 200)]
    return bytes(copy)
