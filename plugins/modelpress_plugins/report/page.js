"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
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
  document.querySelectorAll("table.sorts").forEach(sortable);
  const words = byId("filter"), status = byId("status"), count = byId("count");
  function filter() {
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
  if (words) { words.addEventListener("input", filter); status.addEventListener("change", filter); filter(); }

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
  document.querySelectorAll("button[data-candidate]").forEach((button) => button.addEventListener("click", () => show(Number(button.dataset.candidate))));

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
    const dimension = (name, values) => {
      if (values.every((value) => typeof value === "number" || value === null || value === undefined)) {
        return { label: name, values: values.map((value) => value ?? NaN) };
      }
      const known = [...new Set(values.map(text))];
      return { label: name, values: values.map((value) => known.indexOf(text(value))), tickvals: known.map((_, i) => i), ticktext: known };
    };
    const dimensions = [...data.axes.map((name) => dimension(name.split(".").slice(-2).join("."), rows.map((each) => each.choices[name]))),
      ...data.metrics.map((one) => dimension(one.name, rows.map((each) => each.metrics[one.name])))];
    const shade = rows.map((each) => each.number === data.winner ? 2 : each.miss ? 0 : 1);
    const scale = [[0, colour("line")], [0.5, colour("accent")], [1, colour("good")]];
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

  const plots = { pareto, parallel, timeline, memory };
  data.curves.forEach((_, index) => { plots[`curve-${index}`] = () => curve(index); });
  const drawn = new Set();
  function draw() {
    for (const id of drawn) plots[id]();
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
    plots[id]();
    byId(id).dataset.drawn = "yes";
    if (id !== "pareto") return;
    byId("pareto").on("plotly_click", (event) => { const number = event.points[0].customdata; if (number) show(number); });
    for (const choice of ["pareto-x", "pareto-y"]) byId(choice).addEventListener("change", pareto);
  }
  async function start() {
    const wanted = Object.keys(plots).filter((id) => byId(id));
    if (!wanted.length) return;
    await unpack();
    // Each is drawn when it comes near the screen.
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((each) => each.isIntersecting)) { near.unobserve(entry.target); first(entry.target.id); }
    }, { rootMargin: "300px" });
    for (const id of wanted) near.observe(byId(id));
    root.dataset.ready = "yes";
  }
  requestAnimationFrame(() => setTimeout(start, 0));
})();
