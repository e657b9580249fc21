// The live view asks for the state once a second and changes what has changed, nothing else:
// what a reader has focused, selected or folded stays as it is.
(() => {
  "use strict";
  const root = document.documentElement;
  const SVG = "http://www.w3.org/2000/svg";
  const STATES = ["made", "fresh", "running", "failed", "skipped", "cancelled", "waiting"];
  const by = (id) => document.getElementById(id);
  const sumOf = (numbers) => numbers.reduce((sum, number) => sum + number, 0);

  // ---- changing as little as possible ----

  function el(tag, name, ...children) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    node.append(...children);
    return node;
  }
  const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const set = (node, name, value) => { if (node.getAttribute(name) !== value) node.setAttribute(name, value); };
  const show = (node, shown) => { if (node.hidden === shown) node.hidden = !shown; };

  /** Makes the children of `host` those of `items`: kept by key, moved only where the order differs. */
  function sync(host, items, keyOf, make, update) {
    const old = host.kept || (host.kept = new Map());
    const kept = new Map();
    const times = new Map();
    let place = host.firstElementChild;
    for (const item of items) {
      let key = keyOf(item);
      // The same thing may have happened twice.
      const before = times.get(key) || 0;
      times.set(key, before + 1);
      if (before) key += `\n${before}`;
      const node = old.get(key) || make(item);
      old.delete(key);
      kept.set(key, node);
      update(node, item);
      // Nodes that are about to go must not make the others move.
      while (place && place !== node && ![...old.values(), ...kept.values()].includes(place)) place = place.nextElementSibling;
      if (place === node) place = place.nextElementSibling;
      else host.insertBefore(node, place);
    }
    for (const node of old.values()) node.remove();
    host.kept = kept;
  }

  // ---- words ----

  function duration(seconds) {
    if (seconds < 10) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
    return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
  }
  const short = (value) => (value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(2) : String(Number(value.toPrecision(4))));
  /** A long name that may break behind its commas and underscores. */
  const breakable = (name) => name.split(/(?<=[,@_])/).flatMap((part, at) => (at ? [el("wbr"), part] : [part]));
  const countsText = (counts) => STATES.filter((name) => counts[name]).map((name) => `${counts[name]} ${name}`).join(", ") || "none";

  let lastSaid = "";
  function say(text) {
    if (text && text !== lastSaid) by("said").textContent = lastSaid = text;
  }

  // ---- parts ----

  function stack(host, counts, all) {
    for (const name of STATES) {
      let bar = host.querySelector(`.s-${name}`);
      if (!bar) host.append(bar = el("i", `s-${name}`));
      const width = `${((counts[name] || 0) / Math.max(1, all)) * 100}%`;
      if (bar.style.width !== width) bar.style.width = width;
      show(bar, Boolean(counts[name]));
    }
    set(host, "role", "img");
    set(host, "aria-label", `${all} stages: ${countsText(counts)}`);
  }

  function head(state, counts, all) {
    put(by("experiment"), state.experiment);
    put(by("run"), [state.run, state.program].filter(Boolean).join(", "));
    const ended = state.ended;
    let [name, text] = ["running", "running"];
    if (ended) {
      const bad = ended.failed + ended.skipped + ended.cancelled;
      [name, text] = [bad ? "ended-badly" : "ended", `ended after ${duration(ended.wall_s)}: ${countsText({ made: ended.ran, ...ended, running: 0, waiting: 0 })}`];
    } else if (!state.alive) [name, text] = ["gone", "the runner has gone without saying why; the same command goes on where it stopped"];
    set(by("state"), "data-state", name);
    put(by("state"), text);
    const times = name !== "running" ? [] : [`for ${duration(state.elapsed_s)}`];
    if (name === "running") times.push(state.remaining_s === null ? "time left not known yet" : `about ${duration(state.remaining_s)} left`);
    put(by("times"), times.join(", "));
    show(by("report"), state.report);
    stack(by("overall"), counts, all);
    const done = all - (counts.waiting || 0) - (counts.running || 0);
    const percent = all ? Math.floor((done / all) * 100) : 100;
    sync(by("counts"), [{ name: "done" }, ...STATES.map((name) => ({ name }))], (item) => item.name,
      (item) => el("li", "", ...(item.name === "done" ? [] : [el("i", `s-${item.name}`)]), el("span")),
      (node, { name }) => {
        const count = counts[name] || 0;
        node.classList.toggle("none", name !== "done" && !count);
        set(node, "data-count", name);
        put(node.lastElementChild, name === "done" ? `${done} of ${all} stages done (${percent} %)` : `${count} ${name}`);
        show(node, name !== "cancelled" || count > 0);
      });
    const title = `${ended ? "ended" : state.alive ? `${percent} %` : "gone"} – ${state.experiment}`;
    if (document.title !== title) document.title = title;
    return { name, text };
  }

  // The graph: layers from what the stages need, boxes kept, arrows drawn anew when places change.
  let shape = "";
  let edges = [];
  function graph(templates) {
    const section = by("templates");
    show(section, templates.length > 0);
    if (!templates.length) return;
    const host = section.querySelector(".graph");
    const wanted = JSON.stringify(templates.map((template) => [template.name, template.needs]));
    if (wanted !== shape) {
      shape = wanted;
      const layerOf = new Map();
      for (const template of templates) layerOf.set(template.name, 1 + Math.max(-1, ...template.needs.map((need) => layerOf.get(need) ?? -1)));
      const layers = [];
      for (const template of templates) (layers[layerOf.get(template.name)] ||= []).push(template);
      for (const old of host.querySelectorAll(".layer")) old.remove();
      for (const layer of layers) host.append(el("div", "layer", ...layer.map(box)));
      edges = templates.flatMap((template) => needed(template, templates).map((need) => [need, template.name]));
      arrange();
    }
    for (const template of templates) {
      const node = host.querySelector(`[data-template="${CSS.escape(template.name)}"]`);
      const { counts } = template;
      stack(node.querySelector(".stack"), counts, counts.all);
      node.classList.toggle("running", counts.running > 0);
      node.classList.toggle("failed", counts.failed > 0);
      const waitsOnly = counts.waiting === counts.all;
      put(node.lastElementChild, waitsOnly ? `${counts.all} waiting` : counts.waiting || counts.running || counts.failed ? `of ${counts.all}: ${countsText(counts)}` : countsText(counts));
    }
  }

  /** Needs that no other need leads to: arrows that say nothing new are left out. */
  function needed(template, templates) {
    const get = (name) => templates.find((other) => other.name === name);
    const reaches = (from, to) => Boolean(get(from)) && get(from).needs.some((need) => need === to || reaches(need, to));
    const needs = template.needs.filter(get);
    return needs.filter((need) => !needs.some((other) => other !== need && reaches(other, need)));
  }

  function box(template) {
    const kind = [template.kind, template.lane].filter(Boolean).join(", ");
    const node = el("article", "stage-box", el("h3", "", ...breakable(template.name)), el("p", "", ...breakable(kind)),
      el("p", "needs", template.needs.length ? `needs ${template.needs.join(", ")}` : "needs nothing"), el("div", "stack"), el("p"));
    node.dataset.template = template.name;
    return node;
  }

  function arrange() {
    const host = document.querySelector(".graph");
    const layers = host.querySelectorAll(".layer").length;
    const rem = parseFloat(getComputedStyle(root).fontSize);
    host.classList.toggle("down", host.parentNode.clientWidth < layers * 11 * rem - 2.4 * rem);
    // One box below the other: words say what arrows cannot.
    host.classList.toggle("single", host.parentNode.clientWidth < 26 * rem);
    const down = host.classList.contains("down");
    const arrows = host.querySelector(".arrows");
    const origin = host.getBoundingClientRect();
    const place = (name) => {
      const r = host.querySelector(`[data-template="${CSS.escape(name)}"]`).getBoundingClientRect();
      return { left: r.left - origin.left, right: r.right - origin.left, top: r.top - origin.top, bottom: r.bottom - origin.top, x: (r.left + r.right) / 2 - origin.left, y: (r.top + r.bottom) / 2 - origin.top };
    };
    const path = (name, d) => {
      const node = document.createElementNS(SVG, "path");
      if (name) node.setAttribute("class", name);
      node.setAttribute("d", d);
      return node;
    };
    arrows.replaceChildren(...edges.flatMap(([from, to]) => {
      const [a, b] = [place(from), place(to)];
      if (down) {
        const half = (b.top - a.bottom) / 2;
        return [path("", `M${a.x} ${a.bottom}C${a.x} ${a.bottom + half} ${b.x} ${b.top - half} ${b.x} ${b.top - 5}`), path("point", `M${b.x} ${b.top - 1}l-3.5 -6h7z`)];
      }
      const half = (b.left - a.right) / 2;
      return [path("", `M${a.right} ${a.y}C${a.right + half} ${a.y} ${b.left - half} ${b.y} ${b.left - 5} ${b.y}`), path("point", `M${b.left - 1} ${b.y}l-6 -3.5v7z`)];
    }));
  }

  function running(items) {
    const section = by("running");
    show(section.querySelector(".missing"), !items.length);
    sync(section.querySelector(".jobs"), items, (item) => item.stage, (item) => {
      const bar = el("progress");
      bar.setAttribute("aria-label", item.stage);
      return el("li", "", el("div", "name", ...breakable(item.stage)), bar, el("p", "how"), el("div", "sparks"));
    }, (node, item) => {
      const [, bar, how, sparks] = node.children;
      show(bar, item.total > 0);
      if (item.total > 0) { if (bar.max !== item.total) bar.max = item.total; if (bar.value !== item.done) bar.value = item.done; }
      put(how, [item.total > 0 ? `${item.unit || "step"} ${item.done} of ${item.total}` : item.done ? `${item.unit || "step"} ${item.done}` : null, `for ${duration(item.since_s)}`, item.lane].filter(Boolean).join(", "));
      sync(sparks, (item.curves || []).filter((curve) => curve.points.length > 1), (curve) => curve.name, spark, drawSpark);
    });
  }

  function spark() {
    const picture = document.createElementNS(SVG, "svg");
    for (const [name, value] of [["width", 130], ["height", 30], ["aria-hidden", "true"]]) picture.setAttribute(name, value);
    picture.append(document.createElementNS(SVG, "path"));
    return el("span", "spark", picture, el("span"));
  }

  function drawSpark(node, { name, points }) {
    const last = points[points.length - 1];
    const stamp = `${points.length} ${last}`;
    if (node.dataset.stamp === stamp) return;
    node.dataset.stamp = stamp;
    const real = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
    const [xs, ys] = [real.map(([x]) => x), real.map(([, y]) => y)];
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const at = ([x, y]) => `${(2 + (126 * (x - left)) / (right - left || 1)).toFixed(1)} ${(27 - (24 * (y - low)) / (high - low || 1)).toFixed(1)}`;
    node.querySelector("path").setAttribute("d", real.length ? `M${real.map(at).join("L")}` : "");
    put(node.lastElementChild, `${name} ${Number.isFinite(last[1]) ? short(last[1]) : last[1]}`);
  }

  function failed(items) {
    const section = by("failed");
    show(section, items.length > 0);
    put(by("failed-title"), items.length === 1 ? "1 stage failed" : `${items.length} stages failed`);
    sync(section.querySelector(".failures"), items, (item) => item.stage, (item) => {
      const node = el("details", "", el("summary", "", ...breakable(item.stage)), el("pre", "message"), el("h3", "", "the end of its log"), el("pre", "log"));
      node.open = true;
      for (const pre of node.querySelectorAll("pre")) pre.tabIndex = 0;
      return node;
    }, (node, item) => {
      put(node.querySelector(".message"), item.message);
      put(node.querySelector(".log"), item.log || "");
      show(node.querySelector("h3"), Boolean(item.log));
      show(node.querySelector(".log"), Boolean(item.log));
    });
  }

  function lists(state) {
    show(by("warnings"), state.warnings.length > 0);
    sync(by("warnings").querySelector("ul"), state.warnings, (text) => text, (text) => el("li", "", text), () => {});
    show(by("recent").querySelector(".missing"), !state.recent.length);
    sync(by("recent").querySelector(".events"), state.recent, (event) => `${event.stage}\n${event.what}\n${event.at_s}`,
      (event) => el("li", "", el("time", "", duration(event.at_s)), el("span", "name", ...breakable(event.stage)), el("span", "how", ...breakable(event.what))), () => {});
  }

  let before = null;
  function draw(state) {
    const all = state.counts.stages;
    const counts = { ...state.counts, cancelled: sumOf(state.templates.map((template) => template.counts.cancelled || 0)) };
    const now = head(state, counts, all);
    failed(state.failed);
    graph(state.templates);
    running(state.running);
    lists(state);
    if (before && before.failed < state.failed.length) say(`${state.failed.length - before.failed} more failed: ${state.failed[state.failed.length - 1].stage}`);
    if (!before || before.name !== now.name) say(now.text);
    before = { name: now.name, failed: state.failed.length };
  }

  // ---- asking ----

  let [misses, lastState, timer, asking] = [0, 0, 0, false];

  async function poll() {
    if (asking) return;
    asking = true;
    clearTimeout(timer);
    let wait = 1000;
    try {
      const stop = new AbortController();
      const limit = setTimeout(() => stop.abort(), 8000);
      const answer = await fetch("/state.json", { cache: "no-store", signal: stop.signal });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const state = await answer.json();
      clearTimeout(limit);
      if (misses) say("the server answers again");
      [misses, lastState] = [0, Date.now()];
      show(by("gone"), false);
      draw(state);
      if (state.ended || !state.alive || document.hidden) wait = 5000;
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof SyntaxError || error.name === "AbortError" || /^status/.test(error.message))) throw error;
      misses += 1;
      wait = Math.min(30000, 1000 * 2 ** misses);
      // One miss may be an accident.
      if (misses > 1 || !lastState) {
        put(by("gone"), `The server does not answer. ${lastState ? `What stands here is ${duration((Date.now() - lastState) / 1000)} old` : "There is nothing to show yet"}; next try in ${wait / 1000} s.`);
        show(by("gone"), true);
        say("the server does not answer");
      }
    } finally {
      asking = false;
      timer = setTimeout(poll, wait);
    }
  }

  function themeButton() {
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
    const button = el("button", "plain theme");
    button.type = "button";
    const name = () => put(button, isDark() ? "Light colours" : "Dark colours");
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("runner-theme", root.dataset.theme); } catch (_) { /* not remembered */ }
      name();
    });
    dark.addEventListener("change", name);
    name();
    document.querySelector(".head").append(button);
  }

  themeButton();
  new ResizeObserver(() => requestAnimationFrame(arrange)).observe(document.querySelector(".graph"));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  poll();
})();
