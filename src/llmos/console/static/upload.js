// Forms with files show how far they are. Without this script they work, too, and say nothing until they are done.

for (const form of document.querySelectorAll("form[data-upload]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const bar = form.querySelector("progress");
    const button = form.querySelector("button");
    const request = new XMLHttpRequest();
    const end = (text) => {
      bar.hidden = true;
      button.disabled = false;
      delete form.dataset.isSent;
      const problem = form.querySelector("[data-problem]");
      problem.textContent = text;
      problem.hidden = !text;
    };
    request.open("POST", form.action);
    request.setRequestHeader("X-Upload", "script");
    request.upload.addEventListener("progress", ({ loaded, total, lengthComputable }) => {
      if (lengthComputable) { bar.max = total; bar.value = loaded; }
    });
    request.addEventListener("load", () => {
      const path = request.responseText;
      if (request.status === 200 && path.startsWith("/console/")) location.assign(path);
      else location.reload();
    });
    request.addEventListener("error", () => end(form.dataset.lost));
    bar.hidden = false;
    button.disabled = true;
    request.send(new FormData(form));
  });
}
