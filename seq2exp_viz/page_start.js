/* Start Dash once the page's modules are there, so that they see all its requests; or say that a part is missing.
 * It stands in the page itself (seq2exp_viz/app.py), so that it runs whatever could not be loaded. */
(async () => {
  try {
    await window.dash_clientside.seq2exp.loaded;
    new window.DashRenderer();
  } catch (problem) {
    console.error(problem);
    if (document.getElementById("server-line")) return; // the modules have said what is missing
    const line = document.createElement("div");
    Object.assign(line, { id: "server-line", className: "server-line" });
    line.setAttribute("role", "alert");
    line.append("A part of this page could not be loaded. Load the page again. The terminal or the log of the server says why.");
    document.body.append(line);
  }
})();
