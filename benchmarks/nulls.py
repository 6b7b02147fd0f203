"""How often a place without any planted effect stands out: beside control regions, shuffled sequence, its own error.

    python benchmarks/nulls.py RUN [RUN ...] [--genes 40] [--copies 20]

Each RUN is a scored run of a simulated study, with its model, such as OUT/plain-1/causal-0 of `worlds.py --out OUT`. Of
its first test genes, two kinds of places are ranked as `seq2exp-viz effects --shuffles N` ranks elements: the elements
that the run has, and all that was planted in the window outside the promoter, whether the mask keeps it or not.

What a place is to this gene, truth/pairs.tsv of the study says. It is causal if it shares a base with an element that
is planted for the gene, and acts little if with one whose effect on this gene is below what counts as causal there.
Decoys, closed sites, insulators and places where nothing is planted have no effect: there a rank of 0 is a false
positive. A rank that is as likely to be any of 0 to n would be 0 in 1 / (n + 1) of them. Of runs that store the effects
of an ensemble, "direction told" is the share of places whose effect is at least 2 sd of its members and 0.02 from 0;
`--copies 0` prints that alone, which needs no prediction. The intervals are of the binomial distribution (Wilson), as
if places were independent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
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
from model_core.run_folder.element_gene_score import LOWERS, RAISES, direction
from model_core.run_folder.elements import PROMOTER_CLASS
from model_core.run_folder.member_effects import region_effect
from model_core.run_folder.run import Run

NULLS = {"control regions": "control_rank", "shuffled sequence": "shuffle_rank"}
TOLD, SIZE = "direction told", "median size"
CAUSAL, LITTLE, NOTHING = "causal", "acts little", "nothing planted"
WITHOUT_EFFECT = ("closed", "decoy", "insulator", NOTHING)
KINDS = (CAUSAL, LITTLE, *WITHOUT_EFFECT)
ALL_WITHOUT = "no planted effect"


def planted_of(model: RunModel) -> pd.DataFrame:
    """Return all element-gene pairs in reach of the run's study: chrom, start, end, name, gene, kind of KINDS.

    Raises
    ------
    InputError
        The study is not simulated, or was simulated before such pairs were written.
    """
    truth = model.study.truth
    if truth is None:
        raise InputError(model.run.path, found="no planted truth", expected="a simulated run", fix="choose another")
    path = Path(str(truth.causal)).with_name("pairs.tsv")
    if not path.is_file():
        raise InputError(path, found="no such file", expected="planted pairs", fix="simulate the study again")
    pairs, causal = pd.read_csv(path, sep="\t"), read_bed(truth.causal)
    named = set(zip(causal["name"], causal["gene"], strict=True))
    known = [pair in named for pair in zip(pairs["element"], pairs["gene"], strict=True)]
    if odd := set(pairs["kind"]) - set(KINDS):
        raise InputError(path, found=f"kinds {odd}", expected=f"some of {KINDS}", fix="add them to this script")
    kind = pairs["kind"].mask((pairs["kind"] == CAUSAL) & ~pd.Series(known), LITTLE)
    return pairs.rename(columns={"element": "name"}).assign(kind=kind)


def places_of(run: Run, gene: pd.Series, planted: pd.DataFrame) -> pd.DataFrame:
    """Return the places of a gene that are ranked: name, chrom, start, end, class, kind, and `of`.

    They are the run's elements, and what is planted within the window and outside the promoter, each once.
    """
    elements = run.cut(gene["gene_id"])
    promoter = elements[elements["class"] == PROMOTER_CLASS]
    mine = planted[planted["gene"] == gene["gene_id"]]
    inside = (mine["start"] >= gene["start"]) & (mine["end"] <= gene["end"]) & ~overlaps(mine, promoter)
    kept = elements[elements["class"] != PROMOTER_CLASS][["name", "chrom", "start", "end"]]
    kind = pd.Series(NOTHING, index=kept.index)
    for name in reversed(KINDS):  # what acts decides where an element lies over several
        kind[overlaps(kept, mine[mine["kind"] == name])] = name
    parts = [kept.assign(kind=kind, of="element"), mine[inside].assign(of="planted")]
    return pd.concat(parts, ignore_index=True).assign(**{"class": ""})


def ranked(model: RunModel, genes: int, copies: int) -> pd.DataFrame:
    """Return the places of a run's first test genes: kind, of, ROW and SHUFFLE_ROW (unless copies is 0), TOLD (bool).

    TOLD, and `size` of the effect with it, are there only where the run stores effects of several members.
    """
    run, planted, tables = model.run, planted_of(model), []
    chosen = choose_scored(run).head(genes)
    with Job(f"ranking places of {run.name}", len(chosen)) as job:
        for _, gene in chosen.iterrows():
            places, gene_id = places_of(run, gene, planted), str(gene["gene_id"])
            if copies and len(places):
                what_if = model.what_if(gene_id)
                rows = knock_out(what_if, places, run.chrom_sizes, gene_id, copies)
                places[list(ROW)] = pd.DataFrame(rows, columns=list(ROW))
                places[list(SHUFFLE_ROW)] = shuffled_rows(what_if, rows, copies, gene_id)
            tables.append(places.assign(**told(run, gene_id, places)))
            job.advance(note=gene["symbol"])
    table = pd.concat([part for part in tables if len(part)] or tables)
    return table.dropna(subset=[rank for rank in NULLS.values() if rank in table])


def told(run: Run, gene_id: str, places: pd.DataFrame) -> dict[str, list]:
    """Return whether the direction of each place's effect can be told, and its size; empty without several members."""
    effects = run.member_effects(gene_id)
    if effects is None or len(effects.values) < 2:
        return {}
    found = [region_effect(effects, *place) for place in zip(places["start"], places["end"], strict=True)]
    return {
        TOLD: [direction(one.effect, one.effect_sd) in (RAISES, LOWERS) for one in found],
        SIZE: [abs(one.effect) for one in found],
    }


