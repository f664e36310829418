// Shows what a model writes: its Markdown becomes DOM nodes through streaming-markdown, never HTML. Each piece is
// parsed once, and what stands already isn't touched. Links lead to https, http and mailto only; an image is shown as
// a link to it.

import * as smd from "../vendor/smd.min.js";

function safeAddress(text) {
  try {
    const url = new URL(text);
    return ["https:", "http:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function renderer(element) {
  const inner = smd.default_renderer(element);
  return {
    ...inner,
    // The parser takes [1] for a link that leads nowhere.
    end_token: (data) => {
      const node = data.nodes[data.index];
      inner.end_token(data);
      if (node.tagName === "A" && !node.hasAttribute("href") && !node.dataset.unsafe) node.replaceWith("[", ...node.childNodes, "]");
    },
    add_token: (data, type) => inner.add_token(data, type === smd.IMAGE ? smd.LINK : type),
    set_attr: (data, type, value) => {
      if (type === smd.HREF || type === smd.SRC) {
        const address = safeAddress(value);
        const link = data.nodes[data.index];
        if (address === null) {
          link.dataset.unsafe = "yes";
          return;
        }
        link.rel = "noopener noreferrer nofollow";
        link.target = "_blank";
        inner.set_attr(data, smd.HREF, address);
      } else if (type !== smd.LANG) {
        inner.set_attr(data, type, value);
      }
    },
  };
}

const BLOCKS = 16;

// Writes pieces into an element once a frame. What the parser can't take is shown as it is.
export class Writer {
  constructor(element, { onWrite = () => {} } = {}) {
    this.element = element;
    this.onWrite = onWrite;
    this.pending = "";
    this.parser = smd.parser(renderer(element));
    this.frame = 0;
    this.numGroups = 0;
  }

  write(piece) {
    this.pending += piece;
    this.frame ||= requestAnimationFrame(() => this.flush());
  }

  flush() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const piece = this.pending;
    this.pending = "";
    if (piece === "") return;
    try {
      if (this.parser === null) throw new Error("plain");
      smd.parser_write(this.parser, piece);
      this.#group();
    } catch {
      this.parser = null;
      this.element.append(piece);
    }
    this.onWrite();
  }

  // Puts blocks that stand into groups, which the browser leaves out of its work while they are out of sight. So the
  // thousandth paragraph costs what the first one did. The parser holds on to the last blocks only.
  #group() {
    const { children } = this.element;
    while (children.length - this.numGroups > 2 * BLOCKS) {
      const group = element("div", { className: "group" });
      this.element.insertBefore(group, children[this.numGroups]);
      this.numGroups += 1;
      group.append(...[...children].slice(this.numGroups, this.numGroups + BLOCKS));
    }
  }

  end() {
    this.flush();
    try {
      if (this.parser !== null) smd.parser_end(this.parser);
    } catch {
      // What came is shown.
    }
  }
}

export function element(tag, { text, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}
