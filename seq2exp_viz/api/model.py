"""The routes of the live model: what-if questions about a gene, and jobs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, TypeGuard

from flask import Blueprint, Response

from model_core.errors import Unavailable
from model_core.run_folder.effects import caveat, caveat_line, row_values
from model_core.run_folder.run import Run
from seq2exp_viz.api.http import RequestError, as_json, integer, json_body
from seq2exp_viz.runs.binning import vector_summary
from seq2exp_viz.runs.element_effects import with_scores
from seq2exp_viz.runs.registry import RunRegistry
from seq2exp_viz.runs.run_view import RunView
from seq2exp_viz.runs.style import label_words
from seq2exp_viz.worker.availability import unavailable_reason
from seq2exp_viz.worker.gpu import gpu_words
from seq2exp_viz.worker.jobs import KINDS, Jobs, Task, TooMany

if TYPE_CHECKING:
    from seq2exp_viz.worker.shared_jobs import SharedJobs

WAIT_SECONDS = 2.0  # for an answer, before the browser has to ask again: the server has few threads
MOST_WAITING = 3  # requests that wait for an answer at once, so that threads are left for other requests
LONGEST_QUESTION = 32_768  # bytes
MOST_REGIONS, MOST_CONTROLS, CONTROLS = 500, 100, 20
LAST_BASE = 2**32
FORGOTTEN = ": it was never started, or the process that kept it has ended"
STATUS = {"done": 200, "cancelled": 409, "failed": 503}  # of a question that has ended


def add_model_routes(
    routes: Blueprint, route: Callable, registry: RunRegistry, jobs: Jobs | SharedJobs, read_only: bool = False
) -> None:
    """Add all routes of this module; `route` is `http.guarded`. A read-only server says that it predicts nothing."""
    _add_questions(route, jobs, read_only)

    @route("/<run>/jobs", methods=("POST",))
    def start(view: RunView) -> Response:
        body = json_body()
        kind, gene = body.get("kind"), name_of(body.get("gene"))
        if not isinstance(kind, str) or kind not in KINDS:
            raise RequestError(f"kind: expected one of {', '.join(KINDS)}")
        if off := unavailable_reason(view.run):
            return as_json({"message": off}, 503)
        known = None if kind == "score" else view.run.gene(gene)
        names = (gene, gene) if known is None else (str(known["gene_id"]), str(known["symbol"]))
        try:
            job = jobs.start(view.key, view.run.path, names[0], kind, names[1], threshold_in(body))
        except TooMany as problem:
            return as_json({"message": str(problem)}, 429)
        return as_json(job_answer(job, registry), 201)

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
        return as_json(job_answer(job, registry))

    @routes.route("/jobs/<int:number>/cancel", methods=["POST"])
    @of_one
    def cancel(job: Task) -> Response:
        jobs.cancel(job.id)
        return as_json(job_answer(jobs.get(job.id) or job, registry))


def _add_questions(route: Callable, jobs: Jobs | SharedJobs, read_only: bool) -> None:
    places = BoundedSemaphore(MOST_WAITING)

    def waited(task: Task) -> Task:
        """Return the task once it has ended or WAIT_SECONDS later; at once where MOST_WAITING requests wait already."""
        if not places.acquire(blocking=False):
            return jobs.wait(task, 0.0)
        try:
            return jobs.wait(task, WAIT_SECONDS)
        finally:
            places.release()

    @route("/<run>/whatif")
    def offer(view: RunView) -> Response:
        """Return whether a what-if is available, its caveats, the GPU if any, and the unit of the answers."""
        off = "What-if is off: this server is read-only." if read_only else unavailable_reason(view.run)
        config, unit = view.config, label_words(view)
        line = " ".join(filter(None, [caveat_line(config), "" if off else gpu_words()]))
        return as_json({"off": off, "note": caveat(config), "line": line, "unit": unit})

    @route("/<run>/whatif", methods=("POST",))
    def ask(view: RunView) -> Response:
        body = json_body(LONGEST_QUESTION)
        gene = str(view.run.gene(name_of(body.get("gene")))["gene_id"])
        question = question_of(body)
        page = body.get("page") or ""
        if not isinstance(page, str) or len(page) > 64:
            raise RequestError("page: expected a text of at most 64 characters")
        if off := unavailable_reason(view.run):
            return as_json({"message": off}, 503)
        try:
            task = jobs.ask(view.key, view.run.path, _model_version(view.run), gene, question, page)
        except TooMany as problem:
            return as_json({"message": str(problem)}, 429)
        return answer_of(view, waited(task))

    @route("/<run>/whatif/<int:number>")
    def again(view: RunView, number: int) -> Response:
        task = jobs.get(number)
        if task is None or task.kind != "whatif" or task.run != view.key:
            return as_json({"message": f"There is no question {number}{FORGOTTEN}."}, 404)
        return answer_of(view, waited(task))

    @route("/<run>/genes/<path:gene>/occlusion")
    def occlusion(view: RunView, gene: str) -> Response:
        """Return the occlusion track in the region of the query; 404 where it was not computed."""
        track = view.run.occlusion(str(view.run.gene(gene)["gene_id"]))
        if track is None:
            raise Unavailable("The occlusion of this gene has not been computed.")
        first, last = integer("start", track.start), integer("end", track.start + track.length)
        bins = integer("bins", 1000)
        return as_json(vector_summary(track.bases, track.chrom, track.start, first, last, bins, digits=6))

    @route("/<run>/genes/<path:gene>/effects")
    def effects(view: RunView, gene: str) -> Response:
        """Return the known effects of the gene's elements, and the job that computes them, if any."""
        gene_id = str(view.run.gene(gene)["gene_id"])
        job = jobs.running(view.key, gene_id, "effects")
        rows = {row["element"]: row for row in _effect_rows(view.run, gene_id)} | (
            dict(job.rows) if job is not None else {}
        )
        known = with_scores(view, gene_id, list(rows.values()))
        return as_json({"gene": gene_id, "rows": known, "job": None if job is None else job.shown()})


