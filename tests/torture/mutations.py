"""Damage to files: endless, seeded series of changed contents, one function for each kind of content.

Each function takes the whole content and a random generator and yields `Mutation`s for ever: those that it makes once,
in random order, in turn with random ones, then random ones only.
"""

import gzip
import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

BOMB = 300_000_000  # bytes that a small gzip file unpacks to
DEEP = 100_000  # brackets inside each other
GONE = object()  # in place of a value: its key is removed


class Mutation(NamedTuple):
    """A changed content.

    Attributes
    ----------
    words : str
        What was changed.
    content : bytes
        The content.
    valid : bool
        It may be another valid file of its kind, so that other values in an answer are right.
    """

    words: str
    content: bytes
    valid: bool = False


Mutate = Callable[[bytes, random.Random], Iterator[Mutation]]
Once = tuple[str, Callable[[], bytes], bool]


def _mixed(once: list[Once], ever: Iterator[Mutation], rng: random.Random) -> Iterator[Mutation]:
    for words, make, valid in rng.sample(once, len(once)):
        yield Mutation(words, make(), valid)
        yield next(ever)
    yield from ever


# Bytes

WORDS = ("ff" * 8, "00" * 8, "00" * 7 + "80", "00" * 3 + "80" + "00" * 4, "ff" * 7 + "7f", "00" * 4 + "80" + "ff" * 3)
HEAD = 600  # bytes in which most formats keep their header