def share_of(holds: pd.Series) -> str:
    """Return the share of True, with its 95 % interval, in percent; "" without a value."""
    if holds.empty:
        return ""
    count, total = int(holds.sum()), len(holds)
    low, high = binomtest(count, total).proportion_ci(method="wilson")
    return f"{100 * count / total:.0f} ({100 * low:.0f} to {100 * high:.0f})"


def lines_of(table: pd.DataFrame) -> list[str]:
    """Return the rows of the printed table."""
    columns: dict[str, Callable[[pd.DataFrame], str]] = {
        name: lambda part, rank=rank: share_of(part[rank] == 0) for name, rank in NULLS.items() if rank in table
    }
    if TOLD in table:
        columns |= {TOLD: lambda part: share_of(part[TOLD]), SIZE: lambda part: f"{part[SIZE].median():.3f}"}
    lines = [f"| place | number | {' | '.join(columns)} |", f"|---|--:|{'--:|' * len(columns)}"]
    for of in ("element", "planted"):
        mine = table[table["of"] == of]
        groups = {kind: mine[mine["kind"] == kind] for kind in KINDS}
        groups[ALL_WITHOUT] = mine[mine["kind"].isin(WITHOUT_EFFECT)]
        for name, part in groups.items():
            if len(part):
                cells = " | ".join(cell(part) for cell in columns.values())
                lines.append(f"| {of}: {name} | {len(part)} | {cells} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--genes", type=int, default=40, help="test genes of each run")
    parser.add_argument("--copies", type=int, default=20, help="control regions, and shuffled copies; 0: neither")
    a = parser.parse_args()
    for path in a.runs:
        table = ranked(RunModel(Run.open(path)), a.genes, a.copies)
        nominal = f"rank 0 of {a.copies}, % of places (nominal {100 / (a.copies + 1):.1f})"
        print(f"\n{path}: {nominal if a.copies else 'stored effects, % of places'}\n")
        print("\n".join(lines_of(table)))


if __name__ == "__main__":
    main()