def _model_version(run: Run) -> str:
    """Return a text that changes when answers to a what-if may: with the weights, the element rule or the run."""
    return f"{run.manifest['created']} {run.checkpoint_sha256} {run.manifest['element_rule']}"


def _effect_rows(run: Run, gene_id: str) -> list[dict]:
    """Return the known effects of a gene's elements (model_core.run_folder.effects.ROW and the fold change)."""
    record = run.effect_records.get(gene_id)
    return [] if record is None else [row_values(row, record["label_transform"]) for row in record["rows"]]


def answer_of(view: RunView, task: Task) -> Response:
    """Return the answer to a question, or, with status 202, its progress and the id for the next request."""
    if task.state == "done":
        return as_json({**(task.result or {}), "note": caveat(view.config)})
    if task.ended:
        return as_json({"message": task.message}, STATUS[task.state])
    shown = task.shown()
    return as_json({name: shown[name] for name in ("id", "state", "done", "total", "seconds_left", "message")}, 202)


def job_answer(job: Task, registry: RunRegistry) -> dict:
    """Return a job with all its results so far."""
    rows, view = list(dict(job.rows).values()), registry.get(job.run)
    rows = rows if view is None or job.kind != "effects" else with_scores(view, job.gene, rows)
    return {**job.shown(), "rows": rows, "result": job.result}


def name_of(value: object) -> str:
    """Return the name of a gene in a request's body, checked."""
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise RequestError("gene: expected an id or symbol of at most 200 characters")
    return value


def question_of(body: dict) -> dict:
    """Return off, on, threshold and controls of a what-if, checked; each may be missing in the body."""
    controls = body.get("controls", CONTROLS)
    if not _whole(controls) or not 0 <= controls <= MOST_CONTROLS:
        raise RequestError(f"controls: expected a whole number from 0 to {MOST_CONTROLS}")
    regions = {name: _regions(name, body.get(name)) for name in ("off", "on")}
    return {**regions, "threshold": threshold_in(body), "controls": controls}


def threshold_in(body: dict) -> float | None:
    """Return the threshold of a request's body, None for the run's own."""
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
    found: set[tuple[int, int]] = set()
    for region in given:
        start, end = (region.get("start"), region.get("end")) if isinstance(region, dict) else (None, None)
        if not _whole(start) or not _whole(end) or not 0 <= start < end <= LAST_BASE:
            raise RequestError(f'{name}: expected regions {{"start": 0-based, "end": one past the last base}}')
        found.add((start, end))
    return [list(bounds) for bounds in sorted(found)]


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> TypeGuard[float]:
    return _whole(value) or isinstance(value, float)
