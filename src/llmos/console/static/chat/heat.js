// An answer with the probability of each token as its background. The arrow keys go from token to token; what is under
// the pointer or the cursor is said in numbers below.

import { element } from "./markdown.js";

const LIMITS = [0.9, 0.5, 0.2, 0.05, 0]; // Classes p0 to p4.
const percent = new Intl.NumberFormat(document.documentElement.lang, { style: "percent", maximumFractionDigits: 1 });

export function heatmap(probabilities, words) {
  const tokens = element("div", { className: "heat", tabIndex: 0, role: "group", dir: "auto" });
  tokens.setAttribute("aria-label", words.heat_label);
  const said = element("p", { className: "heat-said" });
  said.setAttribute("role", "status");
  for (const [token, probability] of probabilities) {
    const level = LIMITS.findIndex((limit) => probability >= limit);
    const span = element("span", { className: `p${level}`, text: token });
    span.dataset.p = percent.format(probability);
    tokens.append(span);
  }
  let current = null;
  const say = (span) => {
    current?.classList.remove("at");
    current = span;
    span.classList.add("at");
    said.textContent = `${JSON.stringify(span.textContent)} ${span.dataset.p}`;
  };
  tokens.addEventListener("mouseover", ({ target }) => { if (target.dataset.p) say(target); });
  tokens.addEventListener("focus", () => say(current ?? tokens.firstElementChild));
  tokens.addEventListener("keydown", (event) => {
    const next = { ArrowRight: current?.nextElementSibling, ArrowLeft: current?.previousElementSibling }[event.key];
    if (!next) return;
    event.preventDefault();
    say(next);
  });
  const legend = element("p", { className: "heat-legend small" }, `${words.heat_legend} `);
  LIMITS.forEach((limit, level) => {
    const text = level === LIMITS.length - 1 ? `< ${percent.format(LIMITS[level - 1])}` : `≥ ${percent.format(limit)}`;
    legend.append(element("span", { className: `p${level}`, text }), " ");
  });
  return element("div", {}, tokens, said, legend);
}
