/* Tracks that the person brings along: dropped on the page, chosen from a file, or out of a folder that `serve --allow` names.
 *
 * A file stays in this page. The server is asked whether it is sound (of a bigWig it sees the header alone) and gives the
 * rows of a text file (BED, bedGraph, GTF, VCF ...) back as features; igv.js reads a bigWig or bigBed from the file itself,
 * and is told how the file spells the genome's chromosomes. Nothing is stored anywhere.
 */
(function () {
  "use strict";

  const bridge = window.seq2expBridge;
  const { state, byId, say, escapeHtml, actions } = bridge;
  const BIGWIG = ["26fc8f88", "888ffc26", "ebf28987", "8789f2eb"]; // first bytes of bigWig and bigBed, either byte order
  const HEAD = 1_000_000;
  const MOST_BYTES = 16_000_000; // of text
  const COLOUR = "rgb(86, 60, 150)";
  const mine = []; // {id, name, config}
  let allowed = []; // {id, name, size}

  const hex = async (blob) => [...new Uint8Array(await blob.arrayBuffer())].map((byte) => byte.toString(16).padStart(2, "0")).join("");

  async function check(file) {
    const binary = BIGWIG.includes(await hex(file.slice(0, 4)));
    const query = new URLSearchParams({ name: file.name, size: file.size, ...(binary ? { tail: await hex(file.slice(-4)) } : {}) });
    const body = binary || file.size > MOST_BYTES ? file.slice(0, HEAD) : file; // what is too large is refused by its format's name
    return bridge.answered(fetch(`${state.config.base}api/v1/${state.run}/own?${query}`, { method: "POST", body, credentials: "same-origin" }));
  }

  const BINARY = { bigwig: { type: "wig", height: 46, autoscale: true }, bigbed: { type: "annotation", height: 42 }, biginteract: { type: "interact", height: 90 } };

  function configOf(name, found, source) {
    const common = { name: escapeHtml(name), color: COLOUR, order: 1000 + mine.length };
    const binary = BINARY[found.kind];
    if (binary) return { ...common, ...binary, format: found.kind, url: found.url || source, displayMode: "SQUISHED", visibilityWindow: -1 };
    const { features } = found;
    if (found.show === "wig") return { ...common, type: "wig", features, height: 46, autoscale: true, visibilityWindow: -1 };
    if (found.show === "interact") return { ...common, type: "interact", features, height: 90, visibilityWindow: -1 };
    const blocks = features.some((feature) => feature.exons);
    return { ...common, type: "annotation", features, height: blocks ? 72 : 42, displayMode: blocks ? "EXPANDED" : "SQUISHED", visibilityWindow: -1 };
  }

  /* igv.js gets a bigWig's data under the genome's spelling of a chromosome and, where the file has no such, under the
   * aliases of the genome: there goes the file's own spelling. */
  function load({ config, aliases }) {
    const browser = bridge.igvBrowser();
    const { genome } = browser;
    if (!genome.ownAliases) {
      const known = genome.getAliasRecord.bind(genome);
      genome.ownAliases = new Map();
      genome.getAliasRecord = async (chrom) => {
        const own = [...(genome.ownAliases.get(chrom) || [])].map((name, number) => [`own-${number}`, name]);
        const record = await known(chrom);
        return own.length ? { chr: chrom, ...record, ...Object.fromEntries(own) } : record;
      };
    }
    for (const [chrom, name] of Object.entries(aliases || {})) {
      genome.ownAliases.set(chrom, (genome.ownAliases.get(chrom) || new Set()).add(name));
    }
    // igv.js takes the features that it is given for its own, and changes them.
    return browser.loadTrack({ ...config, ...(config.features ? { features: structuredClone(config.features) } : {}) });
  }

  async function add(name, found, source) {
    const id = `own-${Date.now().toString(36)}-${mine.length}`;
    const track = { id, name, aliases: found.aliases, config: { ...configOf(name, found, source), id } };
    await load(track);
    mine.push(track);
    list();
    const count = found.features ? found.features.length : 0;
    const rows = count ? `${count.toLocaleString("en")} ${count === 1 ? "row" : "rows"}. ` : "";
    say(`${name} is drawn under the other tracks, in this page alone. ${rows}${found.notes.join(" ")}`);
    const shown = bridge.trackOf(id);
    if (shown && shown.trackView.viewports[0]) bridge.reveal(id);
  }

  function bring(files) {
    return bridge.then(async () => {
      if (!bridge.igvBrowser()) return say("Wait until the tracks are drawn, then bring your file.");
      for (const file of files) {
        say(`Reading ${file.name} …`);
        try {
          await add(file.name, await check(file), file);
        } catch (problem) {
          say(problem.message);
          break;
        }
      }
    });
  }

  function open(id) {
    const file = allowed.find((candidate) => candidate.id === id);
    return bridge.then(async () => {
      say(`Reading ${file.name} …`);
      await add(file.name, await bridge.ask(`api/v1/${state.run}/allowed/${id}`));
    });
  }

  function remove(id) {
    return bridge.then(() => {
      const at = mine.findIndex((track) => track.id === id);
      if (at >= 0) mine.splice(at, 1);
      const track = bridge.trackOf(id);
      if (track) bridge.igvBrowser().removeTrack(track);
      list();
    });
  }

  /* igv.js was made anew for another run: the person's tracks come along. */
  bridge.loadOwnTracks = async () => {
    for (const track of mine) await load(track);
  };
  bridge.ownTracks = () => mine.map((track) => track.name);

  function node(tag, words, extra = {}) {
    const made = document.createElement(tag);
    made.textContent = words;
    for (const [name, value] of Object.entries(extra)) made.setAttribute(name, value);
    return made;
  }

  /* The last part of the Tracks menu. */
  function list() {
    const box = byId("own-list");
    if (!box) return;
    box.textContent = "";
    box.append(node("div", "Own tracks, in this page alone", { class: "menu-head" }));
    for (const track of mine) box.append(node("button", `Remove ${track.name}`, { "data-action": "remove-own", "data-own": track.id }));
    box.append(node("button", "From a file … (BED, peaks, bedGraph, bigWig, GTF, VCF ...)", { "data-action": "add-own" }));
    if (!allowed.length) return;
    box.append(node("div", "Out of the allowed folders", { class: "menu-head" }));
    for (const file of allowed) box.append(node("button", file.name, { "data-action": "open-allowed", "data-own": file.id }));
  }

  actions["add-own"] = () => bridge.choose("", (files) => bring([...files]));
  actions["remove-own"] = (_event, button) => remove(button.dataset.own);
  actions["open-allowed"] = (_event, button) => open(button.dataset.own);

  document.addEventListener("seq2exp:drawn", async () => {
    list();
    if (state.allowedAsked) return;
    state.allowedAsked = true;
    allowed = await bridge.ask(`api/v1/${state.run}/allowed`).catch(() => []);
    list();
  });

  const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // else the browser would leave the page and open the file
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!carriesFiles(event)) return;
    event.preventDefault();
    bring([...event.dataTransfer.files]);
  });
})();
