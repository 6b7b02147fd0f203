/* The one classic script of this page: Dash lists it before its own renderer, and it loads the page's modules.
 *
 * Dash looks up clientside functions in `window.dash_clientside.seq2exp`, and AG Grid looks up components of cells in
 * `window.dashAgGridComponentFunctions`: these two names cannot be avoided. The page's modules import each other by
 * names that the page's import map translates (seq2exp_viz/serving/modules.py); Dash must not list them, because it would
 * load them under another address and so a second time. Dash starts once `loaded` is done (seq2exp_viz/page_start.js).
 */
(function () {
  "use strict";

  const namespace = { loaded: import("seq2exp/page/main").then(({ callbacks }) => void Object.assign(namespace, callbacks)) };
  window.dash_clientside = Object.assign(window.dash_clientside || {}, { seq2exp: namespace });

  /* A cell of the list of genes: a gene that is not scored can be scored. */
  window.dashAgGridComponentFunctions = Object.assign(window.dashAgGridComponentFunctions || {}, {
    GeneState(props) {
      const make = window.React.createElement;
      if (!props.data || props.value === "scored") return make("span", null, props.value || "");
      return make("button", { className: "link", "data-action": "score", "data-gene": props.data.gene_id }, "Score now");
    },
  });
})();
