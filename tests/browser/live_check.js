// Waits for the live view's first state and compares what it shows with what the server says.
(() => {
  "use strict";
  const lines = [];
  const problems = [];
  window.addEventListener("error", (event) => problems.push(event.message || String(event)));
  window.addEventListener("unhandledrejection", (event) => problems.push(String(event.reason)));

  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const by = (id) => document.getElementById(id);
  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const shown = (node) => Boolean(node && node.getClientRects().length);
  function need(holds, why) { if (!holds) throw new Error(why); }
  async function check(name, run) {
    try {
      await run();
      lines.push(`ok ${name}`);
    } catch (error) {
      lines.push(`FAILED ${name}: ${error.message}`);
    }
  }

  async function run() {
    await check("a first state comes", async () => {
      for (let tries = 0; tries < 40 && by("state").dataset.state === "unknown"; tries += 1) await pause(100);
      need(by("state").dataset.state !== "unknown", "it never came");
    });
    const state = await (await fetch("/state.json", { cache: "no-store" })).json();

    await check("the experiment and its state are named", () => {
      need(by("experiment").textContent === state.experiment, by("experiment").textContent);
      need(document.title.includes(state.experiment), document.title);
      const words = state.ended ? "ended" : state.alive ? "running" : "gone";
      need(by("state").textContent.includes(words), by("state").textContent);
    });

    await check("counts are shown and add up", () => {
      const count = (name) => Number(/^\d+/.exec(by("counts").querySelector(`[data-count="${name}"]`).textContent.trim())[0]);
      const names = ["made", "fresh", "running", "failed", "skipped", "waiting"];
      need(names.every((name) => Number.isInteger(count(name))), "a count is missing");
      const sum = names.reduce((all, name) => all + count(name), 0);
      need(sum <= state.counts.stages, `${sum} of ${state.counts.stages}`);
      need(by("counts").textContent.includes(`of ${state.counts.stages} stages`), by("counts").textContent);
      need(count("failed") <= state.counts.failed, "more have failed than the server says");
    });

    await check("every stage template has a box", () => {
      need(shown(by("templates")) === state.templates.length > 0, "the graph is shown without boxes, or hidden with some");
      for (const template of state.templates) {
        const box = all("[data-template]").find((one) => one.dataset.template === template.name);
        need(box, `no box for ${template.name}`);
        need(/\d/.test(box.lastElementChild.textContent) || template.counts.all === 0, `no counts for ${template.name}`);
      }
      const needs = state.templates.some((template) => template.needs.length);
      need(!needs || all(".arrows path").length > 0, "no arrows");
    });

    await check("what failed is said", () => {
      need(shown(by("failed")) === state.failed.length > 0, "shown without reason, or hidden");
      for (const one of all("#failed .failures > details")) need(one.open && one.querySelector(".message").textContent, "a failure without its message");
    });

    await check("what runs is shown or said to be nothing", () => {
      need(shown(by("running").querySelector(".missing")) !== all("#running .jobs > li").length > 0, "neither or both");
    });

    await check("nothing is rebuilt when the next state comes", async () => {
      const before = [...all("[data-template]"), ...all("#failed .failures > details")];
      const details = document.querySelector("#failed .failures > details");
      if (details) details.open = false;
      by("report").hidden || by("report").focus();
      const focused = document.activeElement;
      await pause(2500);
      need(before.every((node) => node.isConnected), "a part was made anew");
      need(!details || !details.open, "a folded failure has opened again");
      need(document.activeElement === focused, "the focus is lost");
    });

    await check("what is said aloud does not change each second", async () => {
      need(by("said").getAttribute("aria-live") === "polite", "not polite");
      const heard = new Set([by("said").textContent]);
      const states = new Set([by("state").textContent + all("#failed .failures > details").length]);
      for (let tries = 0; tries < 20; tries += 1) {
        await pause(100);
        heard.add(by("said").textContent);
        states.add(by("state").textContent + all("#failed .failures > details").length);
      }
      need(![...heard].includes(""), "nothing was said");
      need(heard.size <= states.size, `${heard.size} things for ${states.size} states`);
    });

    await check("nothing makes the page scroll sideways", () => {
      const { scrollWidth, clientWidth } = document.documentElement;
      need(scrollWidth <= clientWidth, `${scrollWidth} of ${clientWidth}`);
    });

    await check("colours can be turned and turned back", () => {
      const colour = () => getComputedStyle(document.body).backgroundColor;
      const before = colour();
      document.querySelector("button.theme").click();
      need(colour() !== before, "nothing changes");
      document.querySelector("button.theme").click();
      need(colour() === before, "it does not go back");
    });
  }

  run().catch((error) => problems.push(error.message)).then(() => {
    lines.push(problems.length ? `FAILED no script error: ${problems.join("; ")}` : "ok no script error");
    const result = document.createElement("pre");
    result.id = "check-result";
    result.textContent = `${lines.join("\n")}\ndone ${lines.length} checks\n`;
    document.body.append(result);
  });
})();
