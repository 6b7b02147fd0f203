"""What the surroundings hold changes no answer: clusters, locales, homes, proxies, terminals, threads."""

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from file_server import serve_whole
from viewer_run import make_study

from model_core.errors import InputError
from model_core.remote.download import head_size
from model_core.training.launch import OwnProcesses, environment
from model_core.training.ranks import process_number

ROOT = Path(__file__).parents[1]
WORK = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[3], 8))
import seq2exp_viz.cli as cli
study, out = sys.argv[1:3]
def command(*words):
    sys.argv = ["seq2exp-viz", *words]
    try:
        cli.main()
    except SystemExit as ended:
        assert not ended.code, words
small = ["--steps", "3", "--batch-size", "2", "--width", "8", "--depth", "1", "--device", "cpu"]
command("train", study, "--variant", "causal", "--pretrain", "1", "--blocks", "1", *small, "--out", out + "/run")
command("score", out + "/run", "--all", "--device", "cpu")
for kind in ("bed", "narrowpeak", "gff3", "bigwig"):
    command("export", out + "/run", kind, "-o", out + "/all." + kind)
command("figure", out + "/run", "--gene", "MYC", "-o", out + "/figure.svg")
command("check", study)
from seq2exp_viz.app import Settings, create_app
from seq2exp_viz.runs.registry import RunRegistry
registry = RunRegistry([out + "/run"])
client = create_app(registry, Settings(igv="notebook")).server.test_client()
models = "models/gene?chrom=chr1&start=0&end=40000"
for number, path in enumerate(("genes", "genes/MYC/mask", "genes/MYC/elements", models)):
    answer = client.get("/api/v1/run/" + path)
    assert answer.status_code == 200, answer.data
    Path(f"{out}/page.{number}.json").write_bytes(answer.data)
