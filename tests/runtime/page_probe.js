// What the tests of the page ask a browser about it: contrast of words, words on top of one another, and words cut off.
const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d", {willReadFrequently: true});

function rgba(color) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function contrast(a, b) {
  const [dark, bright] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (bright + 0.05) / (dark + 0.05);
}
function over([r, g, b, a], under) {
  return [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
}
// The color that an element puts at a point: its background, or its fill.
function paintOf(node) {
  const style = getComputedStyle(node), drawn = node instanceof SVGElement && !(node instanceof SVGSVGElement);
  if (drawn && ["none", "text", "tspan", "line"].includes(drawn && node.tagName === "g" ? "none" : node.tagName)) return [0, 0, 0, 0];
  if (drawn && (style.fill === "none" || style.fill.startsWith("url"))) return [0, 0, 0, 0];
  const color = rgba(drawn ? style.fill : style.backgroundColor);
  return [...color.slice(0, 3), color[3] * style.opacity * (drawn ? style.fillOpacity : 1)];
}
function words() {
  return [...document.querySelectorAll("body *")].filter(node =>
    !["SCRIPT", "STYLE", "NOSCRIPT"].includes(node.tagName) && node.checkVisibility() &&
    [...node.childNodes].some(child => child.nodeType === Node.TEXT_NODE && child.textContent.trim()));
}
window.probe = {
  // Words with less contrast than WCAG AA asks for; a few of each kind are looked at.
  faint() {
    const seen = new Map(), faint = [];
    let looked = 0;
    for (const node of words()) {
      const style = getComputedStyle(node), svg = node.tagName === "text", color = svg ? style.fill : style.color;
      const kind = [node.tagName, node.getAttribute("class"), color, node.parentElement.getAttribute("class")].join();
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
      if (seen.get(kind) > 4) continue;
      node.scrollIntoView({block: "center", behavior: "instant"});
      const box = node.getBoundingClientRect();
      const stack = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2), at = stack.indexOf(node);
      if (!stack.length) { faint.push(`${node.textContent.slice(0, 40)} cannot be scrolled to`); continue; }
      const layers = stack.slice(svg ? at + 1 : Math.max(0, at)).map(paintOf);
      const ground = layers.reduceRight((under, layer) => over(layer, under), [255, 255, 255]);
      const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
      const ratio = contrast(over(rgba(color), ground), ground);
      looked++;
      if (ratio < (large ? 3 : 4.5)) faint.push(`${node.textContent.slice(0, 40)} [${kind}]: ${ratio.toFixed(2)}`);
    }
    return {looked, faint};
  },
  // Pairs of words in one picture that cover each other.
  collisions() {
    const found = [];
    for (const picture of document.querySelectorAll("svg")) {
      const boxes = [...picture.querySelectorAll("text")].map(node => [node, node.getBoundingClientRect()]).sort((a, b) => a[1].left - b[1].left);
      boxes.forEach(([one, a], i) => {
        for (const [other, b] of boxes.slice(i + 1)) {
          if (b.left > a.right - 1) break;
          const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
          if (high > 3) found.push(`${picture.getAttribute("aria-label")}: "${one.textContent}" and "${other.textContent}"`);
        }
      });
    }
    return found;
  },
  // What sticks out of the page or of its section, and numbers that are cut off.
  overflow() {
    const root = document.documentElement, found = [];
    if (root.scrollWidth > root.clientWidth) found.push(`page: ${root.scrollWidth} of ${root.clientWidth}`);
    for (const node of document.querySelectorAll("section, header, .picture, table, .kpi")) {
      if (node.scrollWidth > node.clientWidth + 1) found.push(`${node.tagName} ${node.id || node.className}: ${node.scrollWidth} of ${node.clientWidth}`);
      if (node.getBoundingClientRect().right > root.clientWidth + 1) found.push(`${node.tagName} ${node.id || node.className} ends outside`);
    }
    for (const node of document.querySelectorAll("[data-value], .right, .badge, .pill, dd, button")) {
      if (node.scrollWidth > node.clientWidth + 1 && node.clientWidth) found.push(`cut off: ${node.textContent}`);
    }
    for (const node of document.querySelectorAll(".stack")) {
      const {width} = node.getBoundingClientRect();
      if (width < 60) found.push(`a bar with ${width} pixels of room`);
    }
    return found;
  },
};
