// Every page: times in the visitor's zone, copying, choices that apply at once, and the state of the live connection.

const language = document.documentElement.lang;
const times = new Intl.DateTimeFormat(language, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});

function localizeTimes(root) {
  for (const element of root.querySelectorAll("time:not([title])")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    element.title = element.textContent;
    element.textContent = times.format(moment);
  }
}

function showCopyButtons(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = !navigator.clipboard;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = button.dataset.copied;
});

document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-submits]")) event.target.form.requestSubmit();
});

// A form that is sent once more while the server works would do its work twice.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.isSent) event.preventDefault();
  event.target.dataset.isSent = "yes";
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.isSent;
});

const lost = document.getElementById("connection-lost");
let isLeaving = false;
window.addEventListener("pagehide", () => { isLeaving = true; });
document.addEventListener("htmx:sse:error", () => { if (!isLeaving && lost) lost.hidden = false; });
document.addEventListener("htmx:sse:after:connection", () => { if (lost) lost.hidden = true; });
// The library tries again only what it had once reached.
document.addEventListener("htmx:error", ({target}) => {
  const path = target.getAttribute?.("hx-sse:connect");
  if (!path || isLeaving) return;
  if (lost) lost.hidden = false;
  setTimeout(() => { if (target.isConnected) htmx.ajax("GET", path, {source: target}); }, 4000);
});
document.addEventListener("reload", () => location.reload());
document.addEventListener("htmx:after:swap", () => refresh(document));
document.addEventListener("long-list:page", () => refresh(document));

function refresh(root) {
  localizeTimes(root);
  showCopyButtons(root);
}

refresh(document);
