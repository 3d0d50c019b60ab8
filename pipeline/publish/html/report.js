"use strict";
// Sorts the table by a column's button, filters its rows, and opens the section that a link leads to.
(() => {
  const table = document.getElementById("jobs");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const said = document.getElementById("said");
  const filter = document.getElementById("filter");
  const words = new Intl.Collator(undefined, { numeric: true });

  const compare = (one, other) => {
    const numbers = [Number(one), Number(other)];
    return numbers.every(Number.isFinite) ? numbers[0] - numbers[1] : words.compare(one, other);
  };

  const sortBy = (header, index) => {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const each of header.parentElement.cells) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    rows.sort((one, other) => {
      const [first, second] = [one, other].map((row) => row.cells[index].dataset.sort);
      if (first === undefined || second === undefined) return (first === undefined) - (second === undefined);
      return ascending ? compare(first, second) : compare(second, first);
    });
    body.append(...rows);
    said.textContent = `Sorted by ${header.textContent.trim()}, ${ascending ? "ascending" : "descending"}.`;
  };

  Array.from(table.tHead.rows[0].cells).forEach((header, index) => {
    header.querySelector("button").addEventListener("click", () => sortBy(header, index));
  });

  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    said.textContent = `${shown} of ${rows.length} jobs shown.`;
  });

  const open = () => {
    const section = document.getElementById(location.hash.slice(1));
    if (section instanceof HTMLDetailsElement) section.open = true;
  };
  addEventListener("hashchange", open);
  open();
})();
