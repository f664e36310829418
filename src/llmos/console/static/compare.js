// Compare: asks two to four targets the same at once, side by side or blind, and keeps the vote.

import { ask, factsOf, showFacts } from "./chat/asking.js";
import { giveFeedback } from "./chat/feedback.js";
import { element, Writer } from "./chat/markdown.js";

const form = document.getElementById("setup");
const columns = document.getElementById("answers");
const given = columns.dataset; // A form with a field called dataset has no dataset of its own.
const words = JSON.parse(given.words);
const csrfToken = given.csrf;
const row = JSON.parse(given.messages);
const notice = document.getElementById("notice");
const votes = document.getElementById("votes");
const askButton = document.getElementById("ask");
const stopButton = document.getElementById("stop");

let controller = null;
let answers = []; // {name, letter, came, facts, parts} in the order in which they are shown

const field = (name) => form.elements[name];
const number = (name) => (field(name).value === "" || !field(name).checkValidity() ? undefined : Number(field(name).value));

function messages() {
  const system = field("system").value.trim();
  const asked = row.length ? row : [{ role: "user", content: field("prompt").value.trim() }];
  return system === "" ? asked : [{ role: "system", content: system }, ...asked];
}

function shuffled(list) {
  const random = crypto.getRandomValues(new Uint32Array(list.length));
  return list.map((each, index) => [random[index], each]).sort(([a], [b]) => a - b).map(([, each]) => each);
}

// The address has the whole set-up: who loads or shares it has the same page.
function keepAddress() {
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  history.replaceState(null, "", `/console/compare?${query}`);
}

function column(name, letter, isBlind) {
  const title = element("h2", { text: isBlind ? words.answer_of.replace("{letter}", letter) : name });
  const text = element("div", { className: "text", dir: "auto" });
  const facts = element("div", { className: "facts-line" });
  const item = element("section", { className: "panel message assistant" }, title, text, facts);
  item.setAttribute("aria-busy", "true");
  return { item, title, text, facts };
}

async function askAll() {
  const names = [...form.elements.model].map((each) => each.value).filter(Boolean);
  const asked = messages();
  notice.hidden = asked.at(-1).content !== "" && names.length > 1;
  if (!notice.hidden) {
    notice.textContent = words.pick_two;
    return;
  }
  keepAddress();
  const isBlind = field("blind").checked;
  answers = (isBlind ? shuffled(names) : names).map((name, index) => {
    const letter = "ABCD"[index];
    return { name, letter, parts: column(name, letter, isBlind) };
  });
  columns.replaceChildren(...answers.map(({ parts }) => parts.item));
  votes.hidden = true;
  controller = new AbortController();
  showRunning(true);
  await Promise.all(answers.map((answer) => askOne(answer, asked, isBlind)));
  showRunning(false);
  if (given.feedback && answers.every(({ came }) => came.text !== "")) showVotes(asked, isBlind);
}

async function askOne(answer, asked, isBlind) {
  const { parts } = answer;
  const writer = new Writer(parts.text);
  const request = {
    model: answer.name, messages: asked, temperature: number("temperature"), max_tokens: number("max_tokens"),
    seed: number("seed"),
  };
  const onText = (piece) => writer.write(piece);
  answer.came = await ask(request, { csrfToken, words, signal: controller.signal, onText, onReasoning: () => {} });
  answer.facts = factsOf(answer.came, request);
  writer.end();
  parts.item.removeAttribute("aria-busy");
  if (!isBlind) showFacts(parts.facts, answer.facts, words);
  if (answer.facts.problem) parts.text.append(element("p", { className: "notice failed", role: "alert", text: answer.facts.problem }));
}

function showRunning(isRunning) {
  askButton.hidden = isRunning;
  stopButton.hidden = !isRunning;
  document.getElementById("status").textContent = isRunning ? words.running : words.ended;
}

function showVotes(asked, isBlind) {
  const choose = (best) => vote(best, asked, isBlind);
  const buttons = answers.map((answer) => {
    const text = isBlind ? words.best.replace("{letter}", answer.letter) : words.best_of.replace("{name}", answer.name);
    const button = element("button", { type: "button", text });
    button.addEventListener("click", () => choose(answer));
    return button;
  });
  const tie = element("button", { type: "button", text: words.tie });
  tie.addEventListener("click", () => choose(null));
  votes.replaceChildren(...buttons, tie);
  votes.hidden = false;
}

async function vote(best, asked, isBlind) {
  const [first, ...others] = best === null ? answers : [best, ...answers.filter((answer) => answer !== best)];
  for (const button of votes.children) button.disabled = true;
  try {
    await giveFeedback({
      answer: first.came.id, kind: "vote", messages: asked, text: first.came.text, version: versionOf(first),
      rejected: others.map((each) => ({ answer: each.came.id, version: versionOf(each), text: each.came.text })),
      is_tie: best === null, is_blind: isBlind,
    }, { csrfToken, words });
  } catch (error) {
    notice.textContent = error.message;
    notice.hidden = false;
    for (const button of votes.children) button.disabled = false;
    return;
  }
  for (const answer of answers) {
    answer.parts.title.textContent = answer === best ? `${answer.name} ★` : answer.name;
    if (isBlind) showFacts(answer.parts.facts, answer.facts, words);
  }
  votes.replaceChildren(element("span", { role: "status", text: words.voted }));
  if (given.next) {
    const next = element("a", { className: "button primary", href: `${given.next}#ask`, text: words.next });
    votes.append(next);
    next.focus();
  }
}

// The versions that answered; a Route may have sent two questions to the same one.
function versionOf({ name, facts }) {
  return facts.version || name;
}

askButton.hidden = false;
askButton.addEventListener("click", askAll);
stopButton.addEventListener("click", () => controller.abort());
document.addEventListener("keydown", (event) => { if (event.key === "Escape") controller?.abort(); });
form.addEventListener("input", keepAddress);
if (location.hash === "#ask") askAll();
