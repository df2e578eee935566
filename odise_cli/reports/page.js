"use strict";

/* The table of categories: sorting, filtering, and both in the address, so that a view can be
   sent. Everything else of the page works without this script. */
(() => {
  const table = document.getElementById("categories-table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  const search = document.getElementById("filter-name");
  const kind = document.getElementById("filter-kind");
  const hasTruth = document.getElementById("filter-truth");
  const count = document.getElementById("filter-count");
  const state = { sort: "", isAscending: true };

  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? cell.dataset.value : cell.textContent;
  };

  const compare = (column, isNumber) => (one, other) => {
    const [a, b] = [valueOf(one, column), valueOf(other, column)];
    // What was not measured comes last, whichever way the rest is sorted.
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = isNumber ? Number(a) - Number(b) : a.localeCompare(b, "en");
    return state.isAscending ? order : -order;
  };

  const sortRows = () => {
    const column = headers.findIndex((header) => header.dataset.column === state.sort);
    const ordered = [...rows];
    if (column >= 0) ordered.sort(compare(column, "number" in headers[column].dataset));
    body.append(...ordered);
    headers.forEach((header, place) => {
      if (place === column) {
        header.setAttribute("aria-sort", state.isAscending ? "ascending" : "descending");
      } else {
        header.removeAttribute("aria-sort");
      }
    });
  };

  const filterRows = () => {
    const wanted = search.value.trim().toLocaleLowerCase("en");
    let numShown = 0;
    for (const row of rows) {
      const isShown =
        row.dataset.name.includes(wanted) &&
        (kind.value === "" || row.dataset.kind === kind.value) &&
        (!hasTruth.checked || row.dataset.truth === "1");
      row.hidden = !isShown;
      numShown += isShown;
    }
    count.textContent = `${numShown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} categories`;
  };

  const remember = () => {
    const view = new URLSearchParams();
    if (state.sort) view.set("sort", (state.isAscending ? "" : "-") + state.sort);
    if (search.value) view.set("name", search.value);
    if (kind.value) view.set("kind", kind.value);
    if (hasTruth.checked) view.set("truth", "1");
    history.replaceState(null, "", `#${view}`);
  };

  const recall = () => {
    const hash = location.hash.slice(1);
    if (hash.startsWith("category-")) {
      const row = document.getElementById(hash);
      if (row) row.hidden = false;
      if (row) row.scrollIntoView({ block: "center" });
      return;
    }
    if (!hash.includes("=")) return;
    const view = new URLSearchParams(hash);
    const sort = view.get("sort") ?? "";
    state.isAscending = !sort.startsWith("-");
    state.sort = sort.replace(/^-/, "");
    search.value = view.get("name") ?? "";
    kind.value = ["thing", "stuff"].includes(view.get("kind")) ? view.get("kind") : "";
    hasTruth.checked = view.get("truth") === "1";
    sortRows();
    filterRows();
  };

  for (const header of headers) {
    header.querySelector("button").addEventListener("click", () => {
      const column = header.dataset.column;
      // Numbers from the highest, words from A; once more turns it around.
      state.isAscending =
        state.sort === column ? !state.isAscending : !("number" in header.dataset);
      state.sort = column;
      sortRows();
      remember();
    });
  }
  for (const control of [search, kind, hasTruth]) {
    control.addEventListener("input", () => {
      filterRows();
      remember();
    });
  }
  document.body.classList.remove("no-script");
  filterRows();
  recall();
  addEventListener("hashchange", recall);
})();

/* The chart: what a point says, at once and beside it, on the pointer and on focus. */
(() => {
  const chart = document.getElementById("chart");
  if (!chart) return;
  // The titles are for pages without scripts: they come late and beside a second tip.
  for (const title of chart.querySelectorAll("a > title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.parentNode.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  chart.append(tip);
  const show = (event) => {
    const point = event.target.closest("[data-tip]");
    tip.hidden = !point;
    if (!point) return;
    tip.textContent = point.dataset.tip;
    const [around, spot] = [chart.getBoundingClientRect(), point.getBoundingClientRect()];
    const isRight = spot.left - around.left > around.width / 2;
    tip.style.top = `${spot.top - around.top - 10}px`;
    tip.style.left = isRight ? "auto" : `${spot.right - around.left + 8}px`;
    tip.style.right = isRight ? `${around.right - spot.left + 8}px` : "auto";
  };
  for (const name of ["pointerover", "focusin"]) chart.addEventListener(name, show);
  chart.addEventListener("pointerleave", () => { tip.hidden = true; });
})();

/* On paper nothing is folded. */
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
