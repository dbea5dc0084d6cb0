// The constants of the device with where each comes from, and how far the model was from what has been published.
const TRUST = {fitted: "good", measured: "good", published: "good", high: "good", medium: "fair", assumed: "poor", low: "poor"};

function drawConstants() {
  const table = (kind, heads, rows) => el("table", {class: kind},
    el("thead", {}, el("tr", {}, heads.map(([words, side]) => el("th", {scope: "col", class: side ?? ""}, words)))), el("tbody", {}, rows));
  const constants = sim.assumptions.map(one => el("tr", {}, el("td", {}, one.name),
    el("td", {class: "right"}, el("b", {}, one.value), el("span", {class: "quiet"}, one.unit)), el("td", {}, one.source),
    el("td", {}, el("span", {class: `pill ${TRUST[one.confidence] ?? "fair"}`}, one.confidence))));
  const errors = sim.stated_errors.map((one, i) => el("tr", {}, el("td", {}, one.what),
    shown("td", `stated_errors.${i}.rows`, `${one.rows}`, {class: "right"}),
    shown("td", `stated_errors.${i}.mean_percent`, number(one.mean_percent), {class: "right"}),
    shown("td", `stated_errors.${i}.max_percent`, number(one.max_percent), {class: "right"})));
  section("assumptions").append(el("div", {class: "pair"},
    el("div", {}, el("h3", {}, "Constants"), table("constants", [["Constant"], ["Value", "right"], ["Source"], ["Confidence"]], constants)),
    el("div", {}, el("h3", {}, "Error of the model"), errors.length
      ? table("errors", [["Compared with"], ["Rows", "right"], ["Mean %", "right"], ["Largest %", "right"]], errors)
      : el("p", {class: "none"}, "No published measurements of this device to compare with."))));
}
