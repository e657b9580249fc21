// What the report page does beyond being read: sorted tables, figures that answer, training curves,
// and a panel that says where a value comes from. Everything else stands in the page without it.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("scripted");
  const source = document.getElementById("page-data");
  const data = Object.assign({ figures: [], cells: [], stages: [], curves: [] }, source ? JSON.parse(source.textContent) : {});

  // ---- small helpers ----

  const SVG = "http://www.w3.org/2000/svg";

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }
  const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  const sv = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
  /** A long name that may break behind its commas. */
  const breakable = (name) => name.split(/(?<=[,@])/).flatMap((part, at) => (at ? [el("wbr"), part] : [part]));
  const cut = (x) => Math.round(x * 100) / 100;

  // ---- colours ----

  const parse = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const brightness = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [brightness(a), brightness(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  };
  const GROUND = { light: parse("#fcfcfa"), dark: parse("#1a1d21") };

  /** The colour, moved towards white or black until it is seen on the ground (3 : 1). */
  function legible(rgb, ground, towards) {
    let seen = rgb;
    for (let share = 0; share <= 1 && contrast(seen, ground) < 3; share += 0.05) {
      seen = rgb.map((c) => Math.round(c + (towards - c) * share));
    }
    return seen;
  }

  /** Both colours of a series, as style of an element of class `ink`; the style sheet picks one. */
  function ink(hex) {
    const rgb = /^#[0-9a-f]{6}$/i.test(hex || "") ? parse(hex) : [90, 90, 90];
    const grey = Math.max(...rgb) - Math.min(...rgb) < 24;
    // Greys are turned over on dark ground, so that the firmest line stays the firmest.
    const turned = grey ? rgb.map((c) => Math.round(255 - c * 0.8)) : rgb;
    return `--ink-light:rgb(${legible(rgb, GROUND.light, 0)});--ink-dark:rgb(${legible(turned, GROUND.dark, 255)})`;
  }

  function themeButton() {
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
    const button = el("button", { type: "button", class: "plain theme" });
    const name = () => { button.textContent = isDark() ? "Light colours" : "Dark colours"; };
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      // A page opened as a file may have no storage.
      try { localStorage.setItem("runner-theme", root.dataset.theme); } catch (_) { /* not remembered */ }
      name();
    });
    dark.addEventListener("change", name);
    name();
    document.querySelector(".head").append(button);
  }

  // ---- contents ----

  function contents() {
    const box = document.querySelector(".toc details");
    if (!box) return;
    const narrow = window.matchMedia("(max-width: 60rem)");
    const fold = () => { box.open = !narrow.matches; };
    narrow.addEventListener("change", fold);
    fold();
    box.addEventListener("click", (event) => { if (narrow.matches && event.target.closest("a")) box.open = false; });
    const links = new Map(all("a", box).map((link) => [link.hash.slice(1), link]));
    const inView = new Set();
    const observer = new IntersectionObserver((changes) => {
      for (const change of changes) inView[change.isIntersecting ? "add" : "delete"](change.target.id);
      const current = [...links.keys()].find((id) => inView.has(id));
      if (!current) return;
      for (const [id, link] of links) {
        if (id === current) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }, { rootMargin: "0px 0px -65% 0px" });
    for (const id of links.keys()) {
      const section = document.getElementById(id);
      if (section) observer.observe(section);
    }
  }

  // ---- tables ----

  const MISSING = /^[—–-]?$/;
  // A number at the start that stands for itself: not the year of `1997-09-20`, not `7B`.
  const NUMBER = /^(?:[a-z]\s*)?([=<>≈~]?)\s*([+\-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?)(?=$|[\s%±†,;)\[(×])/i;
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  /** `null` for a dash, a number where one leads, else NaN. */
  function leading(text) {
    if (MISSING.test(text)) return null;
    const found = NUMBER.exec(text);
    if (!found) return NaN;
    const value = Number(found[2].replace("−", "-").replace(/,/g, ""));
    // `p < 0.001` comes right before 0.001.
    const nudge = Math.abs(value) * 1e-9 + 1e-300;
    return found[1] === "<" ? value - nudge : found[1] === ">" ? value + nudge : value;
  }

  function cellText(cell) {
    const value = cell.querySelector(".value");
    return (value || cell).textContent.trim();
  }

  function sortable(table) {
    const [head, body] = [table.tHead, table.tBodies[0]];
    if (!head || !body || head.rows.length !== 1 || body.rows.length < 2 || table.querySelector("[rowspan], [colspan]")) return;
    const original = [...body.rows];
    const headers = [...head.rows[0].cells];
    headers.forEach((header, column) => {
      const read = (row) => {
        const cell = row.cells[column];
        return cell && cell.dataset.value !== undefined ? Number(cell.dataset.value) : leading(cell ? cellText(cell) : "");
      };
      const keys = original.map(read);
      // Words among numbers (`cannot say: …`) do not make a column one of words.
      const numbers = keys.filter((key) => key !== null && !Number.isNaN(key)).length;
      const numeric = numbers > 0 && numbers * 2 >= keys.filter((key) => key !== null).length;
      header.scope = "col";
      const aligned = keys.every((key) => !Number.isNaN(key)) && original.every((row) => !/^p\b/.test(row.cells[column] ? cellText(row.cells[column]) : ""));
      if (numeric && aligned && column > 0) for (const row of [head.rows[0], ...original]) if (row.cells[column]) row.cells[column].classList.add("number");
      const button = el("button", { type: "button", class: "sort" }, ...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: null }[header.getAttribute("aria-sort")];
        const order = next === undefined ? "ascending" : next;
        for (const other of headers) other.removeAttribute("aria-sort");
        body.classList.toggle("sorted", order !== null);
        if (order === null) return body.append(...original);
        header.setAttribute("aria-sort", order);
        const turn = order === "ascending" ? 1 : -1;
        const keyed = original.map((row, at) => {
          const text = row.cells[column] ? cellText(row.cells[column]) : "";
          // Numbers, then words, then dashes, whichever way the numbers are sorted.
          return { row, text, key: keys[at], rank: keys[at] === null ? 2 : numeric && Number.isNaN(keys[at]) ? 1 : 0 };
        });
        keyed.sort((a, b) => a.rank - b.rank || (a.rank === 2 ? 0 : turn * (numeric && a.rank === 0 ? a.key - b.key : collator.compare(a.text, b.text))));
        body.append(...keyed.map((entry) => entry.row));
      });
    });
  }

  /** One tab stop for all values of a table; arrow keys go from one to the next. */
  function walkable(table) {
    const buttons = all("button.value", table);
    if (!buttons.length) return;
    let stop = buttons[0];
    buttons.forEach((button) => { button.tabIndex = button === stop ? 0 : -1; });
    table.addEventListener("focusin", (event) => {
      if (!event.target.matches("button.value") || event.target === stop) return;
      stop.tabIndex = -1;
      stop = event.target;
      stop.tabIndex = 0;
    });
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    table.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      if (!step || !event.target.matches("button.value")) return;
      event.preventDefault();
      const cell = event.target.closest("td");
      const rows = [...table.tBodies[0].rows];
      let [row, column] = [rows.indexOf(cell.parentNode), cell.cellIndex];
      while (rows[row += step[0]] && rows[row].cells[column += step[1]]) {
        const next = rows[row].cells[column].querySelector("button.value");
        if (next) return next.focus();
      }
    });
  }

  function resultTable(table) {
    if (table.tHead.rows[0].cells.length > 7) table.classList.add("many");
    for (const value of all(".value", table)) {
      const text = value.textContent;
      const at = text.indexOf(" ± ");
      const parts = at < 0 ? [el("span", { class: "mean" }, text)] : [el("span", { class: "mean" }, text.slice(0, at)), el("span", { class: "spread" }, text.slice(at))];
      const cell = value.dataset.cell;
      if (cell !== undefined && data.cells[cell]) {
        value.replaceWith(el("button", { type: "button", class: "value", "data-cell": cell, "aria-haspopup": "dialog", "aria-expanded": "false" }, parts));
      } else value.replaceChildren(...parts);
    }
    table.addEventListener("click", (event) => {
      const button = event.target.closest("button.value");
      if (button) origin.open(Number(button.dataset.cell), button);
    });
    walkable(table);
  }

  function tables() {
    all("table.results").forEach(resultTable);
    for (const table of all(".fragment table")) {
      if (table.closest(".scroll")) continue;
      const box = el("div", { class: "scroll" });
      table.replaceWith(box);
      box.append(table);
    }
    all("main table").forEach(sortable);
    // A box that scrolls must be reachable without a mouse, one that does not must not be a stop.
    const observer = new ResizeObserver((changes) => {
      for (const { target } of changes) {
        const scrolls = target.scrollWidth > target.clientWidth + 1;
        if (scrolls) fill(target, { tabindex: 0, role: "region", "aria-label": "table, scrolls sideways" }, []);
        else for (const name of ["tabindex", "role", "aria-label"]) target.removeAttribute(name);
      }
    });
    all(".scroll").forEach((box) => observer.observe(box));
    const first = document.querySelector(".block");
    if (first) {
      const opens = first.querySelector("button.value");
      first.before(el("p", { class: "hint" }, (opens ? "Click a value to see where it comes from; arrow keys go from value to value. " : "") + "Click a column's name to sort by it."));
    }
  }

  // ---- where a value comes from ----

  const origin = (() => {
    let box, opener, path = [];
    const pairs = (rows) => el("table", {}, el("tbody", {}, rows.map(([name, value]) =>
      el("tr", {}, el("th", { scope: "row", class: "name" }, name), el("td", {}, value)))));
    const part = (title, content) => [el("h4", {}, title), content];

    function build() {
      box = el("dialog", { class: "origin", "aria-labelledby": "origin-title" });
      document.body.append(box);
      document.addEventListener("keydown", (event) => {
        if (event.key === "Escape" && box.open) { event.preventDefault(); close(); }
      });
    }

    function close() {
      box.close();
      if (opener) {
        if (opener.hasAttribute("aria-expanded")) opener.setAttribute("aria-expanded", "false");
        // A figure may have been drawn anew since.
        if (opener.isConnected) opener.focus();
      }
      opener = null;
    }

    function open(cell, from) {
      if (!box) build();
      if (opener && opener.hasAttribute("aria-expanded")) opener.setAttribute("aria-expanded", "false");
      opener = from;
      if (from.hasAttribute("aria-expanded")) from.setAttribute("aria-expanded", "true");
      const { title, values } = data.cells[cell];
      const stage = el("div", { class: "stage" });
      const rows = values.map((value) => {
        const show = el("button", { type: "button", class: "link", "aria-label": `its stage, seed ${value.seed}` }, "its stage");
        show.addEventListener("click", () => {
          path = [];
          all(".link", table).forEach((link) => link.removeAttribute("aria-current"));
          show.setAttribute("aria-current", "true");
          drawStage(stage, value.stage, false);
        });
        return el("tr", {}, el("th", { scope: "row" }, String(value.seed)), el("td", { class: "number" }, value.text),
          el("td", { class: "number" }, String(value.n)), el("td", {}, data.stages[value.stage] ? show : "—"));
      });
      const table = el("table", {}, el("thead", {}, el("tr", {}, ...["seed", "value", "n"].map((name, at) =>
        el("th", { scope: "col", class: at ? "number" : null }, name)), el("th", { scope: "col" }, "made by"))), el("tbody", {}, rows));
      const heading = el("h2", { id: "origin-title", tabindex: "-1" }, title.replace(/ = /g, "\u00a0=\u00a0"));
      box.replaceChildren(
        el("div", { class: "top" }, heading, el("button", { type: "button", class: "plain close", onclick: close }, "Close")),
        el("h3", {}, "Value by seed"), table, stage);
      if (!box.open) box.show();
      box.scrollTop = 0;
      const first = table.querySelector(".link");
      if (first) first.click();
      heading.focus();
    }

    function drawStage(host, index, focus) {
      const stage = data.stages[index];
      const back = path.length
        ? el("button", { type: "button", class: "plain", onclick: () => drawStage(host, path.pop(), true) }, "← back") : null;
      const copy = el("button", { type: "button", class: "plain copy" }, "Copy");
      copy.addEventListener("click", async () => { copy.textContent = (await toClipboard(stage.key)) ? "Copied" : "Not copied"; });
      const heading = el("h3", { tabindex: "-1" }, "Stage ", breakable(stage.id));
      const parents = (stage.made_from || []).filter((parent) => data.stages[parent]);
      host.replaceChildren(
        heading, ...[back].filter(Boolean),
        ...part("key", el("div", { class: "keyline" }, el("span", { class: "key" }, stage.key), copy)),
        ...part("kind", el("div", {}, `${stage.kind}, version ${stage.version}`)),
        ...(stage.parameters.length ? part("parameters", pairs(stage.parameters)) : []),
        ...(stage.inputs.length ? part("inputs and their digests", pairs(stage.inputs.map(([name, digest]) => [name, el("span", { class: "key" }, digest)]))) : []),
        ...(parents.length ? part("made from", el("ul", {}, parents.map((parent) => el("li", {}, el("button", {
          type: "button", class: "link", onclick: () => { path.push(index); drawStage(host, parent, true); } }, breakable(data.stages[parent].id)))))) : []),
        ...(stage.facts.length ? part("facts", pairs(stage.facts)) : []),
        ...(stage.log ? part("log", el("pre", { tabindex: "0" }, stage.log)) : []));
      if (focus) heading.focus();
    }
    return { open };
  })();

  async function toClipboard(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (_) { /* not offered to pages that are files: the old way */ }
    const box = el("textarea", { class: "unseen" });
    box.value = text;
    document.body.append(box);
    const before = document.activeElement;
    box.select();
    let copied = false;
    try { copied = document.execCommand("copy"); } catch (_) { /* stays false */ }
    box.remove();
    if (before) before.focus();
    return copied;
  }

  // ---- drawing ----

  const tip = (() => {
    const box = el("div", { class: "tip", "aria-hidden": "true", hidden: true });
    document.body.append(box);
    const hide = () => { box.hidden = true; };
    /** Beside the place (client coordinates), on the side that has room. */
    const show = (x, y, ...content) => {
      box.replaceChildren(...content.filter(Boolean));
      box.hidden = false;
      const [width, height] = [box.offsetWidth, box.offsetHeight];
      const right = x + 14 + width < root.clientWidth - 4;
      const left = clamp(right ? x + 14 : x - 14 - width, 4, Math.max(4, root.clientWidth - width - 4));
      const top = y - height - 12 > 0 ? y - height - 12 : y + 16;
      box.style.translate = `${Math.round(left + window.scrollX)}px ${Math.round(top + window.scrollY)}px`;
    };
    return { show, hide };
  })();

  /** Around 5 round numbers that cover low … high. */
  function niceTicks(low, high, wanted = 5) {
    if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
    const raw = (high - low) / wanted;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw * 0.75);
    const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (String(step / power).startsWith("2.5") ? 1 : 0));
    const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
    const ticks = [];
    for (let at = first; at <= last; at += 1) ticks.push(at * step);
    return { ticks, low: first * step, high: last * step, text: (value) => value.toFixed(places).replace("-", "−") };
  }

  function markerPath(shape, x, y, r) {
    const corners = (list) => `M${list.map(([dx, dy]) => `${cut(x + dx * r)} ${cut(y + dy * r)}`).join("L")}Z`;
    const arm = 0.34;
    const plus = [[-arm, -1], [arm, -1], [arm, -arm], [1, -arm], [1, arm], [arm, arm], [arm, 1], [-arm, 1], [-arm, arm], [-1, arm], [-1, -arm], [-arm, -arm]];
    switch (shape) {
      case "square": return corners([[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]]);
      case "diamond": return corners([[0, -1.15], [1.15, 0], [0, 1.15], [-1.15, 0]]);
      case "up": return corners([[0, -1.1], [1.05, 0.8], [-1.05, 0.8]]);
      case "down": return corners([[0, 1.1], [1.05, -0.8], [-1.05, -0.8]]);
      case "plus": return corners(plus);
      case "cross": return corners(plus.map(([a, b]) => [(a - b) * 0.74, (a + b) * 0.74]));
      case "star": return corners([...Array(10).keys()].map((at) => {
        const [angle, length] = [(at * Math.PI) / 5, at % 2 ? 0.52 : 1.3];
        return [Math.sin(angle) * length, -Math.cos(angle) * length];
      }));
      default: return `M${cut(x - r)} ${cut(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
    }
  }

  /** Fills of bars: as different without colour as with it. */
  const HATCHES = ["", "M0 6L6 0M-1 1L1 -1M5 7L7 5", "M0 3H6", "M0 0L6 6M-1 5L1 7M5 -1L7 1", "M3 0V6", "M0 3H6M3 0V6", "M2.2 3a.8 .8 0 1 0 1.6 0a.8 .8 0 1 0 -1.6 0"];
  let patterns = 0;
  function hatch(index, style) {
    const lines = HATCHES[index % HATCHES.length];
    const id = `hatch-${(patterns += 1)}`;
    return { id, node: sv("pattern", { id, class: "ink", style, width: 6, height: 6, patternUnits: "userSpaceOnUse" },
      sv("rect", { width: 6, height: 6, fill: "currentColor", "fill-opacity": lines ? 0.22 : 0.8 }),
      lines ? sv("path", { d: lines, stroke: "currentColor", "stroke-width": 1.3, fill: "none" }) : null) };
  }

  /** Axes and grid; gives back the svg and the scales. `x` is a share of the width, 0 … 1. */
  function plotFrame({ width, height, title, yLabel, xLabel, y, xTicks, inset }) {
    const labels = y.ticks.map(y.text);
    const left = Math.max(...labels.map((label) => label.length)) * 7 + 12;
    const [top, right, bottom] = [title ? 52 : 32, 10, xLabel ? 46 : 28];
    const [w, h] = [width - left - right, height - top - bottom];
    const X = (share) => left + inset + share * (w - 2 * inset);
    const Y = (value) => top + h - ((value - y.low) / (y.high - y.low)) * h;
    const root = sv("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, width, height });
    if (title) root.append(sv("text", { class: "title", x: left, y: 16 }, title));
    root.append(sv("text", { x: left, y: top - 14 }, yLabel), sv("rect", { class: "ground", x: left, y: top, width: w, height: h }));
    y.ticks.forEach((tick, at) => root.append(
      sv("line", { class: "gridline", x1: left, x2: left + w, y1: cut(Y(tick)), y2: cut(Y(tick)) }),
      sv("text", { x: left - 8, y: cut(Y(tick)) + 4, "text-anchor": "end" }, labels[at])));
    // Names of ticks that would run into the one before are left out.
    let free = -Infinity;
    for (const { share, text, line } of xTicks) {
      const x = cut(X(share));
      if (line) root.append(sv("line", { class: "gridline", x1: x, x2: x, y1: top, y2: top + h }));
      const half = text.length * 3.6;
      if (x - half < free) continue;
      free = x + half + 6;
      root.append(sv("text", { x, y: top + h + 18, "text-anchor": "middle" }, text));
    }
    root.append(sv("line", { class: "axis", x1: left, x2: left + w, y1: top + h, y2: top + h }));
    if (xLabel) root.append(sv("text", { x: left + w / 2, y: height - 6, "text-anchor": "middle" }, xLabel));
    return { root, X, Y, left, top, w, h };
  }

  function whisker(x, low, high, half) {
    return sv("path", { d: `M${x} ${low}V${high}M${x - half} ${low}h${2 * half}M${x - half} ${high}h${2 * half}`, stroke: "currentColor", "stroke-width": 1.2, fill: "none" });
  }

  /** Toggle buttons; entries of one `group` are isolated among themselves. */
  function legendOf(entries, hidden, redraw, point) {
    const list = el("div", { class: "legend", role: "group", "aria-label": "what is shown" });
    const every = el("button", { type: "button", class: "plain", hidden: true }, "Show all");
    const update = () => {
      for (const entry of entries) entry.button.setAttribute("aria-pressed", String(!hidden.has(entry.key)));
      every.hidden = !hidden.size;
      redraw();
    };
    const isolate = (entry) => {
      const others = entries.filter((other) => other.group === entry.group && other !== entry);
      const alone = others.every((other) => hidden.has(other.key)) && !hidden.has(entry.key);
      for (const other of others) hidden[alone ? "delete" : "add"](other.key);
      hidden.delete(entry.key);
      update();
    };
    for (const entry of entries) {
      entry.button = el("button", { type: "button", class: entry.trivial ? "trivial" : null, "aria-pressed": "true", "data-entry": entry.key }, swatch(entry), entry.name);
      entry.button.addEventListener("click", (event) => {
        if (event.shiftKey || event.altKey) return isolate(entry);
        hidden[hidden.has(entry.key) ? "delete" : "add"](entry.key);
        update();
      });
      // The two clicks of a double click have cancelled each other by now.
      entry.button.addEventListener("dblclick", () => isolate(entry));
      for (const name of ["pointerenter", "focus"]) entry.button.addEventListener(name, () => point(entry.key));
      for (const name of ["pointerleave", "blur"]) entry.button.addEventListener(name, () => point(null));
      list.append(entry.button);
    }
    every.addEventListener("click", () => { hidden.clear(); update(); if (entries[0]) entries[0].button.focus(); });
    list.append(every);
    return list;
  }

  function swatch(entry) {
    const picture = sv("svg", { class: "ink", style: ink(entry.colour), width: 30, height: 12, "aria-hidden": "true" });
    if (entry.bar !== undefined) {
      const pattern = hatch(entry.bar, ink(entry.colour));
      picture.append(sv("defs", {}, pattern.node), sv("rect", { x: 6, y: 0.5, width: 18, height: 11, fill: `url(#${pattern.id})`, stroke: "currentColor" }));
      return picture;
    }
    if (!entry.hollow) picture.append(sv("line", { x1: 1, x2: 29, y1: 6, y2: 6, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": dash(entry.dashes, 0.75) }));
    if (entry.hollow || entry.marker) picture.append(sv("path", { d: markerPath(entry.marker || "circle", 15, 6, 4.5), fill: entry.hollow ? "none" : "currentColor", stroke: "currentColor", "stroke-width": entry.hollow ? 1.4 : 0 }));
    return picture;
  }

  const dash = (dashes, scale) => (dashes && dashes.length ? dashes.map((length) => cut(length * scale)).join(" ") : null);

  /** Calls `draw` with the width now and whenever it changes. */
  function onWidth(host, draw) {
    let last = 0;
    const look = () => {
      const width = Math.floor(host.clientWidth);
      if (width && width !== last) draw((last = width));
    };
    new ResizeObserver(() => requestAnimationFrame(look)).observe(host);
    look();
    return () => last && draw(last);
  }

  function columns(host, width, count) {
    const across = width >= 720 ? Math.min(count, 2) : 1;
    host.style.gridTemplateColumns = `repeat(${across}, minmax(0, ${count === 1 ? "54rem" : "1fr"}))`;
    return count === 1 ? Math.min(width, 864) : Math.floor((width - (across - 1) * 26) / across);
  }

  // ---- figures ----

  function figureOf(host, chart) {
    const bars = chart.kind === "bars";
    const entries = [];
    const known = new Map();
    const add = (entry) => { if (!known.has(entry.key)) { known.set(entry.key, entry); entries.push(entry); } };
    let drawn = 0;
    for (const panel of chart.panels) for (const series of panel.series) {
      const key = `series:${series.name}`;
      if (!known.has(key)) add({ ...series, key, group: "series", bar: bars && !series.trivial ? drawn++ : undefined });
    }
    for (const panel of chart.panels) for (const line of panel.references || []) add({ ...line, key: `reference:${line.name}`, group: "reference" });
    const hasPaper = chart.panels.some((panel) => panel.series.some((series) => series.points.some((point) => point.paper !== null)));
    if (hasPaper) add({ key: "paper", name: "hollow: reported in the paper", hollow: true, marker: bars ? "diamond" : "circle", colour: "#5a5a5a", group: "paper" });

    const hidden = new Set();
    const seen = (key) => !hidden.has(key);
    const panels = el("div", { class: "panels" });
    const legend = legendOf(entries, hidden, () => redraw(), (key) => highlight(panels, key));
    const picture = host.querySelector(".static");
    if (picture) picture.remove();
    host.append(legend, panels);
    if (!document.querySelector(".how-to")) panels.before(el("p", { class: "hint how-to" }, "Click a name to hide it, shift-click to see it alone. Point at a mark for its value, click it to see where it comes from."));
    const references = chart.panels.flatMap((panel) => panel.references || []);
    // Bars stand on what means nothing: the reference line if there is just one, else zero.
    const base = bars && new Set(references.map((line) => line.value)).size === 1 ? references[0].value : 0;
    if (bars && base !== 0) host.append(el("p", { class: "about" }, `Bars start at ${references[0].name}.`));
    host.append(valuesTable(chart));

    const redraw = onWidth(panels, (width) => {
      tip.hide();
      // One scale for all panels, so that they can be compared.
      const values = bars ? [base] : [];
      for (const panel of chart.panels) {
        for (const series of panel.series) if (seen(`series:${series.name}`)) for (const point of series.points) {
          values.push(point.y - (point.spread || 0), point.y + (point.spread || 0));
          if (point.paper !== null && seen("paper")) values.push(point.paper);
        }
        for (const line of panel.references || []) if (seen(`reference:${line.name}`)) values.push(line.value);
      }
      const real = values.filter(Number.isFinite);
      const y = real.length ? niceTicks(Math.min(...real), Math.max(...real), 6) : niceTicks(0, 1);
      const each = columns(panels, width, chart.panels.length);
      panels.replaceChildren(...chart.panels.map((panel) =>
        el("div", { class: "panel" }, drawPanel(panel, each, y))));
    });

    function drawPanel(panel, width, y) {
      const names = panel.series.filter((series) => seen(`series:${series.name}`));
      const positions = bars ? panel.ticks.map((_, at) => (at + 0.5) / panel.ticks.length) : panel.positions;
      const frame = plotFrame({ width, height: Math.round(clamp(width * 0.78, 300, 470)), title: panel.title, yLabel: chart.y_label, xLabel: panel.x_label, y,
        xTicks: panel.ticks.map((text, at) => ({ share: positions[at], text, line: !bars })), inset: bars ? 0 : 28 });
      const { root, X, Y } = frame;
      fill(root, { role: "group", "aria-label": `${panel.title}: ${chart.y_label}. Arrow keys go from mark to mark.` }, []);
      const defs = sv("defs");
      root.append(defs);
      for (const line of panel.references || []) if (seen(`reference:${line.name}`)) root.append(sv("line", {
        class: "ink", style: ink(line.colour), x1: frame.left, x2: frame.left + frame.w, y1: cut(Y(line.value)), y2: cut(Y(line.value)),
        stroke: "currentColor", "stroke-width": 1.4, "stroke-dasharray": dash(line.dashes, 1) }));

      const set = names.filter((series) => (bars ? !series.trivial : series.marker));
      const gap = Math.min(frame.w, ...positions.slice(1).map((share, at) => X(share) - X(positions[at])));
      const step = bars ? Math.min(46, (gap * 0.76) / Math.max(1, set.length)) : Math.min(7, (gap * 0.62) / Math.max(1, set.length));
      const marks = [];
      // Yardsticks first: they lie beneath.
      const order = [...names].sort((a, b) => Number(b.trivial) - Number(a.trivial));
      for (const series of order) {
        const style = ink(series.colour);
        const group = sv("g", { class: "series ink", style, "data-series": `series:${series.name}` });
        const at = set.indexOf(series);
        const shift = at < 0 ? 0 : (at - (set.length - 1) / 2) * step;
        const points = [...series.points].filter((point) => Number.isFinite(point.y)).sort((a, b) => a.tick - b.tick)
          .map((point) => ({ point, series, x: cut(X(positions[point.tick]) + shift), y: cut(Y(point.y)) }));
        const asBars = bars && at >= 0;
        if (asBars) {
          const pattern = hatch(known.get(`series:${series.name}`).bar, style);
          defs.append(pattern.node);
          for (const mark of points) {
            const [top, low] = [Math.min(mark.y, Y(base)), Math.max(mark.y, Y(base))];
            mark.bar = { x: cut(mark.x - step * 0.44), width: cut(step * 0.88), y: cut(top), height: cut(Math.max(0.5, low - top)) };
            mark.fill = `url(#${pattern.id})`;
          }
        } else if (bars) {
          for (const mark of points) group.append(sv("path", { d: `M${cut(mark.x - gap * 0.42)} ${mark.y}h${cut(gap * 0.84)}`, stroke: "currentColor", "stroke-width": 1.8, "stroke-dasharray": dash(series.dashes, 0.8) }));
        } else group.append(...lineOf(points, series, Y, set.length));
        for (const mark of points) {
          const { point, x } = mark;
          if (point.spread && !(asBars)) group.append(whisker(x, cut(Y(point.y + point.spread)), cut(Y(point.y - point.spread)), Math.min(4, step * 0.6 + 0.8)));
        }
        for (const mark of points) if (mark.point.paper !== null && seen("paper")) group.append(sv("path", { class: "hollow paper",
          d: markerPath(bars ? "diamond" : series.marker, mark.x, cut(Y(mark.point.paper)), bars ? 4.5 : 4.2), stroke: "currentColor", "stroke-width": 1.4 }));
        for (const mark of points) {
          mark.node = markNode(mark, asBars, set.length);
          if (asBars && mark.point.spread) mark.node.append(whisker(mark.x, cut(Y(mark.point.y + mark.point.spread)), cut(Y(mark.point.y - mark.point.spread)), Math.min(5, step * 0.2)));
          group.append(mark.node);
          marks.push(mark);
        }
        root.append(group);
      }
      answering(root, marks, frame, bars ? step : 0);
      return root;
    }

    function lineOf(points, series, Y, crowd) {
      // A missing value is a gap, not a straight line over it.
      const runs = [];
      for (const mark of points) {
        const run = runs[runs.length - 1];
        if (run && run[run.length - 1].point.tick === mark.point.tick - 1) run.push(mark);
        else runs.push([mark]);
      }
      const nodes = [];
      for (const run of runs) {
        if (run.length > 1 && !series.trivial && run.every((mark) => mark.point.spread)) {
          const edge = (side) => run.map((mark) => `${mark.x} ${cut(Y(mark.point.y + side * mark.point.spread))}`);
          nodes.push(sv("path", { class: "band", d: `M${edge(1).join("L")}L${edge(-1).reverse().join("L")}Z`, fill: "currentColor", "fill-opacity": crowd > 4 ? 0.035 : 0.1 }));
        }
        nodes.push(sv("path", { d: `M${run.map((mark) => `${mark.x} ${mark.y}`).join("L")}`, fill: "none", stroke: "currentColor",
          "stroke-width": 1.8, "stroke-linejoin": "round", "stroke-dasharray": dash(series.dashes, 0.8) }));
      }
      return nodes;
    }

    function markNode(mark, asBar, crowd) {
      const { point, series, x, y } = mark;
      const size = crowd > 6 ? 4.2 : 5;
      const paper = point.paper !== null ? `; the paper has ${point.paper}` : "";
      const opens = point.cell !== null && data.cells[point.cell];
      const node = sv("g", { class: `point${series.marker || asBar ? "" : " bare"}`, role: opens ? "button" : "img", "aria-label": point.text + paper, tabindex: "-1", "aria-haspopup": opens ? "dialog" : null });
      if (asBar) node.append(sv("rect", { ...mark.bar, fill: mark.fill, stroke: "currentColor", "stroke-width": 1 }), sv("rect", { class: "ring", ...mark.bar }));
      else node.append(sv("circle", { class: "ring", cx: x, cy: y, r: size + 3.5 }),
        series.marker ? sv("path", { class: "halo dot", d: markerPath(series.marker, x, y, size), fill: "currentColor", "stroke-width": 1.2, "paint-order": "stroke" })
          : sv("circle", { class: "dot", cx: x, cy: y, r: 1.8, fill: "currentColor" }));
      return node;
    }
  }

  /** Brings one series to the front of the eye: the others fade. */
  function highlight(panels, key) {
    for (const plot of all(".plot", panels)) {
      let any = false;
      for (const series of all(".series", plot)) {
        const on = series.dataset.series === key || (series.dataset.also || "").split("\n").includes(key);
        series.classList.toggle("on", on);
        any = any || on;
      }
      plot.classList.toggle("picked", any);
    }
  }

  /** Pointer, keyboard and click on the marks of a plot. `barWidth` is 0 for lines. */
  function answering(plot, marks, frame, barWidth) {
    let active = null;
    const point = (mark) => {
      if (active === mark) return;
      if (active) active.node.classList.remove("on");
      active = mark;
      highlight(plot.parentNode || plot, mark ? `series:${mark.series.name}` : null);
      if (!mark) return tip.hide();
      mark.node.classList.add("on");
      const box = plot.getBoundingClientRect();
      const scale = box.width / plot.viewBox.baseVal.width;
      tip.show(box.left + mark.x * scale, box.top + mark.y * scale, mark.point.text,
        mark.point.paper !== null ? el("small", {}, `the paper has ${mark.point.paper}`) : null);
    };
    const nearest = (event) => {
      const box = plot.getBoundingClientRect();
      const scale = plot.viewBox.baseVal.width / box.width;
      const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      let best = null, least = barWidth ? Infinity : 26;
      if (y < frame.top - 20 || y > frame.top + frame.h + 20) return null;
      for (const mark of marks) {
        const distance = mark.bar ? (Math.abs(mark.x - x) <= barWidth / 2 ? Math.abs(mark.x - x) : Infinity) : Math.hypot(mark.x - x, mark.y - y) + (barWidth ? 10 : 0);
        if (distance < least && (mark.bar || distance < 26)) [best, least] = [mark, distance];
      }
      return best;
    };
    const open = (mark) => {
      if (mark.point.cell === null || !data.cells[mark.point.cell]) return;
      tip.hide();
      origin.open(mark.point.cell, mark.node);
    };
    plot.addEventListener("pointermove", (event) => point(nearest(event)));
    plot.addEventListener("pointerleave", () => point(null));
    plot.addEventListener("click", (event) => {
      const hit = event.target.closest && event.target.closest(".point");
      const mark = event.detail ? nearest(event) : marks.find((other) => other.node === hit);
      if (mark) open(mark);
    });
    if (!marks.length) return;
    let stop = marks[0];
    stop.node.setAttribute("tabindex", "0");
    const go = (mark) => { if (mark) mark.node.focus(); };
    for (const mark of marks) {
      mark.node.addEventListener("focus", () => {
        stop.node.setAttribute("tabindex", "-1");
        stop = mark;
        stop.node.setAttribute("tabindex", "0");
        point(mark);
      });
      mark.node.addEventListener("blur", () => point(null));
      mark.node.addEventListener("keydown", (event) => {
        const same = marks.filter((other) => other.series === mark.series);
        const stack = marks.filter((other) => other.point.tick === mark.point.tick).sort((a, b) => a.point.y - b.point.y);
        const next = { ArrowLeft: same[same.indexOf(mark) - 1], ArrowRight: same[same.indexOf(mark) + 1],
          ArrowUp: stack[stack.indexOf(mark) + 1], ArrowDown: stack[stack.indexOf(mark) - 1] };
        if (event.key in next) { event.preventDefault(); go(next[event.key]); }
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(mark); }
      });
    }
  }

  /** The same numbers in rows and columns, made when it is opened. */
  function valuesTable(chart) {
    const box = el("details", { class: "more" }, el("summary", {}, "Values as a table"));
    box.addEventListener("toggle", () => {
      if (!box.open || box.children.length > 1) return;
      for (const panel of chart.panels) {
        const paper = panel.series.some((series) => series.points.some((point) => point.paper !== null));
        const rows = panel.series.map((series) => el("tr", { class: series.trivial ? "trivial" : null }, el("th", { scope: "row" }, series.name), panel.ticks.map((_, tick) => {
          const point = series.points.find((other) => other.tick === tick);
          if (!point) return el("td", { class: "number" }, "—");
          const text = point.text.includes(": ") ? point.text.slice(point.text.lastIndexOf(": ") + 2).replace(/ over \d+ seeds?.*$/, "") : String(Math.round(point.y * 1e4) / 1e4);
          return el("td", { class: "number", "data-value": point.y }, el("span", { class: "value" }, text), paper && point.paper !== null ? el("small", {}, `paper ${point.paper}`) : null);
        })));
        const table = el("table", { class: "results" }, el("caption", {}, el("div", {}, el("p", {}, `${panel.title}: ${chart.y_label}`))),
          el("thead", {}, el("tr", {}, el("th", { scope: "col" }, panel.x_label), panel.ticks.map((tick) => el("th", { scope: "col", class: "number" }, tick)))), el("tbody", {}, rows));
        resultTable(table);
        sortable(table);
        box.append(el("div", { class: "scroll" }, table));
      }
    });
    return box;
  }

  function figures() {
    const charts = new Map(data.figures.map((figure) => [figure.name, figure.chart]));
    for (const host of all("figure[data-figure]")) {
      const chart = charts.get(host.dataset.figure);
      if (chart && chart.panels.length) figureOf(host, chart);
    }
  }

  // ---- training curves ----

  const SEED_DASHES = [[], [7, 3], [2, 2.5], [8, 3, 2, 3], [14, 4]];

  function trainingCurves() {
    const section = document.getElementById("curves");
    if (!section || !data.curves.length) return;
    const groups = new Map();
    for (const curve of data.curves) groups.set(curve.group, [...(groups.get(curve.group) || []), curve]);
    const select = el("select", { id: "curves-of" }, [...groups.keys()].map((name) => el("option", {}, name)));
    const host = el("div", { class: "curves" });
    section.append(el("div", { class: "choose" }, el("label", { for: "curves-of" }, "Curves of"), select), host);
    const show = () => { host.replaceChildren(); curvesOf(host, select.value, groups.get(select.value)); };
    select.addEventListener("change", show);
    show();
  }

  function curvesOf(host, group, curves) {
    const names = curves.map((curve) => (curve.title.startsWith(group) ? curve.title.slice(group.length).replace(/^[,:\s]+/, "") : curve.title) || curve.title);
    const labels = [...new Set(curves.flatMap((curve) => curve.panels.map((panel) => panel.y_label)))];
    const entries = [];
    const several = curves.some((curve) => curve.panels.some((panel) => panel.lines.length > 1));
    if (several) for (const line of curves.flatMap((curve) => curve.panels.flatMap((panel) => panel.lines))) {
      if (!entries.some((entry) => entry.name === line.name)) entries.push({ key: `line:${line.name}`, name: line.name, colour: line.colour, dashes: [], group: "line" });
    }
    if (curves.length > 1) names.forEach((name, at) => entries.push({ key: `curve:${at}`, name, colour: "#5a5a5a", dashes: SEED_DASHES[at % 5], group: "curve" }));
    const hidden = new Set();
    const panels = el("div", { class: "panels" });
    const said = el("p", { class: "unseen", "aria-live": "polite" });
    if (entries.length) host.append(legendOf(entries, hidden, () => redraw(), (key) => highlight(panels, key)));
    host.append(panels);
    const chosen = curves.some((curve) => curve.chosen_x !== null);
    host.append(el("p", { class: "hint" }, chosen ? `A triangle and a thin upright line mark the ${curves[0].x_label} that was kept.` : ""), said);
    const redraw = onWidth(panels, (width) => {
      tip.hide();
      const each = columns(panels, width, labels.length);
      panels.replaceChildren(...labels.map((label) => el("div", { class: "panel" }, drawPanel(label, each))));
    });

    function drawPanel(label, width) {
      const lines = curves.flatMap((curve, at) => curve.panels.filter((panel) => panel.y_label === label).flatMap((panel) => panel.lines.map((line) => ({ ...line, curve, at }))))
        .filter((line) => !hidden.has(`curve:${line.at}`) && !hidden.has(`line:${line.name}`))
        .map((line) => ({ ...line, points: line.points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)) }));
      let [lowX, highX, lowY, highY] = [Infinity, -Infinity, Infinity, -Infinity];
      for (const line of lines) for (const [x, y] of line.points) {
        [lowX, highX] = [Math.min(lowX, x), Math.max(highX, x)];
        [lowY, highY] = [Math.min(lowY, y), Math.max(highY, y)];
      }
      if (!Number.isFinite(lowX)) [lowX, highX, lowY, highY] = [0, 1, 0, 1];
      if (highX === lowX) [lowX, highX] = [lowX - 1, highX + 1];
      const y = niceTicks(lowY, highY, 5);
      const share = (x) => (x - lowX) / (highX - lowX);
      const xs = niceTicks(lowX, highX, 6);
      const frame = plotFrame({ width, height: Math.round(clamp(width * 0.6, 260, 400)), yLabel: label, xLabel: curves[0].x_label, y, inset: 8,
        xTicks: xs.ticks.filter((tick) => tick >= lowX && tick <= highX).map((tick) => ({ share: share(tick), text: xs.text(tick), line: true })) });
      const { root, X, Y } = frame;
      const cursor = sv("line", { class: "cursor", y1: frame.top, y2: frame.top + frame.h, visibility: "hidden" });
      const shown = new Set(lines.map((line) => line.at));
      curves.forEach((curve, at) => {
        if (curve.chosen_x === null || !shown.has(at)) return;
        const x = cut(X(share(curve.chosen_x)));
        root.append(sv("g", { class: "series chosen ink", style: ink("#5a5a5a"), "data-series": `curve:${at}` },
          sv("line", { x1: x, x2: x, y1: frame.top, y2: frame.top + frame.h, stroke: "currentColor", "stroke-width": 1, "stroke-opacity": 0.55, "stroke-dasharray": dash(SEED_DASHES[at % 5], 0.7) }),
          sv("path", { d: markerPath("down", x, frame.top, 5), fill: "currentColor" })));
      });
      for (const line of lines) {
        line.node = sv("g", { class: "series ink", style: ink(line.colour), "data-series": `curve:${line.at}`, "data-also": `line:${line.name}\nboth:${line.at} ${line.name}` });
        const points = line.points.map(([x, v]) => `${cut(X(share(x)))} ${cut(Y(v))}`);
        line.node.append(points.length === 1 ? sv("circle", { cx: points[0].split(" ")[0], cy: points[0].split(" ")[1], r: 3, fill: "currentColor" })
          : sv("path", { d: `M${points.join("L")}`, fill: "none", stroke: "currentColor", "stroke-width": 1.6, "stroke-linejoin": "round", "stroke-dasharray": dash(SEED_DASHES[line.at % 5], 1) }));
        root.append(line.node);
      }
      root.append(cursor);
      const places = [...new Set(lines.flatMap((line) => line.points.map(([x]) => x)))].sort((a, b) => a - b);
      const last = lines.map((line) => line.points[line.points.length - 1]).filter(Boolean);
      fill(root, { role: "img", tabindex: "0", "aria-label": `${group}: ${label} over ${curves[0].x_label}, ${lines.length} lines, ${places.length ? `${places[0]} to ${places[places.length - 1]}` : "nothing to show"}`
        + `${last.length ? `; last values ${last.map((point) => tidy(point[1])).slice(0, 8).join(", ")}` : ""}. Left and right arrow keys read values.` }, []);

      let now = -1;
      const clear = () => { now = -1; cursor.setAttribute("visibility", "hidden"); highlight(root.parentNode || root, null); tip.hide(); };
      /** Values of all lines at a place; the one nearest to the pointer comes first to the eye. */
      const point = (at, clientY) => {
        now = at;
        const x = places[at];
        const box = root.getBoundingClientRect();
        const scale = box.width / width;
        cursor.setAttribute("x1", cut(X(share(x))));
        cursor.setAttribute("x2", cut(X(share(x))));
        cursor.setAttribute("visibility", "visible");
        const here = lines.map((line) => ({ line, value: (line.points.find(([other]) => other === x) || [])[1] })).filter((entry) => entry.value !== undefined);
        const away = (entry) => Math.abs(box.top + Y(entry.value) * scale - clientY);
        const nearest = clientY === undefined ? null : here.reduce((best, entry) => (!best || away(entry) < away(best) ? entry : best), null);
        highlight(root.parentNode, nearest && here.length > 1 ? `both:${nearest.line.at} ${nearest.line.name}` : null);
        const text = ({ line, value }) => [curves.length > 1 ? names[line.at] : null, line.name].filter(Boolean).join(", ") + `: ${tidy(value)}`;
        // Beside the pointer only what it points at, of every seed.
        const told = nearest ? here.filter((entry) => entry.line.name === nearest.line.name) : here;
        const rows = told.slice(0, 12).map((entry) => el("div", { style: entry === nearest ? "font-weight:650" : null }, text(entry)));
        tip.show(box.left + X(share(x)) * scale, nearest ? box.top + Y(nearest.value) * scale : box.top + frame.top * scale + 40,
          el("small", {}, `${curves[0].x_label} ${x}`), ...rows, told.length > 12 ? el("small", {}, `and ${told.length - 12} more`) : null);
        return `${curves[0].x_label} ${x}: ${here.map(text).join("; ")}`;
      };
      const placeOf = (event) => {
        const box = root.getBoundingClientRect();
        const at = (event.clientX - box.left) * (width / box.width);
        return places.reduce((best, x, index) => (Math.abs(X(share(x)) - at) < Math.abs(X(share(places[best])) - at) ? index : best), 0);
      };
      root.addEventListener("pointermove", (event) => { if (places.length) point(placeOf(event), event.clientY); });
      root.addEventListener("pointerleave", clear);
      root.addEventListener("blur", clear);
      root.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
        if (!step || !places.length) return;
        event.preventDefault();
        said.textContent = point(now < 0 ? 0 : clamp(now + step, 0, places.length - 1));
      });
      return root;
    }
  }

  const tidy = (value) => (value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(2) : String(Number(value.toPrecision(4))));

  // ---- the rest ----

  function printing() {
    let opened = [];
    window.addEventListener("beforeprint", () => {
      opened = all(".fragment details:not([open])");
      for (const box of opened) box.open = true;
    });
    window.addEventListener("afterprint", () => { for (const box of opened) box.open = false; });
  }

  for (const how of all(".score .how")) if (/^[\d.]+$/.test(how.textContent)) how.textContent = Number(how.textContent).toFixed(3);
  themeButton();
  contents();
  tables();
  figures();
  trainingCurves();
  printing();
  root.dataset.ready = "yes";
})();
