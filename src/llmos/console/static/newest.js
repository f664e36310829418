// A list says that newer things are there, and waits for a click: what is being read never moves.

function compare() {
  const place = document.getElementById("newest");
  const notice = place?.querySelector("[data-newest]");
  if (notice) notice.hidden = !notice.dataset.newest || notice.dataset.newest === place.dataset.shown;
}

document.addEventListener("htmx:after:swap", compare);
compare();
