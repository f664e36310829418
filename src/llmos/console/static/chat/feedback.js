// Thumbs, corrections and votes: what the visitor thinks of answers.

import { apiHeaders, refusal } from "./asking.js";
import { element } from "./markdown.js";

export async function giveFeedback(body, { csrfToken, words }) {
  const response = await fetch("/llmos/v1/feedback", {
    method: "POST", headers: apiHeaders(csrfToken), body: JSON.stringify(body),
  });
  if (!response.ok) throw await refusal(response, words);
  return response.json();
}

// Returns a function that adds the buttons to the view of an answer. `before`: returns the messages before a node.
export function feedbackButtons({ csrfToken, words, before }) {
  const given = new Map(); // {rating, correction} by node

  async function give(view, change) {
    const { node } = view;
    const said = { ...given.get(node), ...change };
    const content = { messages: before(node), text: node.message.content, version: node.facts.version ?? "" };
    try {
      await giveFeedback({ answer: node.answer, ...said, ...content }, { csrfToken, words });
      given.set(node, said);
      view.refresh();
      view.facts.append(element("span", { role: "status", text: words.thanks }));
    } catch (error) {
      view.showProblem(error.message);
    }
  }

  function correct(view) {
    const field = element("textarea", { rows: 4, value: given.get(view.node)?.correction ?? view.node.message.content });
    field.setAttribute("aria-label", words.correction);
    const send = element("button", { className: "primary", text: words.send_correction });
    const cancel = element("button", { type: "button", text: words.cancel });
    const form = element("form", { className: "form" }, field, element("div", { className: "buttons" }, send, cancel));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      form.remove();
      if (field.value.trim()) give(view, { rating: "down", correction: field.value.trim() });
    });
    form.addEventListener("keydown", (event) => { if (event.key === "Escape") form.remove(); });
    cancel.addEventListener("click", () => form.remove());
    view.more.append(form);
    field.focus();
  }

  return (view) => {
    if (!view.node.answer || !view.node.message.content) return;
    const rating = given.get(view.node)?.rating;
    for (const [name, text] of [["up", "👍"], ["down", "👎"]]) {
      const button = element("button", { type: "button", className: "thumb", text });
      button.setAttribute("aria-label", words[name]);
      button.setAttribute("aria-pressed", String(rating === name));
      button.addEventListener("click", () => give(view, { rating: name }));
      view.facts.append(button);
    }
    const button = element("button", { type: "button", text: words.correct });
    button.addEventListener("click", () => correct(view));
    view.facts.append(button);
  };
}
