// Draws the charts of a page. The numbers are in the table beside them, too.

function color(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function draw(element) {
  const { labels, x, y, span } = JSON.parse(element.dataset.series);
  const muted = color("--muted"), line = color("--line"), accent = color("--accent");
  const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
  element.replaceChildren();
  new uPlot(
    {
      width: element.clientWidth,
      height: 220,
      series: [
        { label: labels[0], value: (_, seconds) => seconds == null ? "–" : new Date(seconds * 1000).toISOString().slice(0, 10) },
        { label: labels[1], stroke: accent, fill: accent.replace("rgb(", "rgba(").replace(")", ", 0.12)"), width: 2, paths: uPlot.paths.bars({ size: [0.7, 48] }), points: { show: false } },
      ],
      scales: { x: { range: () => span }, y: { range: (_, __, max) => [0, Math.max(1, max * 1.05)] } },
      axes: [{ ...axis, space: 90 }, { ...axis, size: 70, values: (_, values) => values.map((value) => value.toLocaleString(document.documentElement.lang)) }],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    },
    [x, y],
    element,
  );
}

function drawAll() {
  for (const element of document.querySelectorAll("[data-series]")) draw(element);
}

let timer;
window.addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(drawAll, 150); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
drawAll();
