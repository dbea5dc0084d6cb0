// From the layers of the imported model to a hardware layer, a pass, and the rows and filters of every NP.
function division(layer) {
  const rows = new Set(layer.parts.map(part => part.rows.join())).size;
  const filters = new Set(layer.parts.map(part => part.filters.join())).size;
  if (layer.parts.length === 1) return "whole";
  const words = [rows > 1 ? `${rows} bands of rows` : null, filters > 1 ? `${filters} groups of filters` : null];
  return words.filter(Boolean).join(" × ") || "copies";
}

function units(layer) {
  const numbers = layer.parts.map(part => part.unit).sort((a, b) => a - b);
  if (numbers[0] < 0) return unitName(numbers[0]);
  const runs = [];
  for (const unit of numbers) {
    if (runs.length && unit === runs.at(-1)[1] + 1) runs.at(-1)[1] = unit;
    else runs.push([unit, unit]);
  }
  return `NP ${runs.map(([from, to]) => from === to ? from : `${from}–${to}`).join(", ")}`;
}

function partsTable(layer) {
  const heads = ["Unit", "Rows (halo)", "Filters", "Events", "Clocks", "Weights", "Input"].map(text => el("th", {scope: "col"}, text));
  const rows = layer.parts.map(part => {
    const [above, below] = part.halo;
    return el("tr", {}, [unitName(part.unit), `${span(part.rows)}${above || below ? ` (+${above}, +${below})` : ""}`,
      span(part.filters), compact(part.events), whole(part.clocks), bytes(part.weight_bytes), bytes(part.input_bytes)]
      .map(text => el("td", {}, text)));
  });
  return el("table", {class: "parts"}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows));
}

// A row for the layer, and one for its parts, which is shown on demand.
function provenanceRows(layer, i) {
  const parts = el("tr", {class: "unfolded", hidden: ""}, el("td", {colspan: 5}, partsTable(layer)));
  const fold = el("button", {type: "button", class: "fold", "aria-expanded": false}, units(layer));
  fold.addEventListener("click", () => {
    parts.hidden = !parts.hidden;
    fold.setAttribute("aria-expanded", !parts.hidden);
  });
  return [el("tr", {"data-layer": i},
    el("td", {}, layer.sources.map(source => el("div", {class: "source"}, label(source.name), el("span", {class: "quiet"}, source.kind)))),
    el("td", {}, el("div", {class: "name"}, chip(i), label(layer.name)), el("div", {class: "under"}, layer.kind)),
    el("td", {}, `${shape(layer.input_shape)} → ${shape(layer.output_shape)}`, el("div", {class: "under"},
      `${shape(layer.kernel)}, ${layer.weight_bits} bit, ${bytes(layer.weight_bytes)}`)),
    el("td", {class: "right"}, `${passNumber(layer)}`),
    el("td", {}, fold, el("div", {class: "under"}, division(layer)))), parts];
}

function drawProvenance() {
  const heads = ["Model", "Hardware layer", "Shapes, weights", "Pass", "Units"].map(text => el("th", {scope: "col"}, text));
  const host = sim.sequences.filter(sequence => sequence.unit !== "hardware").flatMap(sequence => sequence.layers).map(name =>
    el("tr", {class: "host"}, el("td", {class: "source"}, name), el("td", {colspan: 4, class: "under"}, "on the host; takes no part in the times")));
  section("provenance").append(el("table", {class: "provenance"}, el("thead", {}, el("tr", {}, heads)),
    el("tbody", {}, sim.layers.flatMap(provenanceRows), host)));
}
