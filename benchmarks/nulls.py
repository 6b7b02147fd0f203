"""How often an effect's rank is 0, by what is planted at a place: control regions beside shuffled sequence.

    python benchmarks/nulls.py RUN [RUN ...] [--genes 40] [--copies 20]

Each RUN is a scored run of a simulated study, with its model. Of its first test genes, two kinds of places are ranked
as `seq2exp-viz effects --shuffles N` ranks elements: the elements that the run has, and all that was planted in the
window outside the promoter, whether the mask keeps it or not. A place is causal if it shares a base with an element
that is planted for this gene. One that shares no base with a causal element of any gene has no planted effect: there a
rank of 0 is a false positive. A rank that is as likely to be any of 0 to n would be 0 in 1 / (n + 1) of them. The
intervals are of the binomial distribution (Wilson), as if places were independent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from scipy.stats import binomtest

from model_core.bed import read_bed
from model_core.errors import InputError
from model_core.intervals import overlaps
from model_core.perturbation.knockout import knock_out
from model_core.perturbation.rank import choose_scored
from model_core.perturbation.run_model import RunModel
from model_core.perturbation.shuffled_sequence import shuffled_rows
from model_core.progress import Job
from model_core.run_folder.effects import ROW, SHUFFLE_ROW
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.run import Run

NULLS = {"control regions": "control_rank", "shuffled sequence": "shuffle_rank"}
OTHERS, NOTHING = "causal for another gene", "nothing planted"
FILES = {"decoy": "decoys.bed", "closed": "closed.bed", "causal": "causal.bed"}
KINDS = ("causal", OTHERS, "closed", "decoy", NOTHING)
WITHOUT_EFFECT = ("closed", "decoy", NOTHING)


def planted_of(model: RunModel) -> pd.DataFrame:
    """Return all that is planted in the run's study: chrom, start, end, name, gene, kind."""
    truth = model.study.truth
    if truth is None:
        raise InputError(model.run.path, found="no planted truth", expected="a simulated run", fix="choose another")
    folder = Path(str(truth.causal)).parent
    return pd.concat([read_bed(folder / file).assign(kind=kind) for kind, file in FILES.items()])


def places_of(run: Run, gene: pd.Series, planted: pd.DataFrame) -> pd.DataFrame:
    """Return the places of a gene that are ranked: name, chrom, start, end, class and kind.

    They are the run's elements and what is planted within the window and outside the promoter.
    """
    elements = run.cut(gene["gene_id"])
    promoter = elements[elements["class"] == PROMOTER_CLASS]
    window = pd.DataFrame({"chrom": [gene["chrom"]], "start": [gene["start"]], "end": [gene["end"]]})
    here = planted[overlaps(planted, window) & ~overlaps(planted, promoter)]
    here = here[(here["start"] >= gene["start"]) & (here["end"] <= gene["end"])]
    kept = elements[elements["class"] != PROMOTER_CLASS][["name", "chrom", "start", "end"]]
    kind = pd.Series(NOTHING, index=kept.index)
    for name in ("decoy", "closed", "causal"):
        kind[overlaps(kept, planted[planted["kind"] == name])] = name
    causal = planted[planted["kind"] == "causal"]
    kind[(kind == "causal") & ~overlaps(kept, causal[causal["gene"] == gene["gene_id"]])] = OTHERS
    there = here["kind"].where((here["kind"] != "causal") | (here["gene"] == gene["gene_id"]), OTHERS)
    parts = [kept.assign(kind=kind, of="element"), here.assign(kind=there, of="planted")]
    return pd.concat(parts, ignore_index=True).assign(**{"class": ""})


def ranked(model: RunModel, genes: int, copies: int) -> pd.DataFrame:
    """Return the places of a run's first test genes with both ranks: kind, of, ROW, SHUFFLE_ROW."""
    run, planted, tables = model.run, planted_of(model), []
    chosen = choose_scored(run).head(genes)
    with Job(f"ranking places of {run.name}", len(chosen)) as job:
        for _, gene in chosen.iterrows():
            places = places_of(run, gene, planted)
            what_if, gene_id = model.what_if(gene["gene_id"]), str(gene["gene_id"])
            rows = knock_out(what_if, places, run.chrom_sizes, gene_id, copies)
            table = pd.DataFrame(rows, columns=list(ROW)).assign(kind=places["kind"], of=places["of"])
            if rows:
                table[list(SHUFFLE_ROW)] = shuffled_rows(what_if, rows, copies, gene_id)
                tables.append(table)
            job.advance(note=gene["symbol"])
    return pd.concat(tables).dropna(subset=list(NULLS.values()))


def share_of_zero(ranks: pd.Series) -> str:
    """Return the share of ranks that are 0, with its 95 % interval, in percent; "" without ranks."""
    if ranks.empty:
        return ""
    zero, total = int((ranks == 0).sum()), len(ranks)
    low, high = binomtest(zero, total).proportion_ci(method="wilson")
    return f"{100 * zero / total:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--genes", type=int, default=40, help="test genes of each run")
    parser.add_argument("--copies", type=int, default=20, help="control regions, and shuffled copies")
    a = parser.parse_args()
    for path in a.runs:
        table = ranked(RunModel(Run.open(path)), a.genes, a.copies)
        print(f"\n{path}: rank 0 of {a.copies}, % of places (nominal {100 / (a.copies + 1):.1f})\n")
        print(f"| place | number | {' | '.join(NULLS)} |\n|---|--:|--:|--:|")
        for of in ("element", "planted"):
            mine = table[table["of"] == of]
            groups = {kind: mine[mine["kind"] == kind] for kind in KINDS}
            groups["no planted effect"] = mine[mine["kind"].isin(WITHOUT_EFFECT)]
            for name, part in groups.items():
                if len(part):
                    cells = " | ".join(share_of_zero(part[rank]) for rank in NULLS.values())
                    print(f"| {of}: {name} | {len(part)} | {cells} |")


if __name__ == "__main__":
    main()
