// Uses a rendered report page as a reader would and writes down what works. It is put before
// </body>, behind the page's own script, and knows nothing of what the page shows.
(() => {
  "use strict";
  const lines = [];
  const problems = [];
  window.addEventListener("error", (event) => problems.push(event.message || String(event)));
  window.addEventListener("unhandledrejection", (event) => problems.push(String(event.reason)));

  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const pause = (milliseconds = 40) => new Promise((done) => setTimeout(done, milliseconds));
  const shown = (node) => Boolean(node && node.getClientRects().length && getComputedStyle(node).visibility !== "hidden");
  const key = (node, name, more = {}) => node.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true, ...more }));
  /** Enter on a button: browsers turn the real key into a click, so the check does the same. */
  function enter(button) {
    button.focus();
    need(document.activeElement === button, "a button cannot be focused");
    if (key(button, "Enter")) button.click();
  }
  function pointAt(node) {
    node.scrollIntoView({ block: "center", behavior: "instant" });
    const box = node.getBoundingClientRect();
    const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true, cancelable: true };
    for (const name of ["pointerover", "pointermove"]) node.dispatchEvent(new PointerEvent(name, at));
    return at;
  }
  function need(holds, why) { if (!holds) throw new Error(why); }

  class Nothing extends Error {}
  const nothing = () => { throw new Nothing(); };

  async function check(name, run) {
    try {
      await run();
      lines.push(`ok ${name}`);
    } catch (error) {
      lines.push(error instanceof Nothing ? `ok ${name} (nothing to check)` : `FAILED ${name}: ${error.message}`);
    }
  }

  const tables = () => all("main table").filter((table) => table.querySelector("thead button.sort"));
  const rowsOf = (table) => [...table.tBodies[0].rows];
  const cellText = (row, column) => {
    const cell = row.cells[column];
    return ((cell && (cell.querySelector(".value") || cell)) || { textContent: "" }).textContent.trim();
  };
  const missing = (text) => /^[—–-]?$/.test(text);
  const number = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const found = /^(?:p [=<>] )?([+\-−]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?![\d\-:.])/.exec(cellText(row, column));
    return found ? Number(found[1].replace("−", "-")) : NaN;
  };
  const plotOfFigures = () => all("figure .plot").find((plot) => plot.querySelector(".point"));
  const firstPoint = () => (plotOfFigures() || nothing()).querySelector(".point");

  async function run() {
    // Errors before this file is read are not heard here, but then the script did not reach its end.
    await check("the page's own script came to its end", () => need(document.documentElement.dataset.ready === "yes", "it did not"));

    await check("the page has one first heading, a language and landmarks", () => {
      need(all("h1").length === 1, `${all("h1").length} first headings`);
      need(document.documentElement.lang === "en", "no language");
      need(document.querySelector("main") && document.querySelector("nav[aria-label]"), "no main or nav");
    });

    await check("headings do not skip a level", () => {
      let before = 1;
      for (const heading of all("h1, h2, h3, h4, h5, h6").filter(shown)) {
        const level = Number(heading.tagName[1]);
        need(level <= before + 1, `level ${level} after ${before}: ${heading.textContent.trim()}`);
        before = level;
      }
    });

    await check("ids are there once", () => {
      const ids = all("[id]").filter((node) => !node.closest(".static")).map((node) => node.id);
      const twice = ids.find((id, at) => ids.indexOf(id) !== at);
      need(twice === undefined, `twice: ${twice}`);
    });

    await check("every entry of the contents leads somewhere", () => {
      for (const link of all("nav a")) need(document.getElementById(decodeURIComponent(link.hash.slice(1))), `nothing at ${link.hash}`);
    });

    await check("nothing is loaded from elsewhere", () => {
      for (const node of all("script[src], img[src], link[href], iframe, video, audio, object")) {
        need(/^data:/.test(node.getAttribute("src") || node.getAttribute("href") || ""), `loads ${node.outerHTML.slice(0, 80)}`);
      }
    });

    await check("sorting goes up, down and back, keeping every row", () => {
      if (!tables().length) nothing();
      for (const table of tables()) {
        const before = rowsOf(table);
        all("thead th", table).forEach((header, column) => {
          const button = header.querySelector("button.sort");
          const name = `column ${header.textContent.trim()}`;
          need(header.scope === "col", `${name} has no scope`);
          need(!header.hasAttribute("aria-sort"), `${name} says it is sorted`);
          for (const order of ["ascending", "descending"]) {
            button.click();
            need(header.getAttribute("aria-sort") === order, `${name} is ${header.getAttribute("aria-sort")}, not ${order}`);
            need(all("[aria-sort]", table).length === 1, "two columns say they are sorted");
            const rows = rowsOf(table);
            need(rows.length === before.length && before.every((row) => rows.includes(row)), `${name}: rows are lost`);
            const dash = rows.findIndex((row) => missing(cellText(row, column)));
            need(dash < 0 || rows.slice(dash).every((row) => missing(cellText(row, column))), `${name}, ${order}: a dash is not last`);
            const numbers = rows.filter((row) => !missing(cellText(row, column))).map((row) => number(row, column));
            if (numbers.every((value) => !Number.isNaN(value))) {
              const fine = numbers.every((value, at) => !at || (order === "ascending" ? numbers[at - 1] <= value : numbers[at - 1] >= value));
              need(fine, `${name}, ${order}: ${numbers.join(" ")}`);
            }
          }
          button.click();
          need(!header.hasAttribute("aria-sort"), `${name} does not go back`);
          need(rowsOf(table).every((row, at) => row === before[at]), `${name}: the first order is lost`);
        });
      }
    });

    await check("sorting works with the keyboard", () => {
      const table = tables().find((one) => !one.closest("details:not([open])")) || nothing();
      const header = table.querySelector("thead th:last-child");
      const button = header.querySelector("button.sort");
      need(button.tagName === "BUTTON" && button.tabIndex === 0, "no button to reach");
      enter(button);
      need(header.getAttribute("aria-sort") === "ascending", "not sorted");
      need(document.activeElement === button, "the focus is lost");
      enter(button);
      enter(button);
    });

    await check("trivial baselines are recognisable", () => {
      const row = document.querySelector("table.results tr.trivial") || nothing();
      need(getComputedStyle(row.cells[0]).fontStyle === "italic", "not italic");
    });

    await check("a value opens where it comes from, Escape closes it and gives the focus back", async () => {
      const value = document.querySelector("button.value") || nothing();
      enter(value);
      await pause();
      const panel = document.querySelector("dialog.origin");
      need(panel && panel.open && shown(panel), "no panel");
      need(panel.contains(document.activeElement), "the focus is not in the panel");
      need(value.getAttribute("aria-expanded") === "true", "the value does not say that it is open");
      need(all("tbody tr", panel).length > 0, "no value by seed");
      const stage = panel.querySelector(".stage .key");
      need(stage && /^[0-9a-f]{8,}$/.test(stage.textContent), `no key: ${stage && stage.textContent}`);
      need(panel.querySelector("button.copy"), "no button to copy the key");
      const parent = panel.querySelector(".stage li .link");
      if (parent) {
        const before = stage.textContent;
        parent.click();
        await pause();
        need(panel.querySelector(".stage .key").textContent !== before, "a stage it is made from does not open");
      }
      key(document.activeElement, "Escape");
      await pause();
      need(!panel.open && !shown(panel), "Escape does not close it");
      need(document.activeElement === value, "the focus is not back");
      need(value.getAttribute("aria-expanded") === "false", "the value says it is still open");
    });

    await check("every value that can be opened opens", () => {
      const values = all("button.value");
      if (!values.length) nothing();
      const step = Math.max(1, Math.floor(values.length / 40));
      for (let at = 0; at < values.length; at += step) {
        values[at].click();
        const panel = document.querySelector("dialog.origin");
        need(panel.querySelector("h2").textContent.trim(), `no title for ${values[at].textContent}`);
      }
      key(document.body, "Escape");
    });

    await check("arrow keys go from value to value", () => {
      const table = all("table.results").find((one) => all("button.value", one).length > 1) || nothing();
      need(all('button.value[tabindex="0"]', table).length === 1, "more than one tab stop");
      const values = all("button.value", table);
      const below = values.find((value) => value.closest("tr") !== values[0].closest("tr"));
      values[0].focus();
      key(values[0], values[1].closest("tr") === values[0].closest("tr") ? "ArrowRight" : "ArrowDown");
      need(document.activeElement !== values[0] && (document.activeElement === values[1] || document.activeElement === below), "the focus does not move");
      need(document.activeElement.tabIndex === 0 && all('button.value[tabindex="0"]', table).length === 1, "the tab stop does not move along");
    });

    await check("figures are drawn and their static pictures gone", () => {
      if (!plotOfFigures()) nothing();
      for (const figure of all("figure")) if (figure.querySelector(".plot")) need(!all(".static", figure).some(shown), "both pictures are shown");
    });

    await check("pointing at a mark shows its text", async () => {
      const point = firstPoint();
      const plot = point.closest("svg");
      pointAt(point.querySelector(".dot, rect"));
      await pause();
      const tip = document.querySelector(".tip");
      need(shown(tip), "nothing is shown");
      // Marks may lie on each other: the text must be that of one of the panel's marks that is lit.
      const lit = plot.querySelector(".point.on");
      need(lit, "no mark is lit");
      const words = lit.getAttribute("aria-label").split("; the paper has")[0];
      need(tip.textContent.includes(words), `“${tip.textContent}” does not have “${words}”`);
      const box = tip.getBoundingClientRect();
      need(box.left >= 0 && box.right <= document.documentElement.clientWidth + 1, "the text leaves the window");
      plot.dispatchEvent(new PointerEvent("pointerleave"));
      need(!shown(tip), "the text stays");
    });

    await check("marks work with the keyboard", async () => {
      const point = firstPoint();
      const plot = point.closest("svg");
      need(all('.point[tabindex="0"]', plot).length === 1, "not one tab stop");
      point.focus();
      const tip = document.querySelector(".tip");
      need(shown(tip) && tip.textContent.includes(point.getAttribute("aria-label").split("; the paper has")[0]), "focus shows nothing");
      const more = all(".point", point.closest(".series"));
      if (more.length > 1) {
        key(point, "ArrowRight");
        need(document.activeElement === more[1], "the arrow key does not move on");
        key(more[1], "ArrowLeft");
      }
      const opens = all(".point", plot).find((one) => one.getAttribute("role") === "button");
      if (opens) {
        opens.focus();
        key(opens, "Enter");
        await pause();
        const panel = document.querySelector("dialog.origin");
        need(panel && panel.open, "Enter opens nothing");
        key(document.activeElement, "Escape");
        need(!panel.open && document.activeElement === opens, "the focus is not back at the mark");
      }
      document.activeElement.blur();
      need(!shown(tip), "the text stays");
    });

    await check("the legend hides, isolates and shows again", () => {
      const figure = all("figure").find((one) => one.querySelector(".legend [data-entry^='series:']")) || nothing();
      const count = () => all(".series", figure).length;
      const buttons = all(".legend [data-entry^='series:']", figure);
      const whole = count();
      const mine = all(".series", figure).filter((one) => one.dataset.series === buttons[0].dataset.entry).length;
      enter(buttons[0]);
      need(buttons[0].getAttribute("aria-pressed") === "false", "not marked as hidden");
      need(count() === whole - mine && !all(".series", figure).some((one) => one.dataset.series === buttons[0].dataset.entry), "the series is still there");
      buttons[0].click();
      need(buttons[0].getAttribute("aria-pressed") === "true" && count() === whole, "the series does not come back");
      buttons[0].dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
      need(all(".series", figure).every((one) => one.dataset.series === buttons[0].dataset.entry), "others are shown beside it");
      buttons[0].dispatchEvent(new MouseEvent("click", { bubbles: true, shiftKey: true }));
      need(count() === whole, "the others do not come back");
    });

    await check("labels of the plot stay in it", () => {
      if (!plotOfFigures()) nothing();
      for (const plot of all("figure .plot, .curves .plot")) {
        const box = plot.getBoundingClientRect();
        for (const text of all("text", plot)) {
          const mine = text.getBoundingClientRect();
          need(mine.left >= box.left - 2 && mine.right <= box.right + 2 && mine.top >= box.top - 2 && mine.bottom <= box.bottom + 2, `“${text.textContent}” leaves the plot`);
        }
      }
    });

    await check("values of a figure open as a table", async () => {
      const details = document.querySelector("figure details.more") || nothing();
      details.querySelector("summary").click();
      for (let tries = 0; tries < 20 && !details.querySelector("tbody td"); tries += 1) await pause();
      need(details.open && details.querySelector("tbody td"), "no table");
      details.open = false;
    });

    await check("training curves follow the choice", async () => {
      const select = document.querySelector("#curves select") || nothing();
      need(select.labels.length === 1, "the choice has no label");
      const label = () => { const plot = document.querySelector("#curves .plot"); return plot && plot.getAttribute("aria-label"); };
      need(label() && all("#curves .series path").length, "nothing is drawn");
      if (select.options.length > 1) {
        const before = label();
        select.selectedIndex = select.options.length - 1;
        select.dispatchEvent(new Event("change", { bubbles: true }));
        need(label() && label() !== before, "the curves stay the same");
      }
      const plot = document.querySelector("#curves .plot");
      plot.scrollIntoView({ block: "center", behavior: "instant" });
      const box = plot.getBoundingClientRect();
      plot.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true }));
      const tip = document.querySelector(".tip");
      need(shown(tip) && /\d/.test(tip.textContent), "pointing at it shows no value");
      plot.dispatchEvent(new PointerEvent("pointerleave"));
      plot.focus();
      key(plot, "ArrowRight");
      need(shown(tip), "the arrow key shows no value");
      plot.blur();
    });

    await check("disagreements open and show the prompt", () => {
      const row = document.querySelector("#disagreements details") || nothing();
      row.querySelector("summary").click();
      need(row.open && shown(row.querySelector("pre")), "closed");
      const pre = row.querySelector("pre");
      need(pre.scrollWidth <= pre.clientWidth + 1, "the prompt is not wrapped");
      row.open = false;
    });

    await check("colours can be turned and turned back", () => {
      const button = document.querySelector("button.theme");
      need(button, "no button");
      const colours = () => `${getComputedStyle(document.body).backgroundColor} ${getComputedStyle(document.body).color}`;
      const before = colours();
      button.click();
      need(colours() !== before, "nothing changes");
      button.click();
      need(colours() === before, "it does not go back");
    });

    await check("text has contrast, light and dark", () => {
      const parts = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
      const light = (rgb) => rgb.slice(0, 3).map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
      const ground = (node) => {
        for (let at = node; at; at = at.parentElement) {
          const colour = parts(getComputedStyle(at).backgroundColor);
          if (colour.length && (colour.length < 4 || colour[3] > 0.99)) return colour;
        }
        return [255, 255, 255];
      };
      for (let turn = 0; turn < 2; turn += 1) {
        for (const node of all("h1, h2, .kind, p, li, th, td, td small, .spread, summary, a, button, .plot text").filter(shown).filter((_, at) => at % 7 === 0)) {
          const style = getComputedStyle(node);
          const [a, b] = [light(parts(node instanceof SVGElement ? style.fill : style.color)), light(ground(node))];
          const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          need(ratio >= 4.5, `${ratio.toFixed(2)} for “${node.textContent.trim().slice(0, 40)}”`);
        }
        document.querySelector("button.theme").click();
      }
    });

    await check("nothing makes the page scroll sideways", () => {
      const width = document.documentElement.clientWidth;
      need(document.documentElement.scrollWidth <= width, `${document.documentElement.scrollWidth} of ${width}`);
      for (const node of all("body *")) {
        if (!shown(node) || node.closest(".scroll, svg, .unseen, .skip, .tip")) continue;
        const box = node.getBoundingClientRect();
        need(box.right <= width + 1 && box.left >= -1, `${node.tagName} ${node.className} reaches from ${box.left} to ${box.right} of ${width}`);
      }
    });
  }

  function report() {
    lines.push(problems.length ? `FAILED no script error: ${problems.join("; ")}` : "ok no script error");
    const result = document.createElement("pre");
    result.id = "check-result";
    result.textContent = `${lines.join("\n")}\ndone ${lines.length} checks\n`;
    document.body.append(result);
  }

  const start = () => run().catch((error) => problems.push(error.message)).then(() => pause()).then(report);
  if (document.readyState === "complete") start();
  else window.addEventListener("load", start);
})();
