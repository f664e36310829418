// The chat: a conversation with a model, a Route or an application, kept on the server as a tree of messages.
//
//   chat/asking.js    one answer over /v1/chat/completions     chat/markdown.js  its text, while it comes
//   chat/tree.js      the messages, and their copy on the server   chat/message.js   how one is shown
//   chat/heat.js      probabilities     chat/feedback.js  thumbs     chat/sources.js   passages and steps     chat/settings.js  what is asked with

import { ask, factsOf } from "./chat/asking.js";
import { feedbackButtons } from "./chat/feedback.js";
import { MessageView, resultForm, textOf } from "./chat/message.js";
import { findPassages, promptWith } from "./chat/sources.js";
import { requestOf, restore, settings, showCode, withSystem } from "./chat/settings.js";
import { Keeper, Tree } from "./chat/tree.js";

const root = document.getElementById("chat");
const words = JSON.parse(root.dataset.words);
const csrfToken = root.dataset.csrf;
const list = document.getElementById("messages");
const form = document.getElementById("composer");
const input = document.getElementById("prompt");
const sendButton = document.getElementById("send");
const stopButton = document.getElementById("stop");
const bottom = document.getElementById("bottom");
const notice = document.getElementById("chat-notice");

let tree = new Tree();
let running = null; // What is asked at the moment: {controller, came, parent}.
const views = new Map(); // The view of each node that was shown.

const keeper = new Keeper({
  csrfToken, words, settings,
  onBegin: ({ id, title }) => {
    history.replaceState(null, "", `/console/chat/c/${id}`);
    document.getElementById("conversations")?.prepend(linkTo(id, title));
  },
  onBusy: (isBusy) => root.toggleAttribute("data-saving", isBusy),
  onProblem: (text) => {
    notice.textContent = text;
    notice.hidden = false;
  },
});

function linkTo(id, title) {
  const link = Object.assign(document.createElement("a"), { href: `/console/chat/c/${id}`, dir: "auto", textContent: title });
  const item = document.createElement("li");
  item.append(link);
  return item;
}

// Reading

let isAtBottom = true;
new IntersectionObserver(([entry]) => { isAtBottom = entry.isIntersecting; }, { rootMargin: "80px" }).observe(bottom);

const actions = {
  siblings: (node) => tree.siblings(node),
  onWrite: () => { if (isAtBottom) bottom.scrollIntoView({ block: "end" }); },
  retry: (node) => { if (!running) branchFrom(node.parent); },
  edit: (node, content) => { if (!running) say({ role: "user", content }, node.parent); },
  goThrough: (node) => {
    if (running) return;
    tree.goThrough(node);
    keeper.goTo(tree.leaf);
    showBranch();
  },
};

if (root.dataset.feedback) {
  actions.addFeedback = feedbackButtons({
    csrfToken, words,
    before: (node) => {
      const messages = [];
      for (let at = node.parent; at !== null; at = at.parent) messages.unshift(at.message);
      return withSystem(messages);
    },
  });
}

function viewOf(node) {
  if (!views.has(node)) {
    const view = new MessageView(node.message.role, words, actions);
    views.set(node, view);
    view.complete(node);
  }
  return views.get(node);
}

// Touches only what differs from what stands already: a long conversation isn't laid out again for each message.
function showBranch() {
  const items = tree.branch.map((node) => viewOf(node).item);
  const same = items.findIndex((item, index) => item !== list.children[index]);
  const numSame = same === -1 ? items.length : same;
  while (list.children.length > numSame) list.lastElementChild.remove();
  list.append(...items.slice(numSame));
  for (const node of tree.branch.slice(numSame)) viewOf(node).refresh();
  document.getElementById("hello").hidden = tree.branch.length > 0;
  const calls = openCalls();
  if (calls.length && !running) list.lastElementChild.append(resultForm(calls, words, giveResults));
  showCode(tree);
}

// A long conversation is shown in parts, so that the page never stands still.
async function showAtOnce(count = 8) {
  for (let from = 0; from < tree.branch.length; from += count) {
    list.append(...tree.branch.slice(from, from + count).map((node) => viewOf(node).item));
    await new Promise((resume) => { setTimeout(resume); });
  }
  showBranch();
  bottom.scrollIntoView({ block: "end" });
}

