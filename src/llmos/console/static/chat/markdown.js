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

const BLOCKS = 16; // That a group has at most: blocks, or groups of blocks.

// Puts the blocks of a long answer into groups, which the browser leaves out of its work while they are out of sight:
// the thousandth paragraph costs what the first one did. A block is written where it stays, since one that is moved
// would lose what the reader has selected in it.
class Groups {
  constructor(element) {
    this.element = element;
    this.open = null; // The group that the next block goes into; the first blocks stand in the element itself.
    this.large = null; // A group of groups.
  }

  next() {
    const full = this.open ?? this.element;
    if (full.childElementCount < BLOCKS) return full;
    if (this.large === null || this.large.childElementCount === BLOCKS) {
      this.large = element("div", { className: "group large" });
      this.element.append(this.large);
    }
    this.open = element("div", { className: "group" });
    this.large.append(this.open);
    return this.open;
  }
}

const LINES = 64; // That a part of a long block has: lines of code, or items of a list.

// Puts the lines of a long block of code into parts, for the same reason. Where a part ends, no newline is written:
// parts stand below each other, and copying them gives one.
class CodeLines {
  constructor(code) {
    this.code = code;
    this.part = code; // The first lines stand in the element itself.
    this.numLines = 1;
    this.isEmpty = true; // The line that is being written. A part doesn't end in an empty line, which would not be seen.
  }

  write(text) {
    let piece = "";
    for (const [index, line] of text.split("\n").entries()) {
      if (index > 0 && this.numLines >= LINES && !this.isEmpty) {
        this.part.append(piece);
        this.part = element("span", { className: "lines" });
        this.code.append(this.part);
        piece = "";
        this.numLines = 1;
        this.isEmpty = true;
      } else if (index > 0) {
        piece += "\n";
        this.numLines += 1;
        this.isEmpty = true;
      }
      piece += line;
      if (line !== "") this.isEmpty = false;
    }
    this.part.append(piece);
  }
}

// Goes on with a long list in another one of the same kind, whose numbers follow.
function nextList(list) {
  const next = element(list.tagName.toLowerCase(), { className: "items" });
  if (list.tagName === "OL") next.start = list.start + list.childElementCount;
  list.classList.add("continued");
  return next;
}

function renderer(element) {
  const inner = smd.default_renderer(element), groups = new Groups(element);
  let lines = null;
  return {
    ...inner,
    // The parser takes [1] for a link that leads nowhere.
    end_token: (data) => {
      const node = data.nodes[data.index];
      inner.end_token(data);
      if (node.tagName === "A" && !node.hasAttribute("href") && !node.dataset.unsafe) node.replaceWith("[", ...node.childNodes, "]");
    },
    add_token: (data, type) => {
      if (data.index === 0) data.nodes[0] = groups.next();
      if (data.index === 1 && type === smd.LIST_ITEM && data.nodes[1].childElementCount >= LINES) {
        data.nodes[1] = groups.next().appendChild(nextList(data.nodes[1]));
      }
      inner.add_token(data, type === smd.IMAGE ? smd.LINK : type);
    },
    add_text: (data, text) => {
      const node = data.nodes[data.index];
      if (node.tagName !== "CODE" || node.parentElement.tagName !== "PRE") {
        inner.add_text(data, text);
        return;
      }
      if (lines?.code !== node) lines = new CodeLines(node);
      lines.write(text);
    },
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

// Writes pieces into an element once a frame. What the parser can't take is shown as it is.
export class Writer {
  constructor(element, { onWrite = () => {} } = {}) {
    this.element = element;
    this.onWrite = onWrite;
    this.pending = "";
    this.parser = smd.parser(renderer(element));
    this.frame = 0;
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
    } catch {
      this.parser = null;
      this.element.append(piece);
    }
    this.onWrite();
  }

  end() {
    this.flush();
    try {
      if (this.parser !== null) smd.parser_end(this.parser);
    } catch {
      // Show the part that was received.
    }
  }
}

export function element(tag, { text, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}
