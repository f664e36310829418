// One message of a conversation, as the page shows it.

import { showFacts } from "./asking.js";
import { heatmap } from "./heat.js";
import { element, Writer } from "./markdown.js";
import { showSources, showSteps } from "./sources.js";

export class MessageView {
  // `actions`: what its buttons do; see chat.js.
  constructor(role, words, actions) {
    Object.assign(this, { role, words, actions, node: null, writer: null, reasoningWriter: null });
    this.text = element("div", { className: "text", dir: "auto" });
    this.more = element("div", { className: "more" });
    this.facts = element("div", { className: "facts-line" });
    this.item = element(
      "li", { className: `message ${role}` }, element("div", { className: "who", text: words[role] }), this.text, this.more,
      this.facts,
    );
  }

  write(piece) {
    this.writer ??= new Writer(this.text, this.actions);
    this.writer.write(piece);
  }

  writeReasoning(piece) {
    if (!this.reasoningWriter) {
      const thoughts = element("div", { className: "thoughts", dir: "auto" });
      this.item.insertBefore(element("details", {}, element("summary", { text: this.words.reasoning }), thoughts), this.text);
      this.reasoningWriter = new Writer(thoughts);
    }
    this.reasoningWriter.write(piece);
  }

  end() {
    this.writer?.end();
    this.reasoningWriter?.end();
  }

  // Shows a message that is whole: what hasn't been written, and all that belongs to it.
  complete(node) {
    this.node = node;
    const { message, facts } = node;
    if (this.role === "user") {
      this.text.textContent = textOf(message.content);
    } else if (this.role === "tool") {
      this.text.replaceChildren(element("pre", { text: textOf(message.content) }));
    } else {
      if (!this.reasoningWriter && message.reasoning_content) this.writeReasoning(message.reasoning_content);
      if (!this.writer && message.content) this.write(textOf(message.content));
      this.end();
      this.more.replaceChildren(...(message.tool_calls ?? []).map(callBox));
      const sources = facts.passages ?? facts.annotations?.map(({ citation }) => citation);
      if (sources?.length) this.more.append(showSources(this.text, sources, this.words));
      if (facts.run) this.more.append(showSteps(facts.run, this.words));
      if (facts.problem) this.showProblem(facts.problem);
    }
    this.refresh();
  }

  // Shows the facts and the buttons again: which there are depends on the messages around it.
  refresh() {
    if (this.node === null) return;
    this.facts.replaceChildren();
    showFacts(this.facts, this.node.facts, this.words);
    const siblings = this.actions.siblings(this.node), at = siblings.indexOf(this.node);
    if (siblings.length > 1) this.#addSwitch(siblings, at);
    if (this.role === "user") this.#add("edit", () => this.#edit());
    if (this.role === "assistant") {
      this.#add("retry", () => this.actions.retry(this.node), "retry");
      if (this.node.facts.probabilities) this.#add("heat", (button) => this.#toggleHeat(button));
      this.actions.addFeedback?.(this);
    }
  }

  showProblem(text) {
    const alert = element("p", { className: "notice failed", text });
    alert.setAttribute("role", "alert");
    this.more.append(alert);
  }

  #add(name, act, className = "") {
    const button = element("button", { type: "button", className, text: this.words[name] });
    button.addEventListener("click", () => act(button));
    this.facts.append(button);
    return button;
  }

  #addSwitch(siblings, at) {
    const go = (name, text, to) => {
      const button = this.#add(name, () => this.actions.goThrough(siblings[to]));
      button.textContent = text;
      button.setAttribute("aria-label", this.words[name]);
      button.disabled = to < 0 || to >= siblings.length;
    };
    go("earlier", "‹", at - 1);
    this.facts.append(element("span", { className: "branch", text: `${at + 1}/${siblings.length}` }));
    go("later", "›", at + 1);
  }

  #edit() {
    const field = element("textarea", { rows: 3, value: textOf(this.node.message.content) });
    field.setAttribute("aria-label", this.words.edit);
    const send = element("button", { className: "primary", text: this.words.send });
    const cancel = element("button", { type: "button", text: this.words.cancel });
    const form = element("form", { className: "form" }, field, element("div", { className: "buttons" }, send, cancel));
    const close = () => { form.replaceWith(this.text); this.facts.hidden = false; };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      close();
      if (field.value.trim()) this.actions.edit(this.node, field.value.trim());
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    cancel.addEventListener("click", close);
    this.text.replaceWith(form);
    this.facts.hidden = true;
    field.focus();
  }

  #toggleHeat(button) {
    const shown = this.more.querySelector(":scope > .heat-view");
    this.text.hidden = !shown;
    button.setAttribute("aria-pressed", String(!shown));
    if (shown) {
      shown.remove();
    } else {
      this.more.prepend(element("div", { className: "heat-view" }, heatmap(this.node.facts.probabilities, this.words)));
    }
  }
}

export function textOf(content) {
  if (typeof content === "string") return content;
  return Array.isArray(content) ? content.map((part) => part?.text ?? "").join("") : "";
}

function callBox(call) {
  let given = call.function?.arguments ?? "";
  try {
    given = JSON.stringify(JSON.parse(given), null, 2);
  } catch {
    // It is shown as the model wrote it.
  }
  return element(
    "div", { className: "call" }, element("b", { className: "mono", text: call.function?.name ?? "" }), element("pre", { text: given }),
  );
}

// A form for the results of the calls that an answer ends in.
export function resultForm(calls, words, onResults) {
  const fields = calls.map((call) => element("textarea", { rows: 2, required: true, dir: "auto" }));
  const form = element("form", { className: "form results" });
  calls.forEach((call, index) => {
    fields[index].id = `result-${index}`;
    const label = element("label", { htmlFor: fields[index].id, text: words.result.replace("{name}", call.function.name) });
    form.append(element("div", {}, label, fields[index]));
  });
  form.append(element("div", { className: "buttons" }, element("button", { className: "primary", text: words.give_results })));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    form.remove();
    onResults(calls.map(({ id }, index) => ({ role: "tool", tool_call_id: id, content: fields[index].value })));
  });
  return form;
}