function openCalls() {
  const { message } = tree.leaf ?? {};
  list.querySelector("form.results")?.remove();
  return message?.role === "assistant" ? message.tool_calls ?? [] : [];
}

// Asking

function say(message, parent, facts = {}) {
  const node = tree.add(parent, message, { facts });
  tree.goTo(node);
  showBranch();
  bottom.scrollIntoView({ block: "end" });
  keeper.save(tree, node);
  answer(node);
}

function branchFrom(node) {
  tree.goTo(node);
  showBranch();
  answer(node);
}

function giveResults(results) {
  let node = tree.leaf;
  for (const message of results) node = tree.add(node, message);
  tree.goTo(node);
  showBranch();
  keeper.save(tree, node);
  answer(node);
}

async function answer(question) {
  const view = new MessageView("assistant", words, actions);
  view.item.setAttribute("aria-busy", "true");
  list.append(view.item);
  const controller = new AbortController();
  running = { controller, question, text: [] };
  showRunning(true);
  let request = {}, came, passages = [];
  try {
    const knowledge = document.getElementById("knowledge")?.value;
    const asked = tree.branch.findLast(({ message }) => message.role === "user");
    if (knowledge) passages = await findPassages(knowledge, textOf(asked.message.content), { csrfToken, words });
    request = requestOf(tree.branch.map(({ message }) => message), words, passages.length ? promptWith(passages) : "");
    came = await ask(request, {
      csrfToken, words,
      signal: controller.signal,
      onText: (piece) => { running.text.push(piece); view.write(piece); },
      onReasoning: (piece) => view.writeReasoning(piece),
    });
  } catch (problem) { // Before anything was asked.
    came = { text: "", reasoning: "", calls: [], tokens: [], annotations: [], problem, seconds: 0, rate: null };
  }
  if (came.problem instanceof TypeError) came.problem = new Error(words.lost);
  running = null;
  view.end();
  view.item.removeAttribute("aria-busy");
  finish(view, question, came, { ...factsOf(came, request), ...(passages.length ? { passages } : {}) });
  showRunning(false);
}

// Keeps what came. An answer without a word isn't kept: the question can be asked again.
function finish(view, question, came, facts) {
  const message = { role: "assistant", content: came.text };
  if (came.reasoning) message.reasoning_content = came.reasoning;
  if (came.calls.length) message.tool_calls = came.calls;
  if (came.text === "" && !came.calls.length) {
    view.complete({ message, facts, parent: question, children: [] });
    views.set(question, viewOf(question));
    return;
  }
  const node = tree.add(question, message, { answer: came.id, facts });
  views.set(node, view);
  tree.goTo(node);
  view.complete(node);
  keeper.save(tree, node);
  showBranch();
}

function showRunning(isRunning) {
  sendButton.hidden = isRunning;
  stopButton.hidden = !isRunning;
  document.getElementById("status").textContent = isRunning ? words.running : words.ended;
  if (!isRunning && !list.querySelector("form.results")) input.focus({ preventScroll: true });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const content = input.value.trim();
  if (content === "" || running) return;
  if (openCalls().length) {
    showBranch();
    list.querySelector("form.results textarea").focus();
    return;
  }
  input.value = "";
  // A question that got no answer is asked in another way: it stays in a branch of its own.
  const { leaf } = tree;
  say({ role: "user", content }, leaf?.message.role === "user" ? leaf.parent : leaf);
});

input.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});

stopButton.addEventListener("click", () => running?.controller.abort());
document.addEventListener("keydown", (event) => { if (event.key === "Escape") running?.controller.abort(); });
window.addEventListener("pagehide", () => {
  if (!running?.text.length) return;
  keeper.saveAtLast(running.question, { role: "assistant", content: running.text.join("") }, { is_stopped: true });
});

document.getElementById("settings").addEventListener("input", () => showCode(tree));

async function begin() {
  if (root.dataset.conversation) {
    try {
      const conversation = await keeper.load(root.dataset.conversation);
      restore(conversation.settings);
      tree = Tree.read(conversation);
      await showAtOnce();
    } catch (error) {
      keeper.onProblem(error.message);
    }
  }
  showCode(tree);
  showRunning(false);
  document.getElementById("chat-form-area").hidden = false;
  input.focus({ preventScroll: true });
}

begin();
