// Shares that add up to 100: a slider and a number for each target; moving one share moves the others in proportion.

const form = document.querySelector("[data-shares]");
const rows = [...form.querySelectorAll(".share")].map((row) => ({
  slider: row.querySelector("input[type=range]"), number: row.querySelector("input[type=number]"),
}));
const rest = rows.filter((row) => row.slider);

function write(row, percent) {
  row.number.value = String(percent);
  if (row.slider) row.slider.value = String(percent);
}

// In hundredths, so that the sum is exactly 100.
function share(moved) {
  const own = Math.min(10000, Math.max(0, Math.round(Number(moved.number.value) * 100) || 0));
  const others = rest.filter((row) => row !== moved);
  if (!others.length) return;
  const before = others.map((row) => Math.round(Number(row.number.value) * 100) || 0);
  const sum = before.reduce((total, each) => total + each, 0);
  let left = 10000 - own;
  others.forEach((row, index) => {
    const isLast = index === others.length - 1;
    const part = isLast ? left : Math.floor((10000 - own) * (sum ? before[index] / sum : 1 / others.length));
    left -= part;
    write(row, part / 100);
  });
}

for (const row of rows) {
  row.slider?.addEventListener("input", () => { row.number.value = row.slider.value; share(row); });
  row.number.addEventListener("change", () => { if (row.slider) row.slider.value = row.number.value; share(row); });
}
