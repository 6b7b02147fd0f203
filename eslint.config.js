/* The rules of `make lint` for JavaScript. */

const js = require("@eslint/js");
const globals = require("globals");

const rules = {
  ...js.configs.recommended.rules,
  "no-undef": "error",
  "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
  "no-implicit-globals": "error",
  "no-var": "error",
  "prefer-const": ["error", { destructuring: "all" }],
  "no-shadow": ["error", { builtinGlobals: false }],
  eqeqeq: "error",
  "consistent-return": "error",
};

/* Names that Dash, its components and igv.js put on `window` are read as window.name: the linter then finds every other. */
module.exports = [
  { ignores: ["assets/vendor/", ".venv/", "demo/", "build/", "dist/", "node_modules/"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  { files: ["assets/*/*.js"], languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: globals.browser }, rules },
  {
    files: ["assets/*.js", "seq2exp_viz/*.js"],
    languageOptions: { ecmaVersion: 2022, sourceType: "script", globals: globals.browser },
    rules,
  },
  { files: ["eslint.config.js"], languageOptions: { sourceType: "commonjs", globals: globals.node }, rules },
];
