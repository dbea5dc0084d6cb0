// The constants of the device with where each comes from, and how far the model was from what has been published.
const TRUST = {vendor: "good", measured: "good", fitted: "fair", low: "poor", assumed: "poor"};

function plainTable(kind, heads, rows) {
  return el("table", {class: kind},
    el("thead", {}, el("tr", {}, heads.map(([words, side]) => el("th", {scope: "col", class: side ?? ""}, words)))), el("tbody", {}, rows));
}

function constantRow(one, name) {
  return el("tr", {}, el("td", {}, name), el("td", {class: "right"}, el("b", {}, one.value)), el("td", {class: "under"}, one.unit),
    el("td", {}, one.source), el("td", {}, el("span", {class: `pill ${TRUST[one.confidence] ?? "fair"}`}, one.confidence)));
}

// Constants in the sections of the device's file, which their names begin with.
function constantTables() {
  const groups = new Map();
  for (const one of sim.assumptions) {
    const [, group, name] = /^([^.]+)\.(.+)$/.exec(one.name) ?? [null, "device", one.name];
    groups.set(group, [...(groups.get(group) ?? []), constantRow(one, name)]);
  }
  return [...groups].map(([group, rows]) => el("div", {class: rows.length > 8 ? "group" : "group whole"}, el("h3", {}, group),
    plainTable("constants", [["Constant"], ["Value", "right"], ["Unit"], ["Source"], ["Confidence"]], rows)));
}

function drawConstants() {
  const errors = sim.stated_errors.map((one, i) => el("tr", {}, el("td", {}, one.what),
    shown("td", `stated_errors.${i}.rows`, `${one.rows}`, {class: "right"}),
    shown("td", `stated_errors.${i}.mean_percent`, number(one.mean_percent), {class: "right"}),
    shown("td", `stated_errors.${i}.max_percent`, number(one.max_percent), {class: "right"})));
  section("assumptions").append(el("div", {class: "groups"},
    el("div", {class: "group"}, el("h3", {}, "error of the model, on what it was not fitted to"), errors.length
      ? plainTable("errors", [["Compared with"], ["Rows", "right"], ["Mean %", "right"], ["Largest %", "right"]], errors)
      : el("p", {class: "none"}, "No published measurements of this device to compare with.")), constantTables()));
}
