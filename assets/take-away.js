/* What can be taken away from the page and shared: figures, pictures, reports, sessions; a view as a file and back. */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, byId, say, save, actions } = bridge;
  const VIEW = { "seq2exp-viz": "view", schema: 1 };
  const LONGEST = 4000; // letters of one part of a saved view

  const stem = () => state.view.stem;

  /* The name that an answer is to be saved under: the one in any letters (RFC 5987) before the one in ASCII. */
  function nameOf(answer) {
    const told = answer.headers.get("Content-Disposition") || "";
    const full = /filename\*=UTF-8''([^;\s]+)/i.exec(told);
    const plain = /filename="([^"]+)"/.exec(told);
    return full ? decodeURIComponent(full[1]) : plain ? plain[1] : stem();
  }

  /* Ask the server for a file and save it under the name that it gives; what goes wrong is told in the page. */
  async function fetchFile(path, query, words) {
    say(`${words} …`);
    try {
      const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
      const address = `${state.config.base}${path}?${new URLSearchParams(kept)}`;
      const answer = await fetch(address, { credentials: "same-origin" }).catch(() => {
        throw new Error(bridge.AWAY);
      });
      if (!answer.ok) return await bridge.answered(Promise.resolve(answer)); // throws why
      const name = nameOf(answer);
      save(name, await answer.blob(), answer.headers.get("Content-Type"));
      say(`${name} is saved.`);
    } catch (problem) {
      say(problem.message);
    }
  }

  /* The part of the view that lies in the gene's window: what is drawn of a gene is its window. */
  function placeInWindow() {
    const { locus, view } = state;
    const window_ = view && view.locus;
    const touches = locus && window_ && locus.chrom === window_.chrom && locus.start < window_.end && locus.end > window_.start;
    return touches ? locus : {};
  }

  const ofGene = (end) => `api/v1/${state.run}/genes/${encodeURIComponent(state.gene)}/${end}`;
  const noGene = () => !state.gene && (say("There is no scored gene on the screen yet."), true);

  actions.figure = (_event, button) => {
    if (noGene()) return;
    const kind = button.dataset.kind;
    return fetchFile(ofGene(`figure.${kind}`), { ...placeInWindow(), threshold: bridge.thresholdNow() }, "Drawing the figure");
  };

  actions["igv-session"] = (_event, button) => {
    if (noGene()) return;
    const query = { ...placeInWindow(), threshold: bridge.thresholdNow(), origin: window.location.origin };
    return fetchFile(ofGene(`igv-session.${button.dataset.kind}`), query, "Writing the session");
  };

  /* A field of the page's own: one that Dash holds can be written back into while somebody types on a slow machine. */
  document.addEventListener("seq2exp:drawn", () => {
    const place = byId("report-field");
    if (!place || place.firstChild) return;
    place.append(bridge.el("input", { id: "report-genes", type: "text", placeholder: "symbols or ids, with commas", autocomplete: "off" }));
  });

  actions.report = () => {
    const genes = byId("report-genes").value.trim() || state.gene;
    if (!genes) return say("Name the genes of the report, with commas between.");
    return fetchFile(`api/v1/${state.run}/report`, { genes, threshold: bridge.thresholdNow() }, "Writing the report");
  };

  /* The link is written anew by the server some time after the slider has moved: it is the slider that counts. */
  document.addEventListener(
    "click",
    (event) => {
      const link = event.target.closest && event.target.closest("#get-bed");
      if (!link || !state.gene) return;
      link.href = `${state.config.base}${ofGene("elements.bed")}?${new URLSearchParams({ threshold: bridge.thresholdNow() })}`;
    },
    true
  );

  /* The SVG of igv.js, painted at twice its size. */
  actions.png = async () => {
    const browser = bridge.igvBrowser();
    if (!browser) return;
    const address = URL.createObjectURL(new Blob([browser.toSVG()], { type: "image/svg+xml" }));
    try {
      const image = new Image();
      image.src = address;
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#ffffff";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      pen.drawImage(image, 0, 0, canvas.width, canvas.height);
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
      if (!blob) throw new Error("too large");
      save(`${stem()}.png`, blob, "image/png");
    } catch (problem) {
      say(`The picture could not be painted (${problem.message}); take the SVG.`);
    } finally {
      URL.revokeObjectURL(address);
    }
  };

  // ------------------------------------------------------------------------------------------------ views as files

  actions["save-view"] = () => {
    bridge.address.write();
    const address = Object.fromEntries(new URLSearchParams(window.location.search));
    const own = bridge.ownTracks ? bridge.ownTracks() : [];
    save(`${stem()}.view.json`, JSON.stringify({ ...VIEW, address, ...(own.length ? { own_tracks: own } : {}) }, null, 1), "application/json");
    if (own.length) say(`The view is saved. Your own tracks (${own.join(", ")}) stay in this page: bring them again.`);
  };

  /* The address that a saved view stands for; throws words where it is none. */
  function addressOf(text) {
    let told;
    try {
      told = JSON.parse(text);
    } catch {
      throw new Error("This file is no saved view: it is no JSON. Choose a file that “Save this view” wrote.");
    }
    if (!told || told["seq2exp-viz"] !== "view") throw new Error("This JSON file is no saved view. Choose one that “Save this view” wrote.");
    if (told.schema !== VIEW.schema) throw new Error(`This view has schema ${String(told.schema).slice(0, 20)}; this page reads ${VIEW.schema}.`);
    const parts = told.address && typeof told.address === "object" && !Array.isArray(told.address) ? Object.entries(told.address) : [];
    const sound = ([name, value]) => /^[a-z-]{1,20}$/.test(name) && typeof value === "string" && value.length <= LONGEST;
    if (!parts.length || !parts.every(sound)) throw new Error("This saved view is damaged: its address is not names and texts.");
    const { run } = Object.fromEntries(parts);
    if (!state.config.runs.includes(run)) throw new Error(`This view is of the run “${String(run).slice(0, 60)}”, which is not served here.`);
    return `${window.location.pathname}?${new URLSearchParams(parts)}`;
  }

  /* Let the person choose a file; `done` gets it. */
  function choose(accept, done) {
    const input = document.createElement("input");
    Object.assign(input, { type: "file", accept });
    input.addEventListener("change", () => input.files.length && done(input.files));
    input.click();
  }

  actions["open-view"] = () =>
    choose(".json,application/json", async ([file]) => {
      try {
        if (file.size > 100_000) throw new Error("This file is too large for a saved view.");
        window.location.assign(addressOf(await file.text()));
      } catch (problem) {
        say(problem.message);
      }
    });

  Object.assign(bridge, { choose });
})();