registry.close()
"""
MADE = ("run/checkpoint.safetensors", "run/elements/elements.bed", "run/genes.tsv", "run/tracks/mask.bigWig")
MADE += (
    "all.bed",
    "all.narrowpeak",
    "all.gff3",
    "all.bigwig",
    "figure.svg",
    *(f"page.{number}.json" for number in range(4)),
)
SETTLED = ("SLURM_", "OMP_", "MKL_", "OPENBLAS_", "CUDA_", "PYTHON", "LC_", "XDG_", "SEQ2EXP_", "PL_")
SETTLED += ("LANG", "TZ", "TERM", "COLUMNS", "NO_COLOR", "MPLBACKEND", "DISPLAY", "RANK", "LOCAL_RANK", "WORLD_SIZE")
SETTLED += ("MASTER_", "NODE_RANK", "GROUP_RANK", "TORCHELASTIC", "http", "HTTP", "ALL_PROXY", "all_proxy", "NUMBA_")
JOB = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "2",
}
JOB |= {"SLURM_NODELIST": "node[1-4]", "SLURM_NNODES": "4", "SLURM_NODEID": "2", "SLURM_STEP_NUM_TASKS": "4"}
TORCHRUN = {"MASTER_ADDR": "192.0.2.1", "MASTER_PORT": "29500", "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
PROXY = dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TERMINAL = {
    "TERM": "dumb",
    "COLUMNS": "20",
    "NO_COLOR": "1",
    "DISPLAY": ":77",
    "MPLBACKEND": "nonsense",
    "TZ": "Asia/Kathmandu",
}
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# What is tried together can be told apart by what it would change: a hang, the letters, the warnings.
SURROUNDINGS = {
    "srun, a SLURM job, torchrun's variables": {**JOB, **TORCHRUN, "PATH": "srun", "CUDA_VISIBLE_DEVICES": "7"},
    "an ASCII locale, a dumb terminal": {**ASCII, **TERMINAL, "umask": "077"},
    "no home, proxies, warnings are errors": {**PROXY, "HOME": None, "PYTHONWARNINGS": "error"},
    "one thread": THREADS,
}
EXACT = [name for name in SURROUNDINGS if name != "one thread"]


def digest(path: Path) -> str:
    """Hash a file's bytes, or of a checkpoint its weights', because safetensors writes its header in any order."""
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        content = content[8 + int.from_bytes(content[:8], "little") :]
    content = re.sub(rb"checkpoint_sha256=[0-9a-f]{64}", b"", content)
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Train, score, export, draw and serve in surroundings: (digests of what was made, folder, what was said)."""
    study = make_study(tmp_path_factory.mktemp("surroundings") / "study")
    programs = tmp_path_factory.mktemp("programs")
    (programs / "srun").write_text("#!/bin/sh\nexit 1\n")
    (programs / "srun").chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(SETTLED)}
    plain |= {"PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "CUDA_VISIBLE_DEVICES": ""}

    def run(settings: dict) -> tuple[dict[str, str], Path, str]:
        out = tmp_path_factory.mktemp("out")
        environ = {**plain, **settings}
        mask = environ.pop("umask", "022")
        if settings.get("PATH") == "srun":
            environ["PATH"] = f"{programs}{os.pathsep}{plain['PATH']}"
        environ = {name: value for name, value in environ.items() if value is not None}
        words = [sys.executable, "-c", WORK, str(study), str(out), mask]
        done = subprocess.run(words, env=environ, cwd=ROOT, capture_output=True, timeout=200)
        said = (done.stdout + done.stderr).decode("utf-8", "replace").replace(str(out), "OUT")
        assert done.returncode == 0, said
        return {name: digest(out / name) for name in MADE}, out, said

    return run


@pytest.fixture(scope="module")
def plain(work):
    return work({})


@pytest.mark.parametrize("name", EXACT)
def test_the_surroundings_change_no_byte(work, plain, name):
    made, _, said = work(SURROUNDINGS[name])
    assert made == plain[0]
    for word in ("srun", "UserWarning", "FutureWarning", "Traceback"):
        assert word not in said, said


@pytest.mark.nightly
def test_fewer_threads_change_no_more_than_the_last_digits(work, plain):
    """Sums in another order: float32 has seven digits, and three steps of training pass them on."""
    _, out, _ = work(SURROUNDINGS["one thread"])
    tables = [json.loads((folder / "page.0.json").read_text()) for folder in (plain[1], out)]
    numbers = [np.array([row["predicted"] for row in table]) for table in tables]
    np.testing.assert_allclose(numbers[0], numbers[1], atol=2e-4)
    masks = [json.loads((folder / "page.1.json").read_text()) for folder in (plain[1], out)]
    np.testing.assert_allclose(masks[0]["mean"], masks[1]["mean"], atol=2e-3)


# ---------------------------------------------------------------------------------------------- who starts whom


@pytest.fixture
def environ(monkeypatch):
    """Set variables, with all that could be set already taken away."""
    for name in [name for name in os.environ if name.startswith((*SETTLED, "SEQ2EXP_STARTED"))]:
        monkeypatch.delenv(name)

    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize("variables", [JOB, TORCHRUN, {**JOB, "SLURM_JOB_NAME": "bash"}, {"LOCAL_RANK": "3"}])
def test_one_process_is_the_first_and_only_one_whatever_is_set(environ, variables):
    environ(**variables)
    assert process_number() == 0
    alone = environment(1, 1)
    assert isinstance(alone, OwnProcesses)
    assert (alone.global_rank(), alone.local_rank(), alone.node_rank(), alone.world_size()) == (0, 0, 0, 1)
    assert alone.main_address == "127.0.0.1"
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    assert rank_zero_only.rank == 0


def test_several_processes_are_started_here_unless_somebody_started_as_many(environ):
    environ(LOCAL_RANK="1", RANK="1", WORLD_SIZE="2", MASTER_PORT="1", SLURM_NTASKS="2", SLURM_PROCID="1")
    assert process_number(2) == 0  # left over from something else
    ours = environment(2, 1)
    assert isinstance(ours, OwnProcesses)
    assert ours.local_rank() == 0
    assert ours.main_port > 1024
    environ(SEQ2EXP_STARTED_BY=f"2:{os.getppid()}", LOCAL_RANK="1")
    assert process_number(2) == 1
    theirs = environment(2, 1)
    assert theirs.local_rank() == 1
    theirs.start_others().check()  # none: it is one of them
    assert process_number(3) == 0  # of other work


@pytest.mark.parametrize(
    ("variables", "kind", "number"),
    [
        ({**TORCHRUN, "TORCHELASTIC_RUN_ID": "x"}, "TorchElasticEnvironment", 1),
        (JOB, "SLURMEnvironment", 2),
        ({name: value for name, value in JOB.items() if name != "SLURM_STEP_NUM_TASKS"}, "OwnProcesses", 0),  # sbatch
    ],
)
def test_torchrun_and_srun_count_where_they_started_as_many_as_asked_for(environ, variables, kind, number):
    environ(**variables)
    assert process_number(2, 2) == number
    assert type(environment(2, 2)).__name__ == kind


def test_srun_with_another_number_of_tasks_is_one_clear_message(environ):
    environ(**JOB)
    with pytest.raises(InputError, match=r"srun: found a step of 4 tasks; expected 2 .* --ntasks=2"):
        environment(2, 1)


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch):
    for name, value in PROXY.items():
        monkeypatch.setenv(name, value)
    with serve_whole() as files:
        files.content["/x.bed"] = b"chr1\t1\t2\n"
        assert head_size(f"{files.url()}/x.bed") == 9


def test_all_text_is_read_and_written_as_utf8_whatever_the_locale():
    """Every file that is opened as text names its encoding, so that the locale is never asked."""
    for path in [*(ROOT / "model_core").rglob("*.py"), *(ROOT / "seq2exp_viz").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            named = {keyword.arg for keyword in node.keywords}
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            opens = name == "open" and any(set(text) <= set("rwax+t") for text in texts)
            if opens or name == "read_text" or (name == "write_text" and isinstance(node.func, ast.Attribute)):
                assert "encoding" in named or re.search("h5py|BigWig|pybigtools|matrix", ast.unparse(node)), (
                    f"{path} line {node.lineno}"
                )
