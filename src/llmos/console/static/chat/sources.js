// The sources of an answer: passages of knowledge, which [1] in its text opens, and the steps of an application's run.

import { apiHeaders, refusal } from "./asking.js";
import { element } from "./markdown.js";

const NUM_PASSAGES = 4;

// Returns the passages that a question finds, each with its citation.
export async function findPassages(knowledge, query, { csrfToken, words }) {
  const response = await fetch(`/llmos/v1/knowledge/${encodeURIComponent(knowledge)}/search`, {
    method: "POST",
    headers: apiHeaders(csrfToken),
    body: JSON.stringify({ query: query.slice(0, 2000), limit: NUM_PASSAGES }),
  });
  if (!response.ok) throw await refusal(response, words);
  return (await response.json()).hits.map(({ text, citation }) => ({ text, ...citation }));
}

// Returns the part of the system prompt that has the passages.
export function promptWith(passages) {
  const numbered = passages.map(({ text }, index) => `[${index + 1}] ${text}`).join("\n\n");
  return `Answer from these sources alone, and cite each that you use as [1], [2] and so on. If they don't have the answer, say so.\n\n${numbered}`;
}

// Shows sources below an answer, and turns [1] in its text to what opens them.
export function showSources(text, sources, words) {
  const list = element("div", { className: "sources" });
  const shown = sources.map(({ document: name, page, heading = [], quote }, index) => {
    const where = [name, page ? words.page.replace("{n}", page) : "", ...heading].filter(Boolean).join(" · ");
    const quoted = element("blockquote", { text: quote, dir: "auto", tabIndex: -1 });
    const source = element("details", {}, element("summary", {}, `[${index + 1}] `, element("bdi", { text: where })), quoted);
    list.append(source);
    return { source, quoted };
  });
  const open = (number) => {
    const { source, quoted } = shown[number - 1];
    source.open = true;
    quoted.focus();
  };
  text.normalize();
  for (const node of textNodes(text)) linkNumbers(node, shown.length, open, words);
  return list;
}

function textNodes(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) if (/\[\d+\]/.test(walker.currentNode.data)) found.push(walker.currentNode);
  return found;
}

function linkNumbers(node, count, open, words) {
  const parts = node.data.split(/\[(\d+)\]/);
  node.replaceWith(...parts.map((part, index) => {
    const number = Number(part);
    if (index % 2 === 0) return part;
    if (number < 1 || number > count) return `[${part}]`;
    const button = element("button", { type: "button", className: "cite", text: `[${part}]` });
    button.setAttribute("aria-label", words.open_source.replace("{n}", part));
    button.addEventListener("click", () => open(number));
    return button;
  }));
}

// Shows what an application did on the way to its answer.
export function showSteps(run, words) {
  const list = element("ol");
  const details = element("details", { className: "steps" }, element("summary", { text: words.steps }), list);
  details.addEventListener("toggle", async () => {
    if (!details.open || list.childElementCount) return;
    const response = await fetch(`/llmos/v1/runs/${encodeURIComponent(run)}`).catch(() => null);
    if (!response?.ok) {
      list.append(element("li", { text: words.no_steps }));
      return;
    }
    for (const step of (await response.json()).steps) {
      const result = element("pre", { text: JSON.stringify(step.result, null, 2) });
      list.append(element("li", {}, element("b", { text: `${step.kind} ${step.name}` }), ` ${step.state}`, result));
    }
  }, { passive: true });
  return details;
}