def bytes_mutations(whole: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Cut, flip and overwrite a binary file, more often in its first HEAD bytes."""
    middle = len(whole) // 2
    once: list[Once] = [
        ("empty", lambda: b"", False),
        ("one byte", lambda: b"\0", False),
        ("random bytes", lambda: rng.randbytes(2_000), False),
        ("gzipped", lambda: gzip.compress(whole, mtime=0), False),
        ("last byte gone", lambda: whole[:-1], False),
        ("twice", lambda: whole + whole, False),
        ("64 zeros in the middle", lambda: whole[:middle] + bytes(64) + whole[middle + 64 :], False),
    ]
    for share in (0.01, 0.3, 0.5, 0.9, 0.999):
        once.append((f"cut to {share:.1%}", lambda share=share: whole[: int(len(whole) * share)], False))
    return _mixed(once, iter(lambda: _damaged_bytes(whole, rng), None), rng)


def _damaged_bytes(whole: bytes, rng: random.Random) -> Mutation:
    span = min(len(whole), HEAD) if rng.random() < 0.6 else len(whole)
    content, at, kind = bytearray(whole), rng.randrange(span), rng.randrange(4)
    if kind == 0:
        content[at] ^= 1 << rng.randrange(8)
        return Mutation(f"a bit flipped in byte {at}", bytes(content))
    if kind == 1:
        width = rng.choice((2, 4, 8))
        at -= at % width
        word = bytes.fromhex(rng.choice(WORDS))[-width:]
        content[at : at + width] = word[: len(content) - at]
        return Mutation(f"{word.hex()} written at byte {at}", bytes(content))
    if kind == 2:
        for _ in range(20):
            content[rng.randrange(span)] = rng.randrange(256)
        return Mutation(f"20 random bytes in the first {span}", bytes(content))
    end = min(len(content), at + rng.randrange(1, 200))
    del content[at:end]
    return Mutation(f"bytes {at} to {end} removed", bytes(content))


def unsummed_mutations(whole: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Damage a file of a format without checksums (safetensors, .hic): one of the same length may be valid."""
    for mutation in bytes_mutations(whole, rng):
        yield mutation._replace(valid=len(mutation.content) == len(whole))


def zip_mutations(whole: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Damage a zip file of PyTorch, and its members with correct checksums: the pickle and the stored numbers."""
    names = zipfile.ZipFile(io.BytesIO(whole)).namelist()
    pickled = next(name for name in names if name.endswith("data.pkl"))
    largest = max(names, key=lambda name: zipfile.ZipFile(io.BytesIO(whole)).getinfo(name).file_size)

    def with_member(name: str, change: Callable[[bytes], bytes | None]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(out, "w") as target:
            for item in source.infolist():
                content = source.read(item)
                changed = change(content) if item.filename == name else content
                if changed is not None:
                    target.writestr(item.filename, changed)
        return out.getvalue()

    def flipped() -> Mutation:
        def change(content: bytes) -> bytes:
            content_now = bytearray(content)
            for _ in range(rng.choice((1, 1, 3))):
                content_now[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            return bytes(content_now)

        # A flip in the name of a key that nobody reads, or in a number, is another valid file.
        return Mutation("bits flipped in the pickle", with_member(pickled, change), True)

    once: list[Once] = [
        *((f"without {name}", lambda name=name: with_member(name, lambda _: None), False) for name in names[:4]),
        (
            "half of the largest member",
            lambda: with_member(largest, lambda content: content[: len(content) // 2]),
            False,
        ),
        ("a pickle that calls a function", lambda: with_member(pickled, lambda _: CALLING), False),
        ("a pickle of nothing", lambda: with_member(pickled, lambda _: pickle.dumps({}, 2)), False),
        ("a pickle of a list in itself", lambda: with_member(pickled, lambda _: _in_itself()), False),
        ("a deep pickle", lambda: with_member(pickled, lambda _: b"]" * DEEP + b"a" * (DEEP - 1) + b"."), False),
    ]
    damaged = bytes_mutations(whole, rng)
    return _mixed(once, iter(lambda: flipped() if rng.random() < 0.5 else next(damaged), None), rng)


CALLING = b"cbuiltins\nprint\n(S'this pickle was carried out'\ntR."


def pickle_mutations(whole: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Damage a pickle."""
    once: list[Once] = [
        ("a pickle that calls a function", lambda: CALLING, False),
        ("a list in itself", _in_itself, False),
        ("deep lists", lambda: b"]" * DEEP + b"a" * (DEEP - 1) + b".", False),
        ("a memo far away", lambda: b"\x80\x02K\x01r\xff\xff\xff\x7f.", False),
        ("a huge bytes object", lambda: b"\x80\x04\x8e" + (2**62).to_bytes(8, "little"), False),
        ("other values", lambda: pickle.dumps({"chr1": [1, 2]}), False),
    ]
    return _mixed(once, bytes_mutations(whole, rng), rng)


def _in_itself() -> bytes:
    inner: list = []
    inner.append(inner)
    return pickle.dumps(inner, 2)


# Text

CELLS = (
    *("", "-1", "0", "1e309", "nan", "inf", "-inf", "99999999999999999999999", "9223372036854775808", "2147483648"),
    *("1.5", "é", "\u202eabc", "\U0001f9ec", "a b", "'", '"', '"open', "=1+1", "<b>", "../../etc/passwd", "\0"),
    *("\x1b[31m", "chr1", "CHR1", "None", "true", "[]", "x" * 5_000, "1_000", "0x10", "\uff11\uff12", "\ufeff", "%s%n"),
)
FIRST_LINES = 40  # where most changes are made


def text_mutations(whole: bytes, rng: random.Random, separator: str = "\t") -> Iterator[Mutation]:
    """Damage a table: encodings, compression, line ends, order of lines, cells."""
    lines = whole.decode().split("\n")
    head, body = lines[0], lines[1:-1]
    once: list[Once] = [
        ("empty", lambda: b"", True),
        ("one empty line", lambda: b"\n", True),
        ("CR LF", lambda: whole.replace(b"\n", b"\r\n"), False),
        ("CR", lambda: whole.replace(b"\n", b"\r"), False),
        ("byte order mark", lambda: b"\xef\xbb\xbf" + whole, False),
        ("UTF-16", lambda: whole.decode().encode("utf-16"), False),
        ("a byte of Latin-1", lambda: whole.replace(b"\n", b"\xe9\n", 1), True),
        ("NUL", lambda: whole.replace(b"\n", b"\0\n", 1), True),
        ("no last line end", lambda: whole.rstrip(b"\n"), False),
        ("first half", lambda: whole[: len(whole) // 2], True),
        ("gzipped", lambda: gzip.compress(whole, mtime=0), False),
        ("gzipped and cut", lambda: gzip.compress(whole, mtime=0)[:-9], False),
        ("gzip bomb", lambda: gzip.compress(bytes(BOMB), 9, mtime=0), False),
        ("random bytes", lambda: rng.randbytes(3_000), False),
        ("one line of 5 MB", lambda: b"A" * 5_000_000, False),
        ("twice", lambda: whole + whole, True),
        ("lines in random order", lambda: "\n".join([head, *rng.sample(body, len(body)), ""]).encode(), True),
        ("first line gone", lambda: "\n".join(lines[1:]).encode(), True),
        ("second line twice", lambda: "\n".join([head, *body[:1], *body, ""]).encode(), True),
    ]
    return _mixed(once, iter(lambda: _damaged_line(lines, separator, rng), None), rng)


def csv_mutations(whole: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Damage a table of comma-separated values."""
    return text_mutations(whole, rng, ",")


def _damaged_line(lines: list[str], separator: str, rng: random.Random) -> Mutation:
    lines = list(lines)
    at = rng.randrange(min(len(lines), FIRST_LINES) if rng.random() < 0.7 else len(lines))
    cells, kind = lines[at].split(separator), rng.randrange(6)
    column, new = rng.randrange(len(cells)), rng.choice(CELLS)
    if kind <= 2:
        cells[column] = new
        done = f"cell {column + 1} of line {at + 1} is {new[:30]!r}"
    elif kind == 3:
        del cells[column]
        done = f"cell {column + 1} of line {at + 1} gone"
    elif kind == 4:
        cells.insert(column, new)
        done = f"{new[:30]!r} before cell {column + 1} of line {at + 1}"
    else:
        cells[column] = "".join(chr(ord(c) ^ 1 << rng.randrange(5)) if rng.random() < 0.3 else c for c in cells[column])
        done = f"cell {column + 1} of line {at + 1} has other letters"
    lines[at] = separator.join(cells)
    return Mutation(done, "\n".join(lines).encode("utf-8", "surrogatepass"), True)


def gzip_mutations(whole: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Damage a gzipped text file: its compressed bytes, or its text, compressed again."""
    plain = gzip.decompress(whole)
    once: list[Once] = [
        ("two gzip members", lambda: whole + whole, True),
        ("compressed twice", lambda: gzip.compress(whole, mtime=0), False),
        ("bytes after the end", lambda: whole + b"more", False),
        ("gzip bomb", lambda: gzip.compress(bytes(BOMB), 9, mtime=0), False),
        ("a million lines", lambda: gzip.compress(plain * (10**6 // plain.count(b"\n")), mtime=0), True),
    ]
    outside, inside = bytes_mutations(whole, rng), text_mutations(plain, rng)

    def again() -> Mutation:
        if rng.random() < 0.5:
            found = next(outside)
            return found._replace(valid=found.valid or found.words == "twice")
        found = next(inside)
        return found._replace(content=gzip.compress(found.content, mtime=0))

    return _mixed(once, iter(again, None), rng)


# JSON, lines of JSON, TOML

VALUES = (
    *(None, True, False, 0, -1, 1.5, 1e308, float("inf"), float("nan"), 10**30, 2**63, "", "x", "1", [], {}, [1]),
    *({"a": 1}, [[[]]], "é\0", "../../etc/passwd", "/dev/zero", "<img src=x onerror=alert(1)>", GONE),
)


def json_mutations(whole: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Damage a JSON document: its encoding, its depth, one value at any depth."""
    once: list[Once] = [
        ("empty", lambda: b"", False),
        *((f"only {text.decode()}", lambda text=text: text, False) for text in (b"null", b"[]", b"1", b'"x"', b"{}")),
        ("a deep list", lambda: b"[" * DEEP + b"]" * DEEP, False),
        ("deep objects", lambda: b'{"a":' * DEEP + b"1" + b"}" * DEEP, False),
        ("a number of 10,000 digits", lambda: b'{"schema": ' + b"9" * 10_000 + b"}", False),
        ("byte order mark", lambda: b"\xef\xbb\xbf" + whole, False),
        ("UTF-16", lambda: whole.decode().encode("utf-16"), False),
        ("not UTF-8", lambda: whole.replace(b'"', b'"\xff', 1), False),
        ("half of a surrogate pair", lambda: whole.replace(b'": "', b'": "\\ud800', 1), True),
        ("CR LF", lambda: whole.replace(b"\n", b"\r\n"), False),
        ("cut to two thirds", lambda: whole[: len(whole) * 2 // 3], False),
    ]

    def other() -> Mutation:
        words, value, valid = _with_other_value(json.loads(whole), rng)
        return Mutation(words, json.dumps(value).encode(), valid)

    return _mixed(once, iter(other, None), rng)


def jsonl_mutations(whole: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Damage a journal of one JSON object per line."""
    lines = whole.decode().splitlines()
    deep = b"[" * DEEP + b"]" * DEEP + b"\n"
    once: list[Once] = [
        ("empty", lambda: b"", True),
        ("last line torn", lambda: whole[:-10], True),
        ("last line torn, with its line end", lambda: whole[:-10] + b"\n", True),
        ("a deep line", lambda: deep + whole, False),
        ("a deep last line", lambda: whole + deep, True),
        ("empty lines", lambda: whole.replace(b"\n", b"\n\n"), False),
        ("CR LF", lambda: whole.replace(b"\n", b"\r\n"), False),
        ("a last line of NUL", lambda: whole + bytes(50) + b"\n", True),
        ("not UTF-8", lambda: whole[:20] + b"\xff" + whole[21:], True),
        ("a number of 10,000 digits", lambda: b"9" * 10_000 + b"\n" + whole, False),
        ("lines in turned order", lambda: "\n".join([*lines[::-1], ""]).encode(), True),
        ("twice", lambda: whole + whole, True),
    ]

    def other() -> Mutation:
        now, at = list(lines), rng.randrange(len(lines))
        words, value, valid = _with_other_value(json.loads(now[at]), rng)
        now[at] = json.dumps(value)
        return Mutation(f"line {at + 1}: {words}", "\n".join([*now, ""]).encode(), valid)

    return _mixed(once, iter(other, None), rng)


def _with_other_value(value: Any, rng: random.Random) -> tuple[str, Any, bool]:
    """Return what was changed, the changed value, and whether the new value is of the old one's type."""
    *way, last = rng.choice(list(_places(value)))
    inner = value
    for step in way:
        inner = inner[step]
    old, new = inner[last], rng.choice(VALUES)
    name = ".".join(map(str, [*way, last]))
    if new is GONE:
        del inner[last]
        return f"no {name}", value, True
    inner[last] = new
    return f"{name} = {str(new)[:40]!r} ({type(new).__name__})", value, _type(old) is _type(new) or None in (old, new)


def _type(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _places(value: Any, way: tuple = ()) -> Iterator[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*way, key)
        yield from _places(inner, (*way, key))


TOML_VALUES = (
    *("-1", "0", "1.5", "nan", "inf", "1e400", '""', '"x"', "[]", "{}", "true", "[1,2]", '"../../../etc/passwd"'),
    *('"/dev/zero"', '"/dev/stdin"', '"/proc/self/mem"', '"."', '"/"', '"\\u0000"', "1979-05-27", '"https://x"'),
    *("99999999999999999999", "2147483648", "1_000_000_000_000", '"é"', '["a","a"]', '"~/x"', '"x\\n"', "9" * 5_000),
)


def toml_mutations(whole: bytes, rng: random.Random) -> Iterator[Mutation]:
    """Damage a TOML document: depth, encoding, one value, one key."""
    lines = whole.decode().split("\n")
    keyed = [number for number, line in enumerate(lines) if "=" in line and not line.lstrip().startswith("#")]
    once: list[Once] = [
        ("a deep list", lambda: whole + b"x = " + b"[" * DEEP + b"]" * DEEP + b"\n", False),
        ("deep tables", lambda: whole + b"x = " + b"{a = " * DEEP + b"1" + b"}" * DEEP + b"\n", False),
        ("a deep key", lambda: whole + b"[" + b".".join([b"a"] * 20_000) + b"]\n", False),
        ("byte order mark", lambda: b"\xef\xbb\xbf" + whole, False),
        ("UTF-16", lambda: whole.decode().encode("utf-16"), False),
        ("CR LF", lambda: whole.replace(b"\n", b"\r\n"), False),
        ("not UTF-8", lambda: whole.replace(b'"', b'"\xff', 1), False),
        ("gzipped", lambda: gzip.compress(whole, mtime=0), False),
        ("empty", lambda: b"", False),
        ("first half", lambda: whole[: len(whole) // 2], True),
        ("twice", lambda: whole + whole, False),
    ]

    def other() -> Mutation:
        now, at, kind = list(lines), rng.choice(keyed), rng.random()
        key = now[at].split("=", 1)[0].strip()
        if kind < 0.75:
            value = rng.choice(TOML_VALUES)
            now[at] = f"{key} = {value}"
            words = f"{key} = {value[:30]}"
        elif kind < 0.9:
            now[at] = ""
            words = f"no {key}"
        else:
            now[at] = f"{key}x = 1\n{now[at]}"
            words = f"a key {key}x"
        return Mutation(words, "\n".join(now).encode(), True)

    return _mixed(once, iter(other, None), rng)
