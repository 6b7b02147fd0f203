/* Requests to the server, and the reason where one failed. No science here: every number comes from the server. */

import { state } from "seq2exp/page/state";

const API = "api/v1"; // below the page's own address; the one place that says so

export const SERVER_AWAY = "The server does not answer. If it was stopped, start `seq2exp-viz serve` again. This page then continues by itself.";

/* The address of a path of the HTTP interface; values of `query` that are null, undefined or "" are left out. */
export function apiUrl(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return `${state.config.base}${API}/${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

/* GET as JSON. */
export const ask = (path, query) => readJson(fetch(apiUrl(path, query), { credentials: "same-origin" }));

/* POST an object; the answer as JSON. */
export function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return readJson(fetch(apiUrl(path), { method: "POST", credentials: "same-origin", headers, body: JSON.stringify(body) }));
}

/* POST a file; the answer as JSON. */
export const upload = (path, query, body) => readJson(fetch(apiUrl(path, query), { method: "POST", body, credentials: "same-origin" }));

/* GET as a response, for files; a failure is thrown as by `ask`. */
export async function download(path, query) {
  const answer = await fetch(apiUrl(path, query), { credentials: "same-origin" }).catch(() => {
    throw new Error(SERVER_AWAY);
  });
  return answer.ok ? answer : readJson(Promise.resolve(answer));
}

/* The region that a text names; the server knows the contigs and all spellings.
 * `fromAddress`: the text is one that `plainText` wrote; `chrom`: the contig of a text that names none. */
export const findRegion = (text, { fromAddress = false, chrom = null } = {}) =>
  ask(`${state.run}/place`, { q: text, chrom, written: fromAddress ? 1 : null });

/* The JSON of an answer. A refusal, or an answer that is no JSON, is thrown as an Error for the user, with its status. */
async function readJson(sent) {
  const answer = await sent.catch((problem) => {
    throw problem.name === "AbortError" ? problem : new Error(SERVER_AWAY);
  });
  const text = await answer.text();
  const body = parsed(text);
  if (answer.ok && body !== undefined) return body;
  const reason = explainFailure(answer.status, answer.statusText, answer.headers.get("Content-Type") || "", text);
  throw Object.assign(new Error(reason), { status: answer.status });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/* Why a request failed: the server's own message where there is one, else what the status means. */
export function explainFailure(status, statusText, contentType, text) {
  const message = /text\/plain/.test(contentType) ? text.trim() : /json/.test(contentType) ? (parsed(text) || {}).message || "" : "";
  const own = String(message).slice(0, 500);
  const title = (/<title>([^<]*)<\/title>/i.exec(text) || [])[1];
  const name = (title || `${status} ${statusText}`).replace(/\s+/g, " ").trim().slice(0, 80);
  if (status === 401) return "The server asks for its token again: open the link that `seq2exp-viz serve` printed.";
  if (own) return status === 403 ? `The server refused this page's request: ${own}` : own;
  if (status < 400) return `Not the server of this page answered (“${name}”). A proxy may want you to sign in again: load the page again.`;
  if ([502, 503, 504].includes(status)) return `A proxy in front of the server says “${name}”: the server behind it does not answer. When it answers again, this page continues by itself.`;
  if (status === 413) return `The server, or a proxy in front of it, does not accept a request as large as this one (“${name}”).`;
  if (status >= 500) return `The server could not answer (“${name}”). Its terminal or its log says why. Load the page again to continue.`;
  return `The server, or a proxy in front of it, refused a request of this page (“${name}”).`;
}
