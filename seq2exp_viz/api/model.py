"""The interface to live model work: what-if questions about a gene, and jobs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from model_core.errors import Unavailable
from model_core.run_folder.effects import caveat, caveat_line
from seq2exp_viz.api.answers import RequestError, as_json, integer, json_body
from seq2exp_viz.runs.binning import vector_summary
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.style import label_words
from seq2exp_viz.worker.availability import unavailable_reason
from seq2exp_viz.worker.jobs import KINDS, Jobs, Task, TooMany

if TYPE_CHECKING:
    from seq2exp_viz.worker.shared_jobs import SharedJobs

WAIT_SECONDS = 2.0  # for an answer, before the browser is told to ask again: threads that answer are few
LONGEST_QUESTION = 32_768  # bytes
MOST_REGIONS, MOST_CONTROLS, CONTROLS = 500, 100, 20
LAST_BASE = 2**32
FORGOTTEN = ": it was never asked for, or the process that kept it has ended since"
STATUS = {"done": 200, "cancelled": 409, "failed": 503}  # of a question that has ended


def add_model_routes(routes: Blueprint, route: Callable, registry: RunRegistry, jobs: Jobs | SharedJobs) -> None:
    """Add all routes of this module; `route` is `answers.guarded`."""
    _add_questions(route, jobs)

    @route("/<run>/jobs", methods=("POST",))
    def start(view: RunView) -> Response:
        body = json_body()
        kind, gene = body.get("kind"), name_of(body.get("gene"))
        if kind not in KINDS:
            raise RequestError(f"kind: expected one of {', '.join(KINDS)}")
        if off := unavailable_reason(view.run):
            return as_json({"message": off}, 503)
        known = None if kind == "score" else view.gene(gene)
        names = (gene, gene) if known is None else (str(known["gene_id"]), str(known["symbol"]))
        try:
            job = jobs.start(view.key, view.run.path, names[0], kind, names[1], threshold_in(body))
        except TooMany as problem:
            return as_json({"message": str(problem)}, 429)
        return as_json(told(job), 201)

    @routes.route("/jobs")
    def listed() -> Response:
        return as_json(jobs.all())

    def of_one(answer: Callable) -> Callable:
        @wraps(answer)
        def found(number: int) -> Response:
            job = jobs.get(number)
            if job is None or job.kind == "whatif":
                return as_json({"message": f"There is no job {number}{FORGOTTEN}."}, 404)
            return answer(job)

        return found

    @routes.route("/jobs/<int:number>")
    @of_one
    def one(job: Task) -> Response:
        return as_json(told(job))

    @routes.route("/jobs/<int:number>/cancel", methods=["POST"])
    @of_one
    def cancel(job: Task) -> Response:
        jobs.cancel(job.id)
        return as_json(told(jobs.get(job.id) or job))


def _add_questions(route: Callable, jobs: Jobs | SharedJobs) -> None:
    @route("/<run>/whatif")
    def offer(view: RunView) -> Response:
        """Whether one can ask, how far the answers can be trusted, and their unit."""
        config, unit = view.run.config, label_words(view)
        return as_json(
            {"off": unavailable_reason(view.run), "note": caveat(config), "line": caveat_line(config), "unit": unit}
        )

    @route("/<run>/whatif", methods=("POST",))
    def ask(view: RunView) -> Response:
        body = json_body(LONGEST_QUESTION)
        gene = str(view.gene(name_of(body.get("gene")))["gene_id"])
        question = question_of(body)
        page = body.get("page") or ""
        if not isinstance(page, str) or len(page) > 64:
            raise RequestError("page: expected a text of at most 64 letters")
        if off := unavailable_reason(view.run):
            return as_json({"message": off}, 503)
        task = jobs.ask(view.key, view.run.path, view.model_version, gene, question, page)
        return answer_of(view, jobs.wait(task, WAIT_SECONDS))

    @route("/<run>/whatif/<int:number>")
    def again(view: RunView, number: int) -> Response:
        task = jobs.get(number)
        if task is None or task.kind != "whatif" or task.run != view.key:
            return as_json({"message": f"There is no question {number}{FORGOTTEN}."}, 404)
        return answer_of(view, jobs.wait(task, WAIT_SECONDS))

    @route("/<run>/genes/<path:gene>/occlusion")
    def occlusion(view: RunView, gene: str) -> Response:
        """The occlusion track over a view, as the query asks; 404 where it was not computed."""
        track = view.occlusion(str(view.gene(gene)["gene_id"]))
        if track is None:
            raise Unavailable("The occlusion of this gene was not computed yet.")
        first, last = integer("start", track.start), integer("end", track.start + track.length)
        bins = integer("bins", 1000)
        return as_json(vector_summary(track.bases, track.chrom, track.start, first, last, bins, digits=6))

    @route("/<run>/genes/<path:gene>/effects")
    def effects(view: RunView, gene: str) -> Response:
        """What is known of the gene's elements, and the job that is finding out."""
        gene_id = str(view.gene(gene)["gene_id"])
        job = jobs.running(view.key, gene_id, "effects")
        rows = {row["element"]: row for row in view.effect_rows(gene_id)} | (dict(job.rows) if job is not None else {})
        return as_json({"gene": gene_id, "rows": list(rows.values()), "job": None if job is None else job.shown()})


def answer_of(view: RunView, task: Task) -> Response:
    """The answer to a question, or (202) how far it is and the id to ask again with."""
    if task.state == "done":
        return as_json({**task.result, "note": caveat(view.run.config)})
    if task.ended:
        return as_json({"message": task.message}, STATUS[task.state])
    shown = task.shown()
    return as_json({name: shown[name] for name in ("id", "state", "done", "total", "seconds_left", "message")}, 202)


def told(job: Task) -> dict:
    """A job with all that came out of it so far."""
    return {**job.shown(), "rows": list(dict(job.rows).values()), "result": job.result}


def name_of(value: object) -> str:
    """A gene's name out of a request."""
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise RequestError("gene: expected an id or symbol of at most 200 letters")
    return value


def question_of(body: dict) -> dict:
    """off, on, threshold and controls of a what-if, checked; every one may be missing."""
    controls = body.get("controls", CONTROLS)
    if not _whole(controls) or not 0 <= controls <= MOST_CONTROLS:
        raise RequestError(f"controls: expected a whole number from 0 to {MOST_CONTROLS}")
    regions = {name: _regions(name, body.get(name)) for name in ("off", "on")}
    return {**regions, "threshold": threshold_in(body), "controls": controls}


def threshold_in(body: dict) -> float | None:
    """The threshold of a request's body, None for the run's own."""
    threshold = body.get("threshold")
    if threshold is None:
        return None
    if not _number(threshold) or not 0 <= threshold <= 1:
        raise RequestError("threshold: expected a number from 0 to 1, or null")
    return float(threshold)


def _regions(name: str, given: object) -> list[list[int]]:
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > MOST_REGIONS:
        raise RequestError(f"{name}: expected a list of at most {MOST_REGIONS} regions")
    found = set()
    for region in given:
        bounds = (region.get("start"), region.get("end")) if isinstance(region, dict) else (None, None)
        if not all(_whole(bound) for bound in bounds) or not 0 <= bounds[0] < bounds[1] <= LAST_BASE:
            raise RequestError(f'{name}: expected regions {{"start": 0-based, "end": one past the last base}}')
        found.add(bounds)
    return [list(bounds) for bounds in sorted(found)]


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return _whole(value) or isinstance(value, float)
