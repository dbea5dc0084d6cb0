// Small multiples: how dense the rows of each layer's input are.
const TILE = {width: 150, height: 44};

function histogram(i) {
  const layer = sim.layers[i], bins = layer.density_histogram, most = maximum(bins);
  const step = TILE.width / bins.length, base = TILE.height - 1;
  const bars = bins.map((count, k) => count ? svg("rect", {class: "count", x: k * step + 0.5, width: step - 1,
    y: base - Math.max(1, (base - 4) * count / most), height: Math.max(1, (base - 4) * count / most)}) : null);
  const mean = layer.density * TILE.width;
  const drawn = picture(TILE.width, TILE.height, `density of the input of ${layer.name}`,
    svg("line", {class: "axis", x1: 0, x2: TILE.width, y1: base, y2: base}), bars,
    svg("line", {class: "mean", x1: mean, x2: mean, y1: 0, y2: base}));
  const counted = most ? drawn : el("p", {class: "none"}, "no rows counted");
  return tell(el("figure", {class: "tile", "data-layer": i},
    el("figcaption", {}, chip(i), label(layer.name)), counted,
    el("dl", {}, el("dt", {}, "density"), shown("dd", `layers.${i}.density`, percent(layer.density), {"data-factor": 100}),
      el("dt", {}, "sparsity"), el("dd", {}, percent(1 - layer.density)))), () => layerTip(i));
}

function drawDensities() {
  section("densities").append(el("div", {class: "tiles"}, sim.layers.map((_, i) => histogram(i))));
}
