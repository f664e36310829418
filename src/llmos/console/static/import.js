// Sends the files of a model in parts. Each is named by its digest, so that an upload that broke goes on where it ended.

import { Sha256 } from "./sha256.js";

const PART = 8 << 20;
const form = document.getElementById("import-form");
const progress = document.getElementById("import-progress");
const note = document.getElementById("import-note");
let isSending = false;

async function digestOf(file, onBytes) {
  const sha = new Sha256();
  for (let at = 0; at < file.size; at += PART) {
    const bytes = new Uint8Array(await file.slice(at, at + PART).arrayBuffer());
    sha.update(bytes);
    onBytes(bytes.length);
    await new Promise((resolve) => setTimeout(resolve));
  }
  return `sha256:${sha.digest()}`;
}

async function ask(path, options = {}) {
  const headers = { "x-csrf-token": form.elements.csrf_token.value, ...options.headers };
  const reply = await fetch(path, { ...options, headers });
  const body = await reply.json();
  if (!reply.ok) throw new Error(body.error?.message ?? reply.statusText);
  return body;
}

async function send(file, digest, onBytes) {
  const path = `/llmos/v1/model-uploads/${digest}`;
  let at = Math.min((await ask(path)).received_bytes, file.size);
  onBytes(at);
  do {
    const end = Math.min(at + PART, file.size);
    const range = file.size ? `bytes ${at}-${end - 1}/${file.size}` : "bytes */0";
    if (at < end || !file.size) {
      await ask(path, { method: "PUT", body: file.slice(at, end), headers: { "content-range": range } });
    }
    onBytes(end - at);
    at = end;
  } while (at < file.size);
}

// The name within the folder that was chosen, without the folder's own.
function nameOf(file) {
  return file.webkitRelativePath ? file.webkitRelativePath.split("/").slice(1).join("/") : file.name;
}

async function upload(files) {
  const total = files.reduce((sum, file) => sum + file.size, 0);
  progress.max = Math.max(1, total * 2);
  progress.value = 0;
  progress.hidden = false;
  const sent = [];
  const onBytes = (count) => { progress.value += count; };
  for (const file of files) {
    note.textContent = `${form.dataset.reading} ${nameOf(file)}`;
    const digest = await digestOf(file, onBytes);
    note.textContent = `${form.dataset.sending} ${nameOf(file)}`;
    await send(file, digest, onBytes);
    sent.push({ name: nameOf(file), digest });
  }
  return sent;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (isSending) return;
  const files = [...form.elements.file.files, ...form.elements.folder.files].filter((file) => !nameOf(file).split("/").some((part) => part.startsWith(".")));
  if (!files.length) { note.textContent = form.dataset.none; return; }
  isSending = true;
  note.classList.remove("failed");
  try {
    const sent = await upload(files);
    form.elements.files.value = JSON.stringify(sent);
    HTMLFormElement.prototype.submit.call(form);
  } catch (error) {
    isSending = false;
    delete form.dataset.isSent;
    note.classList.add("failed");
    note.textContent = `${error.message} ${form.dataset.again}`;
  }
});
window.addEventListener("beforeunload", (event) => { if (isSending && progress.value < progress.max) event.preventDefault(); });
