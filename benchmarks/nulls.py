"""How often the rank of an element's effect is 0, by what is planted there: control regions beside shuffled sequence.

    seq2exp-viz effects RUN --controls 20 --shuffles 20
    python benchmarks/nulls.py RUN [RUN ...]

Each RUN is a scored run of a simulated study. Its elements are taken as they were cut and ranked, of all genes with
both ranks, over all RUNs together. An element is causal if it shares a base with one that is planted for its gene. One
that shares no base with a causal element of any gene has no planted effect, and a rank of 0 is a false positive there.
A rank that is as likely to be any of 0 to n would be 0 in 1 / (n + 1) of them. The intervals are of the binomial
distribution (Wilson), as if elements were independent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from scipy.stats import binomtest

from model_core.bed import read_bed
from model_core.errors import InputError
from model_core.intervals import overlaps
from model_core.run_folder.run import Run
from model_core.run_folder.source import study_of

NULLS = {"control regions": ("control_rank", "control_n"), "shuffled sequence": ("shuffle_rank", "shuffle_n")}
NO_EFFECT = "no planted effect"
OTHERS = "causal for another gene"
KINDS = ("causal", OTHERS, "closed", "decoy", "nothing planted")  # the first that an element touches


def ranked(run: Run) -> pd.DataFrame:
    """Return the run's elements that have both ranks, with a column `kind`, one of KINDS."""
    truth = study_of(run).truth
    table = run.effects
    if truth is None or "shuffle_rank" not in table:
        found = "no planted truth" if truth is None else "no effects of shuffled sequence"
        fix = f"simulate a study, or run `seq2exp-viz effects {run.path} --shuffles 20`"
        raise InputError(run.path, found=found, expected="a simulated run with both ranks", fix=fix)
    table = table.dropna(subset=["control_rank", "shuffle_rank"]).reset_index(drop=True)
    folder = Path(str(truth.causal)).parent
    kind = pd.Series("nothing planted", index=table.index)
    for name, file in (("decoy", "decoys.bed"), ("closed", "closed.bed"), (OTHERS, "causal.bed")):
        kind[overlaps(table, read_bed(folder / file))] = name
    causal = dict(iter(read_bed(folder / "causal.bed").groupby("gene")))
    for gene, mine in table.groupby("gene_id"):
        if gene in causal:
            kind[mine.index[overlaps(mine, causal[gene])]] = "causal"
    return table.assign(kind=kind)


def share_of_zero(table: pd.DataFrame, rank: str) -> str:
    """Return the share of elements whose rank is 0, with its 95 % interval, in percent."""
    zero, total = int((table[rank] == 0).sum()), len(table)
    if not total:
        return ""
    low, high = binomtest(zero, total).proportion_ci(method="wilson")
    return f"{zero / total:.1%} ({low:.1%} to {high:.1%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    table = pd.concat([ranked(Run.open(path)) for path in parser.parse_args().runs])
    groups = {name: table[table["kind"] == name] for name in KINDS}
    groups[NO_EFFECT] = table[~table["kind"].isin(["causal", OTHERS])]
    print(f"| elements | number | {' | '.join(f'0 of n {name}' for name in NULLS)} |\n|---|--:|--:|--:|")
    for name, part in groups.items():
        print(f"| {name} | {len(part)} | {' | '.join(share_of_zero(part, rank) for rank, _ in NULLS.values())} |")
    nominal = [f"{(1 / (table[n].astype(float) + 1)).mean():.1%}" for _, n in NULLS.values()]
    print(f"| *nominal, 1 / (n + 1)* | | {' | '.join(nominal)} |")


if __name__ == "__main__":
    main()
