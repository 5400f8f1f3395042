"use strict";
(() => {
  let data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const text = (value) => value === null || value === undefined ? "–" : typeof value === "number" ? figure(value) : String(value);
  const figure = (value) => Number.isInteger(value) && Math.abs(value) < 1e15 ? value.toLocaleString("en") : Number(value.toPrecision(5)).toString();

  function node(kind, content, attributes = {}) {
    const made = document.createElement(kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    for (const part of [content].flat()) if (part !== null && part !== undefined) made.append(part);
    return made;
  }

  // The theme: the system's, until somebody chooses.
  const theme = byId("theme");
  theme.hidden = false;
  const showTheme = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-pressed", String(dark())); };
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; showTheme(); draw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { showTheme(); draw(); });
  showTheme();

  // Tables that sort and filter.
  function sortable(table) {
    const body = table.tBodies[0];
    table.querySelectorAll("th button").forEach((button) => button.addEventListener("click", () => {
      const head = button.closest("th"), index = head.cellIndex;
      const down = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[index].dataset.value ?? row.cells[index].textContent;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // what has no number comes last, either way
        const numbers = !isNaN(x) && !isNaN(y);
        return (numbers ? x - y : x.localeCompare(y)) * (down ? -1 : 1);
      };
      body.append(...[...body.rows].sort(compare));
    }));
  }
  function filter() {
    const words = byId("filter"), status = byId("status"), count = byId("count");
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of byId("candidates").tBodies[0].rows) {
      const content = row.textContent.toLowerCase();
      const fits = wanted.every((word) => content.includes(word)) && (!status.value || row.dataset.status === status.value);
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${data.candidates.length} shown`;
  }

  // What is in the text of the page is made to work: at first, and again when there is more.
  function bind() {
    document.querySelectorAll("table.sorts").forEach(sortable);
    document.querySelectorAll("button[data-candidate]").forEach((button) => button.addEventListener("click", () => show(Number(button.dataset.candidate))));
    if (!byId("filter")) return;
    byId("filter").addEventListener("input", filter);
    byId("status").addEventListener("change", filter);
    filter();
  }

  // One candidate in full.
  const detail = byId("detail");
  function show(number) {
    const candidate = data.candidates.find((each) => each.number === number);
    if (!candidate) return;
    const facts = (pairs) => node("dl", pairs.flatMap(([name, value]) => [node("dt", name), node("dd", text(value))]));
    const parts = [node("h2", `Candidate ${number}`, { id: "detail-title" }), node("p", candidate.told, { class: "soft" })];
    parts.push(node("h3", "Choices"), facts(Object.entries(candidate.choices)));
    if (Object.keys(candidate.metrics).length) parts.push(node("h3", "Measured"), facts(Object.entries(candidate.metrics)));
    if (candidate.goals.length) parts.push(node("h3", "Goals"), node("ul", candidate.goals.map((goal) => node("li", goal.told, { class: goal.met ? "good" : "bad" }))));
    if (candidate.tasks.length) {
      parts.push(node("h3", "How it was made"), node("ol", candidate.tasks.map((task) => node("li", task))));
    }
    if (candidate.error) parts.push(node("h3", "Error"), node("pre", candidate.error));
    const close = node("button", "Close", { type: "button" });
    close.addEventListener("click", () => detail.close());
    detail.replaceChildren(...parts, close);
    detail.showModal();
  }

  // The plots: the library is unpacked once the page stands.
  const layout = (more) => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 64, r: 20, t: 16, b: 52 },
    font: { color: colour("text"), family: "system-ui, sans-serif", size: 13 }, hovermode: "closest", showlegend: false, ...more,
  });
  const axis = (title, more = {}) => ({ title: { text: title }, gridcolor: colour("line"), zerolinecolor: colour("line"), automargin: true, ...more });
  const options = { responsive: true, displaylogo: false, displayModeBar: false };
  const metric = (name) => data.metrics.find((each) => each.name === name);
  const label = (name) => { const unit = metric(name)?.unit; return unit ? `${name} (${unit})` : name; };

  function front(points, x, y) {
    const better = (name, a, b) => metric(name).higher_is_better ? a >= b : a <= b;
    return points.filter((one) => !points.some((other) => other !== one
      && better(x, other.metrics[x], one.metrics[x]) && better(y, other.metrics[y], one.metrics[y])
      && (other.metrics[x] !== one.metrics[x] || other.metrics[y] !== one.metrics[y])))
      .sort((a, b) => a.metrics[x] - b.metrics[x]);
  }

  function pareto() {
    const x = byId("pareto-x").value, y = byId("pareto-y").value;
    const points = data.candidates.filter((each) => typeof each.metrics[x] === "number" && typeof each.metrics[y] === "number");
    const best = front(points, x, y);
    const marks = (chosen, more) => ({
      type: "scatter", mode: "markers", x: chosen.map((each) => each.metrics[x]), y: chosen.map((each) => each.metrics[y]),
      customdata: chosen.map((each) => each.number), text: chosen.map((each) => `${each.number}: ${each.title}`),
      hovertemplate: "%{text}<br>%{x}, %{y}<extra></extra>", ...more,
    });
    const met = points.filter((each) => !each.miss), missed = points.filter((each) => each.miss);
    const traces = [
      { type: "scatter", mode: "lines", x: best.map((e) => e.metrics[x]), y: best.map((e) => e.metrics[y]), line: { color: colour("accent"), width: 2, dash: "dot" }, hoverinfo: "skip" },
      marks(missed, { marker: { color: colour("soft"), size: 9, symbol: "x" } }),
      marks(met, { marker: { color: colour("accent"), size: 10 } }),
      marks(points.filter((each) => each.number === data.winner), { marker: { color: colour("good"), size: 17, symbol: "star" } }),
    ];
    const lines = (name, key) => metric(name).limits.map((limit) => ({
      type: "line", [`${key}0`]: limit, [`${key}1`]: limit, [key === "x" ? "y0" : "x0"]: 0, [key === "x" ? "y1" : "x1"]: 1,
      [key === "x" ? "yref" : "xref"]: "paper", line: { color: colour("bad"), width: 1.5, dash: "dash" },
    }));
    Plotly.react("pareto", traces, layout({ xaxis: axis(label(x)), yaxis: axis(label(y)), shapes: [...lines(x, "x"), ...lines(y, "y")] }), options);
    byId("pareto-told").textContent = `${points.length} candidates; ${best.length} that no other beats in both; `
      + `${met.length} meet all goals. Dashed lines are goals, the star is the chosen one.`;
  }

  function parallel() {
    const rows = data.candidates.filter((each) => data.metrics.some((one) => typeof each.metrics[one.name] === "number"));
    const few = 12; // so many different values are told apart by their places, not by their sizes
    const dimension = (name, values, choice = false) => {
      const different = [...new Set(values)].sort((a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
      if (choice && different.length <= few) {
        return { label: name, values: values.map((value) => different.indexOf(value)), tickvals: different.map((_, i) => i), ticktext: different.map(text) };
      }
      if (values.every((value) => typeof value === "number" || value === null || value === undefined)) {
        return { label: name, values: values.map((value) => value ?? NaN) };
      }
      const known = [...new Set(values.map(text))];
      return { label: name, values: values.map((value) => known.indexOf(text(value))), tickvals: known.map((_, i) => i), ticktext: known };
    };
    const dimensions = [...data.axes.map((name) => dimension(name.split(".").slice(-2).join("."), rows.map((each) => each.choices[name] ?? null), true)),
      ...data.metrics.map((one) => dimension(one.name, rows.map((each) => each.metrics[one.name])))];
    const shade = rows.map((each) => each.number === data.winner ? 2 : each.miss ? 0 : 1);
    const scale = [[0, colour("soft")], [0.5, colour("accent")], [1, colour("good")]];
    Plotly.react("parallel", [{ type: "parcoords", dimensions, line: { color: shade, colorscale: scale, cmin: 0, cmax: 2 }, labelangle: -12,
      labelfont: { color: colour("text") }, tickfont: { color: colour("text") }, rangefont: { color: "rgba(0,0,0,0)" } }],
      layout({ margin: { l: 70, r: 70, t: 76, b: 24 } }), options);
  }

  function timeline() {
    const kinds = { pass: colour("accent"), metric: colour("warn") };
    const first = Math.min(...data.timeline.map((each) => each.started));
    const traces = Object.entries(kinds).map(([kind, shade]) => {
      const bars = data.timeline.filter((each) => each.kind === kind);
      return {
        type: "bar", orientation: "h", name: kind, y: bars.map((each) => each.row), x: bars.map((each) => Math.max(each.seconds, 0.001)),
        base: bars.map((each) => each.started - first), marker: { color: shade, opacity: bars.map((each) => each.cached ? 0.35 : 1) },
        text: bars.map((each) => each.told), textposition: "none", hovertemplate: "%{text}<extra></extra>",
      };
    });
    const rows = [...new Set(data.timeline.map((each) => each.row))];
    byId("timeline").style.height = `${Math.max(240, Math.min(900, 90 + 24 * rows.length))}px`;
    Plotly.react("timeline", traces, layout({ barmode: "overlay", showlegend: true, legend: { orientation: "h", y: 1.08 }, xaxis: axis("seconds since the start"),
      yaxis: axis("", { autorange: "reversed", type: "category", categoryorder: "array", categoryarray: rows }) }), options);
  }

  function memory() {
    const rows = data.timeline.filter((each) => each.memory);
    Plotly.react("memory", [{ type: "bar", x: rows.map((each) => each.row), y: rows.map((each) => each.memory / 1e6), marker: { color: colour("accent") }, hovertemplate: "%{x}: %{y:.0f} MB<extra></extra>" }],
      layout({ xaxis: axis("", { type: "category" }), yaxis: axis("peak memory (MB)", { rangemode: "tozero" }) }), options);
  }

  function curve(index) {
    const lines = data.curves[index].lines;
    const traces = lines.map((line, number) => ({ type: "scatter", mode: "lines", name: line.name, x: line.x, y: line.y, yaxis: number ? "y2" : "y", line: { width: 2, color: number ? colour("warn") : colour("accent") } }));
    const second = lines[1] ? { yaxis2: axis(lines[1].name, { overlaying: "y", side: "right", showgrid: false }) } : {};
    Plotly.react(`curve-${index}`, traces, layout({ margin: { l: 64, r: 64, t: 16, b: 52 }, showlegend: traces.length > 1, legend: { orientation: "h", y: 1.15 }, xaxis: axis(data.curves[index].unit), yaxis: axis(lines[0].name), ...second }), options);
  }

  const drawer = (id) => ({ pareto, parallel, timeline, memory })[id] ?? (() => curve(Number(id.split("-")[1])));
  const drawn = new Set();
  function draw() {
    for (const id of drawn) drawer(id)();
    if (root.dataset.ready) goesOn();
  }
  async function unpack() {
    const bytes = Uint8Array.from(atob(byId("plotting").textContent), (letter) => letter.charCodeAt(0));
    byId("plotting").remove();
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const library = document.createElement("script");
    library.textContent = await new Response(stream).text();
    document.head.append(library);
  }
  function first(id) {
    drawn.add(id);
    drawer(id)();
    byId(id).dataset.drawn = "yes";
    if (id !== "pareto") return;
    byId("pareto").on("plotly_click", (event) => { const number = event.points[0].customdata; if (number) show(number); });
    for (const choice of ["pareto-x", "pareto-y"]) byId(choice).addEventListener("change", pareto);
  }
  // Each is drawn when it comes near the screen.
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) { near.unobserve(entry.target); first(entry.target.id); }
  }, { rootMargin: "300px" });
  const observe = () => document.querySelectorAll("#body .plot").forEach((each) => near.observe(each));
  async function start() {
    if (!byId("plotting").textContent) return;
    await unpack();
    observe();
    root.dataset.ready = "yes";
  }

  // A page that goes along with a run: what is new is asked for, and takes the place of what was there.
  let version = 0, now = null;
  const chosen = ["filter", "status", "pareto-x", "pareto-y"];
  function renew(fresh) {
    const kept = Object.fromEntries(chosen.map((id) => [id, byId(id)?.value]));
    const sorted = [...document.querySelectorAll("#body table.sorts")].map((table) => {
      const head = table.querySelector("th[aria-sort]");
      return [table.id, head?.cellIndex, head?.getAttribute("aria-sort")];
    });
    const focus = document.activeElement?.id;
    const open = [...document.querySelectorAll("#body details")].map((each) => each.open);
    const scroll = new Map([...document.querySelectorAll("#body .scroll")].map((each, index) => [index, each.scrollTop]));
    near.disconnect();
    drawn.clear();
    data = fresh.data;
    byId("title").textContent = document.title = fresh.title;
    byId("meta").textContent = fresh.meta;
    byId("body").innerHTML = fresh.body;
    for (const id of chosen) {
      const field = byId(id);
      if (field && kept[id] !== undefined && (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === kept[id]))) field.value = kept[id];
    }
    bind();
    for (const [id, index, order] of sorted) {
      const button = index === undefined ? null : byId(id)?.querySelectorAll("th button")[index];
      for (let turn = 0; button && turn < (order === "descending" ? 2 : 1); turn++) button.click();
    }
    document.querySelectorAll("#body details").forEach((each, index) => { each.open = Boolean(open[index]); });
    document.querySelectorAll("#body .scroll").forEach((each, index) => { each.scrollTop = scroll.get(index) ?? 0; });
    if (focus) byId(focus)?.focus({ preventScroll: true });
    if (root.dataset.ready) observe();
  }
  function goesOn() {
    const place = byId("now");
    place.hidden = !now?.title;
    if (place.hidden) return;
    const parts = now.total ? ` – ${now.done.toLocaleString("en")} of ${now.total.toLocaleString("en")} ${now.unit}` : "";
    if (!byId("now-told")) {
      place.replaceChildren(node("h2", "At work"), node("p", [], { id: "now-told" }), node("progress", [], { id: "now-bar", max: 1, "aria-label": "How far it is" }),
        node("div", [], { class: "plot low", id: "now-plot", role: "img", "aria-label": "Numbers of the step that is at work" }));
    }
    byId("now-told").textContent = `${now.title}${parts}, ${Math.round(now.seconds)} s so far`;
    const bar = byId("now-bar");
    if (now.total) bar.value = now.done / now.total; else bar.removeAttribute("value");
    const lines = now.lines.filter((line) => ["loss", "eval_loss"].includes(line.name));
    byId("now-plot").hidden = !lines.length;
    if (!lines.length || !root.dataset.ready) return;
    const traces = lines.map((line, number) => ({ type: "scatter", mode: "lines", name: line.name, x: line.x, y: line.y, line: { width: 2, color: number ? colour("warn") : colour("accent") } }));
    Plotly.react("now-plot", traces, layout({ showlegend: traces.length > 1, xaxis: axis(now.unit || "steps"), yaxis: axis(lines[0].name) }), options);
  }
  async function follow() {
    try {
      const answer = await fetch(`${root.dataset.live}?after=${version}`, { cache: "no-store" });
      const fresh = await answer.json();
      now = fresh.now;
      goesOn();
      if (fresh.body !== undefined) { version = fresh.version; renew(fresh); }
      if (fresh.ended) { root.dataset.ended = "yes"; return; }
    } catch {
      byId("meta").textContent = "The run answers no more: it has ended, or its machine is away.";
      byId("now").hidden = true;
      return;
    }
    setTimeout(follow, 1000);
  }

  bind();
  requestAnimationFrame(() => setTimeout(async () => { await start(); if (root.dataset.live) follow(); }, 0));
})();
