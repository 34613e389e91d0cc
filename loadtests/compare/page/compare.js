// Shows the comparison: live, asked for each second, or frozen into a report.
"use strict";

(() => {
  const EACH = 1000; // ms between two questions
  const WITHIN = 5000; // ms for an answer
  const NAMES = { legacy: "old daemon", shim: "shim", new: "/api/v1" };
  const ALL = "all shared operations";
  const METRICS = ["rate", "p50", "p95", "p99", "error_rate"];
  const find = (id) => document.getElementById(id);
  let operation = "";

  // Figures as text

  const number = (value, digits) =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const known = (value, write) => (value === null || value === undefined ? "–" : write(value));
  const rounded = (value) => known(value, (v) => number(v, v > 0 && v < 9.95 ? 1 : 0));
  const percent = (value) =>
    known(value, (v) => (v > 0 && v < 0.001 ? "< 0.1" : number(v * 100, v > 0 && v < 1 ? 1 : 0)) + " %");
  const times = (value) => known(value, (v) => number(v, v < 9.995 ? 2 : 0) + "×");

  // Also where there is no ratio, because the old daemon has never failed.
  const failsMore = (figures, base) => Boolean(base) && figures.error_rate > base.error_rate * 1.05;

  // What fails more than the old daemon is not called better: refusing is quick.
  function verdict(metric, figures, base) {
    const ratio = figures.ratios && figures.ratios[metric];
    if (ratio === null || ratio === undefined || Math.abs(ratio - 1) <= 0.05) return "";
    if ((metric === "rate") !== ratio > 1) return "worse";
    return failsMore(figures, base) ? "" : "better";
  }

  // Elements that stay, so that a table can be read, and selected from, while it changes

  function put(parent, children) {
    children.forEach((child, at) => {
      const there = parent.children[at];
      if (there && there.tagName === child.tag.toUpperCase()) update(there, child);
      else parent.insertBefore(update(document.createElement(child.tag), child), there || null);
    });
    while (parent.children.length > children.length) parent.lastElementChild.remove();
  }

  function update(element, { text, children, attributes = {} }) {
    for (const [name, value] of Object.entries(attributes)) {
      if (element.getAttribute(name) !== value) element.setAttribute(name, value);
    }
    if (children) put(element, children);
    else if (element.textContent !== text) element.textContent = text;
    return element;
  }

  const cell = (text, style = "") => ({ tag: "td", text, attributes: { class: style } });

  // The parts of the page

  function showState({ state, users, seconds }) {
    find("state").textContent = `${state}, ${users} users, ${number(seconds, 0)} s`;
  }

  function showSummary({ operations, shared }) {
    const row = operations.find((each) => each.operation === "");
    const tile = ([stack, figures]) => ({
      tag: "div",
      children: [
        { tag: "h2", text: `${NAMES[stack]}, compared with the old daemon` },
        {
          tag: "dl",
          children: [["rate", "right answers/s"], ["p50", "p50"], ["p95", "p95"], ["p99", "p99"]].map(
            ([metric, name]) => ({
              tag: "div",
              children: [
                { tag: "dt", text: name },
                {
                  tag: "dd",
                  text: times(figures.ratios[metric]),
                  attributes: { class: verdict(metric, figures, row.stacks.legacy) },
                },
              ],
            }),
          ),
        },
      ],
    });
    const stacks = row && row.stacks.legacy && shared.length ? Object.entries(row.stacks) : [];
    put(find("summary"), stacks.filter(([, figures]) => figures.ratios).map(tile));
  }

  function showOperations({ operations }) {
    const rows = operations.flatMap(({ operation: name, stacks }) =>
      Object.entries(stacks).map(([stack, figures], at) => ({
        tag: "tr",
        attributes: { class: (at ? "" : "first") + (name ? "" : " sum") },
        children: [
          {
            tag: "th",
            attributes: { scope: "row" },
            children: [{ tag: "span", text: name || ALL, attributes: { class: at ? "hidden" : "" } }],
          },
          cell(NAMES[stack], `text ${stack}`),
          cell(number(figures.requests, 0)),
          cell(percent(figures.error_rate), failsMore(figures, stacks.legacy) ? "worse" : ""),
          ...["rate", "p50", "p95", "p99"].map((metric) => cell(rounded(figures[metric]))),
          ...METRICS.map((metric) =>
            figures.ratios
              ? cell(times(figures.ratios[metric]), verdict(metric, figures, stacks.legacy))
              : cell(""),
          ),
        ],
      })),
    );
    put(find("operations").tBodies[0], rows);
  }

  function showRoutes({ stages }) {
    find("routes-problem").textContent = stages.problem
      ? stages.problem + (stages.routes.length ? "; these are the last stages it told." : ".")
      : "";
    const answers = ({ answered: { legacy = 0, new: served = 0 } }) => legacy + served;
    const called = stages.routes.filter(answers);
    const others = stages.routes.filter((row) => !answers(row));
    const rows = called.map((row) => ({
      tag: "tr",
      attributes: { class: "first" },
      children: [
        { tag: "th", text: row.route, attributes: { scope: "row" } },
        cell(row.stage, "stage"),
        cell(`${row.percent} %`),
        cell(number(answers(row), 0)),
        cell(percent((row.answered.legacy || 0) / answers(row))),
        cell(percent((row.answered.new || 0) / answers(row))),
      ],
    }));
    put(find("routes").tBodies[0], rows);
    find("others").hidden = !others.length;
    const item = (row) => ({ tag: "li", text: `${row.route}: ${row.stage}, ${row.percent} %` });
    put(find("others").querySelector("ul"), others.map(item));
  }

  function showChoice({ operations }) {
    const names = new Set(["", operation, ...operations.map((each) => each.operation)]);
    const option = (name) => ({ tag: "option", text: name || ALL, attributes: { value: name } });
    put(find("operation"), [...names].map(option));
    find("operation").value = operation;
  }

  // Charts

  const BOX = { left: 52, right: 628, top: 26, bottom: 210 };

  function svg(parent, tag, attributes, text = "") {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    parent.append(element);
  }

  function ceiling(value) {
    const power = 10 ** Math.floor(Math.log10(value || 1));
    return power * [1, 2, 4, 5, 8, 10].find((step) => step * power >= value);
  }

  function showChart(metric, { history }) {
    const chart = find(metric);
    const curves = Object.entries(history.stacks).map(([stack, columns]) => [stack, columns[metric]]);
    const highest = ceiling(Math.max(1, ...curves.flatMap(([, values]) => values)));
    const last = history.seconds.at(-1) || 1;
    const x = (seconds) => BOX.left + ((BOX.right - BOX.left) * seconds) / last;
    const y = (value) => BOX.bottom - ((BOX.bottom - BOX.top) * value) / highest;
    chart.replaceChildren();
    for (let part = 0; part <= 4; part += 1) {
      const [across, down] = [(last * part) / 4, (highest * part) / 4];
      svg(chart, "line", { class: "grid", x1: BOX.left, x2: BOX.right, y1: y(down), y2: y(down) });
      svg(chart, "text", { x: BOX.left - 6, y: y(down) + 4, "text-anchor": "end" }, rounded(down));
      const anchor = part === 4 ? "end" : "middle";
      svg(chart, "text", { x: x(across), y: 228, "text-anchor": anchor }, `${rounded(across)} s`);
    }
    curves.forEach(([stack, values], at) => {
      svg(chart, "path", { class: `curve ${stack}`, d: path(values, history.seconds, x, y) });
      const left = BOX.left + at * 120;
      svg(chart, "line", { class: `key ${stack}`, x1: left, x2: left + 26, y1: 11, y2: 11 });
      svg(chart, "text", { x: left + 32, y: 15 }, NAMES[stack]);
    });
    const said = curves.map(([stack, values]) => `${NAMES[stack]} ${rounded(values.at(-1))}`);
    find(`${metric}-text`).textContent = said.length ? `Last: ${said.join(", ")}.` : "No figures yet.";
  }

  // A gap where there is no value; a point with a gap on either side is drawn as a dot.
  function path(values, seconds, x, y) {
    let pen = "M";
    return values
      .map((value, at) => {
        if (value === null) {
          pen = "M";
          return "";
        }
        const point = `${x(seconds[at]).toFixed(1)} ${y(value).toFixed(1)}`;
        const lonely = pen === "M" && (values[at + 1] ?? null) === null;
        const drawn = lonely ? `M${point}h.1` : pen + point;
        pen = "L";
        return drawn;
      })
      .join("");
  }

  // Going on

  function show(comparison) {
    showState(comparison);
    showSummary(comparison);
    showChoice(comparison);
    showChart("rate", comparison);
    showChart("p95", comparison);
    showOperations(comparison);
    showRoutes(comparison);
  }

  async function ask() {
    try {
      const query = new URLSearchParams({ operation });
      const answer = await fetch(`data?${query}`, { signal: AbortSignal.timeout(WITHIN) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const comparison = await answer.json();
      if (comparison.operation === operation) show(comparison);
      find("problem").textContent = "";
    } catch (error) {
      if (!find("problem").textContent) {
        const since = new Date().toLocaleTimeString("en-GB");
        find("problem").textContent =
          `Locust does not answer since ${since}; these are its last figures.`;
      }
    }
  }

  async function goOn() {
    await ask();
    setTimeout(goOn, EACH);
  }

  async function reset() {
    try {
      await fetch("../stats/reset", { method: "POST" });
    } catch (error) {
      // The next question says that nobody answers.
    }
    await ask();
  }

  // Locust keeps its own choice between light and dark; a report follows the reader's system.
  function paint() {
    const chosen = frozen ? null : localStorage.getItem("theme");
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = chosen || (dark ? "dark" : "light");
  }

  function freeze() {
    const comparison = JSON.parse(frozen.textContent);
    show(comparison);
    find("actions").remove();
    document.querySelector(".controls").remove();
    find("charts-title").textContent = `Over time: ${comparison.operation || ALL}`;
    find("state").textContent += `, at ${comparison.at}`;
  }

  const frozen = find("frozen");
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  if (frozen) {
    freeze();
  } else {
    addEventListener("storage", paint);
    find("reset").addEventListener("click", reset);
    find("operation").addEventListener("change", (event) => {
      operation = event.target.value;
      ask();
    });
    goOn();
  }
})();
