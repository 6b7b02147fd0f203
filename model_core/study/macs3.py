"""The program macs3: where it is, which words it takes, and what it says when it fails."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from model_core.errors import InputError
from model_core.files import write_text

FORMATS = {".bam": "BAM", ".bed": "BED", ".tagalign": "BED", ".bedpe": "BEDPE"}
# Words of macs3 that name what goes in and out: those stand in the study, or no narrowPeak would come out.
_OURS = {
    "callpeak": ("-t", "--treatment", "-c", "--control", "-n", "--name", "--outdir", "--broad", "--trackline"),
    "bdgpeakcall": ("-i", "--ifile", "-o", "--ofile", "--o-prefix", "--outdir", "--cutoff-analysis"),
}


_FAULT = re.compile(r"\b(CRITICAL|ERROR)\b|\berror:")
_RAISED = re.compile(r"[\w.]*(Error|Exception|Exit|Interrupt)\b")
_LOGGED = re.compile(r"^.*?\b(CRITICAL|ERROR)\b\s*(@[^:]*:?\d*:?\d*:?\s*)?(\[[^]]*\]\s*)*:?\s*")
_MOST_LETTERS = 1_000  # of its words in a message; the log has all


def find_macs3() -> tuple[Path, str]:
    """The program, beside this Python or on the PATH, and its version."""
    beside = Path(sys.executable).with_name("macs3")
    found = str(beside) if beside.is_file() else shutil.which("macs3")
    if found is None:
        do = "install it: pip install 'seq2exp-viz[model]', or give a narrowPeak file"
        raise InputError(
            "peak calling", found="no program macs3", expected=f"it beside {sys.executable} or on PATH", fix=do
        )
    said = subprocess.run([found, "--version"], capture_output=True, text=True, encoding="utf-8", errors="replace")
    if said.returncode:
        advice = "install macs3 anew"
        raise InputError(found, found=_last_words(said.stderr), expected="its version", fix=advice)
    return Path(found), said.stdout.split()[-1]


def run_macs3(command: list[str], folder: Path, log: Path) -> None:
    """Run macs3 in `folder`; what it says goes to `log`, whether it succeeds or not."""
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", errors="replace")
    write_text(log, f"$ {shlex.join(command)}\n{said.stdout}{said.stderr}")
    if said.returncode:
        found = f"exit status {said.returncode} with: {_last_words(said.stderr)}"
        advice = f"check inputs and options; all it said is in {log}"
        raise InputError(f"macs3 {command[1]}", found=found, expected="peaks", fix=advice)


def _last_words(stderr: str) -> str:
    """What a program says of its failure: its errors, with the advice in them, in its order; else its last line.

    macs3 logs its errors as "CRITICAL @ ..." or "ERROR @ ...", the advice first and "terminated!" last. A traceback
    ends in the line that tells its cause, and argparse in "error: ...".
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    marked = [_LOGGED.sub("", line) for line in lines if _FAULT.search(line)]
    if lines and _RAISED.match(lines[-1]):
        marked.append(lines[-1])
    told = list(dict.fromkeys(marked or lines[-1:]))
    return " ".join(told)[:_MOST_LETTERS] if told else "nothing said"


def reads_format(paths: Sequence[str]) -> str:
    """The -f of callpeak for files that all end in .bam, .bed, .tagAlign or .bedpe (.gz).

    Raises
    ------
    InputError
        Another ending, or several formats.
    """
    formats = set()
    for path in map(Path, paths):
        bare = path.with_suffix("") if path.suffix.lower() == ".gz" else path
        kind = FORMATS.get(bare.suffix.lower())
        if kind is None:
            do = "convert it, or name the format in options (-f)"
            raise InputError(path, found="an unknown format of reads", expected=", ".join(FORMATS), fix=do)
        formats.add(kind)
    if len(formats) > 1:
        found = f"reads as {' and '.join(sorted(formats))}"
        raise InputError("macs3 callpeak", found=found, expected="one format", fix="convert some of them")
    return formats.pop()


def has_option(options: Sequence[str], short: str, long: str) -> bool:
    """Whether the option is among the words, in any of the spellings that macs3 takes."""
    words = [word.split("=")[0] for word in options if word.startswith("-")]
    return any(
        word.startswith(short) if not word.startswith("--") else len(word) > 3 and long.startswith(word)
        for word in words
    )


def refuse_inputs_and_outputs(caller: str, options: Sequence[str]) -> None:
    """Raise InputError where the words set what comes in or goes out, in any of the spellings that macs3 takes."""
    for option in options:
        word = option.split("=")[0]
        short = not word.startswith("--") and word[:2] in _OURS[caller]
        long = len(word) > 3 and word != "--cutoff" and any(ours.startswith(word) for ours in _OURS[caller])
        if short or long:
            expected = "options other than its inputs and outputs"
            raise InputError(f"macs3 {caller}", found=f"option {option}", expected=expected, fix="leave it out")
