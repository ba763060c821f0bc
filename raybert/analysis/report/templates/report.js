"use strict";
(() => {
  const make = (tag, attributes, text) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const letters = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  // What is not there stands last in both directions.
  const compare = (one, other, sign) => {
    const [a, b] = [one.dataset.v, other.dataset.v];
    if (a !== undefined && b !== undefined) {
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * (Number(a) - Number(b));
    }
    const [x, y] = [one.textContent.trim(), other.textContent.trim()];
    if (x === "" || y === "") return (x === "") - (y === "");
    return sign * letters.compare(x, y);
  };

  const sortBy = (table, column, heads) => {
    const head = heads[column];
    const before = head.getAttribute("aria-sort");
    // Numbers begin with the largest, words with the first.
    const first = head.classList.contains("n") ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const direction = before === first ? second : first;
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    for (const body of table.tBodies) {
      const rows = [...body.rows];
      rows.sort((one, other) => compare(one.cells[column], other.cells[column], sign));
      body.append(...rows);
    }
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(table, column, heads));
    });
  }

  // A box that shows the rows that hold all of its words, and boxes for columns with a few different values.
  const addFilter = (place, tables, choices, onChange) => {
    const tools = make("div", { class: "tools", role: "search" });
    tools.setAttribute("aria-label", place.dataset.filter);
    const search = make("input", { type: "search", autocomplete: "off", spellcheck: "false" });
    const label = make("label", {}, place.dataset.filter);
    label.append(search);
    tools.append(label);
    const boxes = choices.map(([name, key, values]) => {
      const box = make("select", {});
      box.append(make("option", { value: "" }, "all"));
      for (const value of values) box.append(make("option", { value }, value));
      const around = make("label", {}, name);
      around.append(box);
      tools.append(around);
      return [key, box];
    });
    const found = make("output", { "aria-live": "polite" });
    tools.append(found);
    place.before(tools);
    const rows = tables.flatMap((table) => [...table.tBodies].flatMap((body) => [...body.rows]));
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const wanted = boxes.filter(([, box]) => box.value !== "");
      let count = 0;
      rows.forEach((row, number) => {
        const shown = words.every((word) => texts[number].includes(word))
          && wanted.every(([key, box]) => row.dataset[key] === box.value);
        row.hidden = !shown;
        count += shown;
      });
      const active = words.length > 0 || wanted.length > 0;
      found.textContent = active ? `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows` : "";
      onChange(active);
    };
    tools.addEventListener("input", apply);
  };

  for (const place of document.querySelectorAll(".scroll[data-filter]")) {
    const table = place.querySelector("table");
    const status = new Set([...table.querySelectorAll("tr[data-status]")].map((row) => row.dataset.status));
    addFilter(place, [table], status.size > 1 ? [["status", "status", [...status]]] : [], () => {});
  }

  const browser = document.getElementById("example-groups");
  if (browser !== null) {
    const groups = [...browser.querySelectorAll("details")];
    const rows = [...browser.querySelectorAll("tbody tr")];
    const values = (key) => [...new Set(rows.map((row) => row.dataset[key]))];
    const closed = new Set(groups.filter((group) => !group.open));
    const choices = [["part", "part", values("part")], ["label", "label", values("label").sort(letters.compare)]];
    addFilter(browser, groups.map((group) => group.querySelector("table")), choices, (active) => {
      for (const group of groups) {
        const has = [...group.querySelectorAll("tbody tr")].some((row) => !row.hidden);
        group.hidden = !has;
        group.open = active ? has : !closed.has(group);
      }
    });
    window.addEventListener("beforeprint", () => groups.forEach((group) => { group.open = true; }));
  }
})();
