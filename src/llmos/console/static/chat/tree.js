// A conversation as a tree of messages, of which the page shows one branch, and its copy on the server.

import { apiHeaders, refusal } from "./asking.js";

const CONVERSATIONS = "/llmos/v1/conversations";

export class Tree {
  constructor() {
    this.roots = [];
    this.branch = []; // The nodes that are shown, from the first message on.
  }

  // A node: {message, answer, facts, parent, children, saved}. `saved`: its index on the server.
  add(parent, message, { answer = "", facts = {}, saved = null } = {}) {
    const node = { message, answer, facts, parent, children: [], saved };
    this.siblings(node).push(node);
    return node;
  }

  siblings(node) {
    return node.parent === null ? this.roots : node.parent.children;
  }

  get leaf() {
    return this.branch.at(-1) ?? null;
  }

  // Shows the branch that ends in this node.
  goTo(node) {
    this.branch = [];
    for (let each = node; each !== null; each = each.parent) this.branch.unshift(each);
  }

  // Shows the branch through this node that was continued last.
  goThrough(node) {
    while (node.children.length) node = node.children.at(-1);
    this.goTo(node);
  }

  static read(conversation) {
    const tree = new Tree(), nodes = new Map();
    for (const { index, parent, message, answer, facts } of conversation.messages) {
      nodes.set(index, tree.add(nodes.get(parent) ?? null, message, { answer, facts, saved: index }));
    }
    if (nodes.has(conversation.leaf)) tree.goTo(nodes.get(conversation.leaf));
    return tree;
  }

  *nodes(list = this.roots) {
    const waiting = [...list];
    while (waiting.length) {
      const node = waiting.pop();
      yield node;
      waiting.push(...node.children);
    }
  }
}

// Keeps a tree on the server. Changes are sent one after another; what fails is told once, and the chat goes on.
export class Keeper {
  constructor({ csrfToken, words, onBegin, onProblem, onBusy, settings }) {
    Object.assign(this, { csrfToken, words, onBegin, onProblem, onBusy, settings });
    this.numWaiting = 0;
    this.id = null;
    this.isKeeping = true;
    this.queue = Promise.resolve();
    this.settingsSent = "";
  }

  async load(id) {
    const response = await fetch(`${CONVERSATIONS}/${encodeURIComponent(id)}`);
    if (!response.ok) throw await refusal(response, this.words);
    this.id = id;
    const conversation = await response.json();
    this.settingsSent = JSON.stringify(conversation.settings);
    return conversation;
  }

  save(tree, node) {
    return this.#enqueue(() => this.#save(tree, node), (error) => this.#fail(tree, error));
  }

  goTo(node) {
    return this.#enqueue(() => {
      if (this.id !== null && node.saved !== null) return this.#send("PATCH", `/${this.id}`, { leaf: node.saved });
    }, () => {}); // Which branch is shown is no more than a convenience.
  }

  #enqueue(work, onError) {
    this.onBusy((this.numWaiting += 1) > 0);
    this.queue = this.queue.then(work).catch(onError).finally(() => this.onBusy((this.numWaiting -= 1) > 0));
    return this.queue;
  }

  // Saves what has come of an answer while the page is left, when nothing can be waited for.
  saveAtLast(parent, message, facts) {
    if (this.id === null || parent?.saved == null) return;
    const body = JSON.stringify({ parent: parent.saved, messages: [{ message, facts }] });
    fetch(`${CONVERSATIONS}/${this.id}/messages`, {
      method: "POST", headers: apiHeaders(this.csrfToken), body, keepalive: body.length < 60_000,
    }).catch(() => {});
  }

  async #save(tree, node) {
    if (!this.isKeeping) return;
    const settings = this.settings();
    if (this.id === null) {
      const title = String(tree.roots[0].message.content).replace(/\s+/g, " ").trim().slice(0, 80);
      const made = await this.#send("POST", "", { title, settings });
      this.id = made.id;
      this.onBegin(made);
    } else if (this.settingsSent !== JSON.stringify(settings)) {
      await this.#send("PATCH", `/${this.id}`, { settings });
    }
    this.settingsSent = JSON.stringify(settings);
    const unsaved = [];
    let at = node;
    for (; at !== null && at.saved === null; at = at.parent) unsaved.unshift(at);
    while (unsaved.length) {
      const some = unsaved.splice(0, 100);
      const messages = some.map(({ message, answer, facts }) => ({ message, answer, facts }));
      const { leaf } = await this.#send("POST", `/${this.id}/messages`, { parent: at?.saved ?? null, messages });
      some.forEach((each, index) => { each.saved = leaf - some.length + 1 + index; });
      at = some.at(-1);
    }
  }

  #fail(tree, error) {
    if (error.status === 404) { // It was removed elsewhere: the next message begins a new one, with this branch.
      this.id = null;
      for (const node of tree.nodes()) node.saved = null;
      this.onProblem(this.words.removed);
    } else {
      if (error.status === 409 || error.status === 403) this.isKeeping = false;
      this.onProblem(`${this.words.not_kept} ${error.message}`);
    }
  }

  async #send(method, path, body) {
    const response = await fetch(CONVERSATIONS + path, {
      method, headers: apiHeaders(this.csrfToken), body: JSON.stringify(body),
    });
    if (!response.ok) throw await refusal(response, this.words);
    return response.json();
  }
}
