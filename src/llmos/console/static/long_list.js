// A list of very many rows: pages of HTML that are fetched as they are scrolled to, and let go when they are far away.
//
// <table data-long-list="/console/things/rows?skip=" data-rows="30000" data-page-rows="100"> has its first page as a
// <tbody>; a <div> or <ol> with that attribute has it as its first <div>. The address of a page is the attribute with
// the number of rows before it behind; its answer is the HTML inside the page. Without this script, the first page and
// the links below the list remain.

const FAR = 4; // Screens away from which a page is let go.
const MOST_PIXELS = 15_000_000; // Browsers draw nothing beyond about 33 million.

class LongList {
  constructor(list) {
    this.list = list;
    this.address = list.dataset.longList;
    this.pageRows = Number(list.dataset.pageRows);
    this.numPages = Math.ceil(Number(list.dataset.rows) / this.pageRows);
    const first = list.tBodies ? list.tBodies[0] : list.firstElementChild;
    if (!first || this.numPages < 2) return;
    this.isTable = Boolean(list.tBodies);
    const height = Math.max(first.getBoundingClientRect().height, 1);
    this.numPages = Math.min(this.numPages, Math.max(2, Math.floor(MOST_PIXELS / height)));
    this.observer = new IntersectionObserver((entries) => this.onMoved(entries), { rootMargin: "1200px 0px" });
    first.dataset.longPage = "0";
    first.dataset.isHere = "yes";
    const places = document.createDocumentFragment();
    for (let number = 1; number < this.numPages; number++) {
      const place = first.cloneNode(false);
      place.removeAttribute("id");
      delete place.dataset.isHere;
      place.dataset.longPage = String(number);
      this.hold(place, height);
      places.append(place);
    }
    first.after(places);
    for (const page of this.pages()) this.observer.observe(page);
    for (const link of document.querySelectorAll(`[data-pages-of="${list.id}"]`)) {
      link.hidden = this.numPages * this.pageRows >= Number(list.dataset.rows);
    }
  }

  pages() {
    return this.list.querySelectorAll(":scope > [data-long-page]");
  }

  // Keep the place of a page that isn't here, so that the scroll bar tells the truth.
  hold(page, height) {
    const holder = document.createElement(this.isTable ? "tr" : "div");
    const inside = this.isTable ? holder.appendChild(document.createElement("td")) : holder;
    if (this.isTable) inside.colSpan = 100;
    inside.style.height = `${height}px`;
    holder.setAttribute("aria-hidden", "true");
    page.replaceChildren(holder);
  }

  onMoved(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.fetch(target);
      else if (target.dataset.isHere === "yes" && this.isFar(target) && !this.isUsed(target)) this.letGo(target);
    }
  }

  isFar(page) {
    const { top, bottom } = page.getBoundingClientRect();
    return bottom < -FAR * innerHeight || top > (FAR + 1) * innerHeight;
  }

  // A page with the focus, or with selected text, stays.
  isUsed(page) {
    const selection = getSelection();
    return page.contains(document.activeElement) || (selection.rangeCount > 0 && !selection.isCollapsed && selection.containsNode(page, true));
  }

  letGo(page) {
    const { height } = page.getBoundingClientRect();
    delete page.dataset.isHere;
    this.hold(page, height);
  }

  async fetch(page) {
    if (page.dataset.isHere) return;
    page.dataset.isHere = "coming";
    try {
      const reply = await fetch(this.address + Number(page.dataset.longPage) * this.pageRows);
      if (!reply.ok || reply.redirected) throw new Error(reply.statusText);
      const template = document.createElement("template");
      template.innerHTML = await reply.text();
      page.replaceChildren(template.content);
      page.dataset.isHere = "yes";
      document.dispatchEvent(new CustomEvent("long-list:page"));
    } catch {
      delete page.dataset.isHere; // It is tried again when it is scrolled to again.
    }
  }
}

for (const list of document.querySelectorAll("[data-long-list]")) new LongList(list);
