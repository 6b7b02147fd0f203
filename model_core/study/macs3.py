"""The program macs3: where it is installed, its options, and its error output."""

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
# Options of macs3 for inputs and outputs: these are set here from the study, as a narrowPeak must come out.
_OURS = {
    "callpeak": ("-t", "--treatment", "-c", "--control", "-n", "--name", "--outdir", "--broad", "--trackline"),
    "bdgpeakcall": ("-i", "--ifile", "-o", "--ofile", "--o-prefix", "--outdir", "--cutoff-analysis"),
}
_FAULT = re.compile(r"\b(CRITICAL|ERROR)\b|\berror:")
_RAISED = re.compile(r"[\w.]*(Error|Exception|Exit|Interrupt)\b")
_LOGGED = re.compile(r"^.*?\b(CRITICAL|ERROR)\b\s*(@[^:]*:?\d*:?\d*:?\s*)?(\[[^]]*\]\s*)*:?\s*")
_MOST_LETTERS = 1_000  # characters of its output in a message; the log has all


def find_macs3() -> tuple[Path, str]:
    """Find the program in the folder of this Python or on the PATH, and its version.

    Returns
    -------
    tuple[Path, str]
        The program, and its version.

    Raises
    ------
    InputError
        It is not installed, or fails.
    """
    beside = Path(sys.executable).with_name("macs3")
    found = str(beside) if beside.is_file() else shutil.which("macs3")
    if found is None:
        do = "run `pip install 'seq2exp-viz[model]'`, or give a narrowPeak file"
        expected = f"macs3 next to {sys.executable} or on the PATH"
        raise InputError("peak calling", found="no program macs3", expected=expected, fix=do)
    ended = subprocess.run([found, "--version"], capture_output=True, text=True, encoding="utf-8", errors="replace")
    if ended.returncode:
        advice = "install macs3 again"
        raise InputError(found, found=_error_lines(ended.stderr), expected="its version", fix=advice)
    return Path(found), ended.stdout.split()[-1]


def run_macs3(command: list[str], folder: Path, log: Path) -> None:
    """Run macs3 in `folder`; its output goes to `log`, whether it succeeds or not.

    Raises
    ------
    InputError
        It fails; the message holds its errors.
    """
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", errors="replace")
    write_text(log, f"$ {shlex.join(command)}\n{ended.stdout}{ended.stderr}")
    if ended.returncode:
        found = f"exit status {ended.returncode} with: {_error_lines(ended.stderr)}"
        advice = f"check inputs and options; its full output is in {log}"
        raise InputError(f"macs3 {command[1]}", found=found, expected="peaks", fix=advice)


def _error_lines(stderr: str) -> str:
    """Return the error lines of a program's output in their order, else its last line.

    macs3 logs its errors as "CRITICAL @ ..." or "ERROR @ ...", the advice first and "terminated!" last. A traceback
    ends in the line with its cause, and argparse in "error: ...".
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    marked = [_LOGGED.sub("", line) for line in lines if _FAULT.search(line)]
    if lines and _RAISED.match(lines[-1]):
        marked.append(lines[-1])
    reported = list(dict.fromkeys(marked or lines[-1:]))
    return " ".join(reported)[:_MOST_LETTERS] if reported else "no output"


def reads_format(paths: Sequence[str]) -> str:
    """Return the -f of callpeak for files that all end in .bam, .bed, .tagAlign or .bedpe (.gz).

    Raises
    ------
    InputError
        Another file extension, or several formats.
    """
    formats = set()
    for path in map(Path, paths):
        bare = path.with_suffix("") if path.suffix.lower() == ".gz" else path
        kind = FORMATS.get(bare.suffix.lower())
        if kind is None:
            do = "convert it, or give the format in options (-f)"
            raise InputError(path, found="an unknown format of reads", expected=", ".join(FORMATS), fix=do)
        formats.add(kind)
    if len(formats) > 1:
        found = f"reads as {' and '.join(sorted(formats))}"
        raise InputError("macs3 callpeak", found=found, expected="one format", fix="convert some of them")
    return formats.pop()


def has_option(options: Sequence[str], short: str, long: str) -> bool:
    """Return whether the option is among the words, in any of the spellings that macs3 accepts."""
    words = [word.split("=")[0] for word in options if word.startswith("-")]
    return any(
        word.startswith(short) if not word.startswith("--") else len(word) > 3 and long.startswith(word)
        for word in words
    )


def refuse_inputs_and_outputs(caller: str, options: Sequence[str]) -> None:
    """Raise InputError if the words set inputs or outputs, in any of the spellings that macs3 accepts."""
    for option in options:
        word = option.split("=")[0]
        short = not word.startswith("--") and word[:2] in _OURS[caller]
        long = len(word) > 3 and word != "--cutoff" and any(ours.startswith(word) for ours in _OURS[caller])
        if short or long:
            expected = "options other than inputs and outputs, which the study sets"
            raise InputError(f"macs3 {caller}", found=f"option {option}", expected=expected, fix="remove it")
