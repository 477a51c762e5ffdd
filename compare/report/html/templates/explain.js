// Shows a recording. Positions and colours are worked out here; every number is the recording's.
const data = JSON.parse(document.getElementById("recording").textContent);
const byId = id => document.getElementById(id);
const state = { network: 0, moment: 0, example: 1, shades: "value", chosen: null };

// An array of the recording: at(i, j, ...) is one number of it.
function unpacked(packed) {
  const bytes = Uint8Array.from(atob(packed.base64), c => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const numbers = Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  const strides = packed.shape.map((_, i) => packed.shape.slice(i + 1).reduce((a, b) => a * b, 1));
  const at = (...place) => numbers[place.reduce((sum, p, i) => sum + p * strides[i], 0)];
  return Object.assign(at, { numbers, shape: packed.shape });
}
function unpack(value) {
  if (value && value.base64 !== undefined) return unpacked(value);
  if (Array.isArray(value)) return value.map(unpack);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, unpack(v)]));
  return value;
}
const recordings = data.recordings.map(unpack);
const moments = recordings[0].steps.length;
const net = () => recordings[state.network];
const last = () => net().layers.length - 1;
const binary = data.outputs.length === 1;
const pictured = data.picture !== null;

// Text of numbers, and elements.
function shown(x, digits = 3) {
  if (x === 0) return "0";
  const size = Math.abs(Number(x.toPrecision(digits)));
  const text = size < 1e-3 || size >= 1e5 ? x.toExponential(digits - 1) : digits > 3 ? x.toPrecision(digits) : String(Number(x.toPrecision(digits)));
  return text.replaceAll("-", "−");
}
function element(name, attributes = {}, ...children) {
  const svg = ["svg", "g", "circle", "line", "rect", "text", "polyline", "title"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
const bold = x => element("b", {}, shown(x));
const factor = x => element("b", {}, x < 0 ? `(${shown(x)})` : shown(x));
const loss = name => `∂L/∂${name}`;

// Names.
const hiddenName = (layer, unit) => last() === 1 ? `h${unit + 1}` : `h${layer + 1}.${unit + 1}`;
const inputName = i => pictured ? `pixel ${Math.floor(i / data.picture[1]) + 1}.${i % data.picture[1] + 1}` : `x${i + 1}`;
const unitName = (layer, unit) => layer < 0 ? inputName(unit) : layer < last() ? hiddenName(layer, unit) : binary ? "output" : `digit ${data.outputs[unit]}`;

// Numbers of the present moment.
const weight = (layer, i, j) => net().layers[layer].w(state.moment, i, j);
const bias = (layer, j) => net().layers[layer].b(state.moment, j);
const dWeight = (layer, i, j, engine = 0) => net().layers[layer].dw(state.moment, engine, i, j);
const dBias = (layer, j, engine = 0) => net().layers[layer].db(state.moment, engine, j);
const of = (what, layer, unit, engine = 0, row = state.example) => net().layers[layer][what](state.moment, engine, row, unit);
const input = (i, row = state.example) => data.x[row][i];
const below = (layer, i, row = state.example) => layer === 0 ? input(i, row) : of("a", layer - 1, i, 0, row);
const probability = (unit, row = state.example) => net().probability(state.moment, row, unit);
const value = (layer, unit) => layer < 0 ? input(unit) : layer < last() ? of("a", layer, unit) : probability(unit);
const slopeOf = (layer, unit) => layer < last() ? of("da", layer, unit) : of("dz", layer, unit);
const isTarget = (unit, row = state.example) => binary ? data.targets[row][0] : Number(data.targets[row] === unit);

// Shades: how strong a number is beside the largest of its kind in the first network's recording.
const largest = array => array.numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
const most = {
  w: recordings.map(r => Math.max(...r.layers.map(l => Math.max(largest(l.w), largest(l.b))))),
  a: recordings.map(r => Math.max(1, ...r.layers.slice(0, -1).map(l => largest(l.a)))),
  dw: Math.max(...recordings[0].layers.map(l => largest(l.dw))),
  da: Math.max(...recordings[0].layers.map(l => largest(l.da))),
};
function strength(x, kind) {
  const scale = Array.isArray(most[kind]) ? most[kind][state.network] : most[kind];
  return Math.min(1, Math.abs(x) / scale) ** 0.6;
}
const sign = x => x < 0 ? "minus-fill" : "plus-fill";

// The drawing.
let places, parts;
const narrow = matchMedia("(max-width: 40rem)");
function draw() {
  const sizes = net().sizes, columns = sizes.length;
  const tall = Math.max(...sizes.slice(1)), gap = columns > 4 ? 62 : 76, radius = columns > 4 ? 25 : 28;
  const field = pictured ? narrow.matches ? 98 : columns > 4 ? 112 : 150 : 0;
  const step = columns > 4 ? pictured ? 79 : 88 : narrow.matches ? pictured ? 96 : 122 : pictured ? 170 : 210;
  const height = Math.max(tall * gap, field) + 34, width = field + (columns - 1) * step + 2 * radius + 30;
  const left = field ? 6 : radius + 12;
  places = sizes.map((size, c) => Array.from({ length: size }, (_, i) => {
    if (c === 0 && pictured) {
      const [rows, across] = data.picture, cell = field / across;
      return { x: left + (i % across + .5) * cell, y: height / 2 + (Math.floor(i / across) + .5 - rows / 2) * cell, cell };
    }
    return { x: field + radius + 12 + c * step - (field ? 20 : 0), y: height / 2 - 4 + (i - (size - 1) / 2) * gap };
  }));
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, style: `max-width:${Math.round(width * 1.5)}px;min-width:${columns > 4 ? width : 0}px` });
  parts = { edges: [], units: [] };
  net().layers.forEach((_, layer) => places[layer].forEach((from, i) => places[layer + 1].forEach((to, j) => {
    const ends = { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
    const line = element("line", { ...ends, class: "edge" }), title = element("title");
    const hit = element("line", { ...ends, class: "hit" }, title);
    hit.addEventListener("click", () => choose({ kind: "weight", layer, from: i, unit: j }));
    svg.append(line);
    if (!(pictured && layer === 0)) svg.append(hit);
    parts.edges.push({ line, title, layer, from: i, unit: j });
  })));
  places.forEach((column, c) => column.forEach((place, unit) => {
    const layer = c - 1, group = element("g", { class: "unit", role: "button", "data-unit": `${layer}/${unit}` });
    if (place.cell) {
      const mark = element("rect", { class: "pixel", x: place.x - place.cell / 2, y: place.y - place.cell / 2, width: place.cell, height: place.cell });
      group.removeAttribute("role");
      group.append(mark);
      parts.units.push({ group, mark, layer, unit });
    } else {
      const circle = extra => element("circle", { cx: place.x, cy: place.y, r: radius, ...extra });
      const mark = circle({}), above = element("text", { x: place.x, y: place.y - 2 }), slanted = element("text", { x: place.x, y: place.y + 12, class: "d" });
      group.setAttribute("tabindex", "0");
      group.append(circle({ class: "under" }), mark, above, slanted, element("text", { x: place.x, y: place.y + radius + 11, class: "name" }, unitName(layer, unit)));
      const pick = () => choose({ kind: "unit", layer, unit });
      group.addEventListener("click", pick);
      group.addEventListener("keydown", event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } });
      parts.units.push({ group, mark, above, slanted, layer, unit });
    }
    svg.append(group);
  }));
  byId("drawing").replaceChildren(svg);
}
function paintDrawing() {
  for (const { line, title, layer, from, unit } of parts.edges) {
    const w = weight(layer, from, unit), d = dWeight(layer, from, unit);
    const [x, kind] = state.shades === "value" ? [w, "w"] : [d, "dw"], strong = strength(x, kind);
    line.setAttribute("class", `edge ${sign(x)}${isChosen("weight", layer, unit, from) ? " chosen" : ""}`);
    line.setAttribute("stroke-width", (.5 + 4 * strong) * (pictured && layer === 0 ? .4 : 1));
    line.setAttribute("stroke-opacity", .1 + .85 * strong);
    title.textContent = `w from ${unitName(layer - 1, from)} to ${unitName(layer, unit)}: ${shown(w)}, ${loss("w")}: ${shown(d)}`;
  }
  for (const { group, mark, above, slanted, layer, unit } of parts.units) {
    const v = value(layer, unit);
    if (!above) {
      mark.setAttribute("style", `fill: rgb(${Array(3).fill(Math.round(255 * v)).join()})`);
      continue;
    }
    const d = layer < 0 ? null : slopeOf(layer, unit);
    const [x, kind] = state.shades === "value" || d === null ? [v, "a"] : [d, "da"];
    mark.setAttribute("class", sign(x));
    mark.setAttribute("style", `fill-opacity:${(.5 * strength(x, kind)).toFixed(3)}`);
    above.textContent = shown(v, 2);
    slanted.textContent = d === null ? "" : shown(d, 2);
    group.setAttribute("class", `unit${isChosen("unit", layer, unit) ? " chosen" : ""}`);
    group.setAttribute("aria-label", `${unitName(layer, unit)}: ${shown(v)}${d === null ? "" : `, derivative ${shown(d)}`}`);
  }
}

// What is chosen: its equation, forwards and backwards.
function isChosen(kind, layer, unit, from) {
  const c = state.chosen;
  return c.kind === kind && c.layer === layer && c.unit === unit && c.from === from;
}
const home = byId("chosen").parentNode;
function choose(what, place = home) {
  state.chosen = what;
  place.append(byId("chosen"));
  paint();
}
function sum(terms, ...end) {
  const line = [];
  terms.forEach((term, i) => line.push(...(i ? [" + "] : []), ...term));
  return [...line, ...end];
}
const equation = (...parts) => element("p", { class: "equation" }, ...parts);
const range = n => Array.from({ length: n }, (_, i) => i);
function opinions(quantities) {
  const head = element("tr", {}, element("td"), ...data.engines.map(engine => element("th", { class: "n", scope: "col" }, element("span", {}, engine))));
  const rows = quantities.map(c => element("tr", {}, element("th", { scope: "row" }, c.name),
    ...data.engines.map((_, e) => element("td", { class: "n", "data-what": c.what, "data-engine": e }, shown(c.at(e), 7)))));
  return [element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows))),
    element("p", { class: "muted" }, "In float64, no two numbers of the three anywhere in the network are further apart at this moment than ", element("span", { class: "n", id: "apart" }, shown(net().apart(state.moment), 2)), ".")];
}
function aboutUnit(layer, unit) {
  if (layer < 0) return [equation(`${unitName(layer, unit)} = `, bold(input(unit))), element("p", { class: "muted" }, "An input: it is given, and nothing goes back further than to the weights.")];
  const name = unitName(layer, unit), out = layer === last(), f = net().activation, z = of("z", layer, unit);
  const seen = range(net().sizes[layer]).filter(i => !(pictured && layer === 0) || input(i) !== 0);
  const terms = seen.map(i => [factor(weight(layer, i, unit)), " · ", factor(below(layer, i))]);
  const made = [element("h4", {}, "forwards")];
  made.push(equation("z = Σ w ", layer === 0 ? "x" : "a", " + b", seen.length < net().sizes[layer] ? ", of the pixels that are not 0" : ""));
  const long = equation("= ", ...sum(terms, " + ", factor(bias(layer, unit)), " = ", bold(z)));
  made.push(seen.length > 12 ? element("div", { class: "long", tabindex: "0" }, long) : long);
  if (!out) made.push(equation(`a = ${f}(z) = ${f}(`, bold(z), ") = ", bold(of("a", layer, unit))));
  else if (binary) made.push(equation("p = σ(z) = ", bold(probability(unit)), ", the probability of 1; the target is y = ", bold(isTarget(unit))));
  else made.push(equation("p = softmax(z) = ", bold(probability(unit)), `, the probability of a ${data.outputs[unit]}; the target is y = `, bold(isTarget(unit))));
  if (out) made.push(equation("loss of this example: ", bold(net().loss_of_each(state.moment, state.example)), "; L is the mean of all: ", bold(net().loss(state.moment, 0))));
  made.push(element("h4", {}, "backwards"));
  if (out) made.push(equation(`${loss("z")} = (p − y)/m = (`, bold(probability(unit)), " − ", bold(isTarget(unit)), `)/${data.examples.length} = `, bold(of("dz", layer, unit))));
  else {
    const ahead = range(net().sizes[layer + 2]);
    made.push(equation(`${loss("a")} = Σ w ${loss("z")} of ${layer + 1 === last() ? "the output" : "the next layer"}`));
    made.push(equation("= ", ...sum(ahead.map(k => [factor(weight(layer + 1, unit, k)), " · ", factor(of("dz", layer + 1, k))])), " = ", bold(of("da", layer, unit))));
    made.push(equation(`${loss("z")} = ${loss("a")} · ${f}′(z) = `, factor(of("da", layer, unit)), " · ", factor(net().layers[layer].slope(state.moment, state.example, unit)), " = ", bold(of("dz", layer, unit))));
  }
  const quantity = (what, label) => ({ name: label, what, at: e => of(what, layer, unit, e) });
  made.push(...opinions([quantity("z", "z"), ...(out ? [] : [quantity("a", "a"), quantity("da", loss("a"))]), quantity("dz", loss("z"))]));
  return [element("h3", {}, name, element("span", { class: "muted" }, ` when shown ${data.examples[state.example]}`)), ...made];
}
function aboutWeight({ layer, from, unit }) {
  const isBias = from === "b", to = unitName(layer, unit), rows = range(data.examples.length);
  const name = isBias ? `bias of ${to}` : `weight from ${unitName(layer - 1, from)} to ${to}`;
  const w = isBias ? bias(layer, unit) : weight(layer, from, unit), d = isBias ? dBias(layer, unit) : dWeight(layer, from, unit);
  const letter = isBias ? "b" : "w", source = layer === 0 ? "x" : "a";
  const terms = rows.map(r => isBias ? [factor(of("dz", layer, unit, 0, r))] : [factor(below(layer, from, r)), " · ", factor(of("dz", layer, unit, 0, r))]);
  return [element("h3", {}, name, element("span", { class: "muted" }, " for all examples together")), element("h4", {}, "forwards"),
    equation(isBias ? "z = … + b, with b = " : `z = … + w ${source} + …, with w = `, bold(w)), element("h4", {}, "backwards"),
    equation(`${loss(letter)} = Σ ${isBias ? "" : `${source} · `}${loss("z")}, over the examples`), equation("= ", ...sum(terms), " = ", bold(d)),
    equation(`A step of descent takes ${net().rate} times this off ${letter}.`),
    ...opinions([{ name: loss(letter), what: `d${letter}`, at: e => isBias ? dBias(layer, unit, e) : dWeight(layer, from, unit, e) }])];
}

// The tables of weights.
let cells;
function cell(layer, from, unit) {
  const shade = element("i", { class: "shade" }), above = document.createTextNode(""), slanted = element("i", { class: "d" });
  const button = element("button", { class: "weight", type: "button", "data-weight": `${layer}/${from}/${unit}` }, shade, above, slanted);
  button.addEventListener("click", () => choose({ kind: "weight", layer, from, unit }, button.closest(".field, .layer")));
  cells.push({ button, shade, above, slanted, layer, from, unit });
  return button;
}
function table() {
  cells = [];
  byId("tables").replaceChildren(...net().layers.map((_, layer) => {
    const units = range(net().sizes[layer + 1]), inputs = range(net().sizes[layer]);
    const title = element("h3", {}, layer === last() ? "to the output" : last() === 1 ? "to the hidden layer" : `to layer ${layer + 1}`);
    if (pictured && layer === 0) return element("div", { class: "layer" }, title, element("div", { class: "fields" }, ...units.map(unit =>
      element("div", { class: "field" }, element("h4", {}, `to ${unitName(layer, unit)}, bias `, cell(layer, "b", unit)), element("div", {}, ...inputs.map(i => cell(layer, i, unit)))))));
    const row = (from, name) => element("tr", {}, element("th", { scope: "row" }, name), ...units.map(unit => element("td", {}, cell(layer, from, unit))));
    const head = element("tr", {}, element("th"), ...units.map(unit => element("th", { scope: "col" }, unitName(layer, unit))));
    return element("div", { class: "layer" }, title, element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head),
      element("tbody", {}, ...inputs.map(i => row(i, `from ${unitName(layer - 1, i)}`)), row("b", "bias")))));
  }));
}
function paintTable() {
  for (const { button, shade, above, slanted, layer, from, unit } of cells) {
    const [w, d] = from === "b" ? [bias(layer, unit), dBias(layer, unit)] : [weight(layer, from, unit), dWeight(layer, from, unit)];
    const [x, kind] = state.shades === "value" ? [w, "w"] : [d, "dw"];
    above.data = shown(w, button.parentNode.parentNode.className === "field" ? 2 : 3);
    slanted.textContent = shown(d, 2);
    shade.className = `shade ${sign(x)}`;
    shade.style.opacity = (.45 * strength(x, kind)).toFixed(3);
    button.classList.toggle("chosen", isChosen("weight", layer, unit, from));
    button.setAttribute("aria-label", `${from === "b" ? "bias of" : `weight from ${unitName(layer - 1, from)} to`} ${unitName(layer, unit)}: ${shown(w)}, derivative ${shown(d)}`);
  }
}

// Beside the drawing: loss, boundary and norms.
let mark;
function curve() {
  const losses = range(moments).map(m => net().loss(m, 0)), highest = Math.max(...losses), steps = net().steps;
  const at = m => [46 + 220 * steps[m] / steps[moments - 1], 14 + 110 * (1 - losses[m] / highest)];
  mark = { at, rule: element("line", { y1: 10, y2: 126 }), dot: element("circle", { r: 4.5 }) };
  const label = (x, y, text, anchor) => element("text", { x, y, "text-anchor": anchor }, text);
  byId("curve").replaceChildren(element("svg", { viewBox: "0 0 280 146", role: "img", "aria-label": "Loss by step" },
    element("polyline", { points: range(moments).map(m => at(m).join()).join(" ") }), mark.rule, mark.dot,
    label(42, 18, shown(highest), "end"), label(42, 126, "0", "end"), label(46, 142, `step ${steps[0]}`, "start"), label(266, 142, String(steps[moments - 1]), "end")));
}
function paintCurve() {
  const [x, y] = mark.at(state.moment);
  mark.rule.setAttribute("x1", x); mark.rule.setAttribute("x2", x);
  mark.dot.setAttribute("cx", x); mark.dot.setAttribute("cy", y);
}
function paintPlane() {
  byId("plane").hidden = !net().boundary;
  if (!net().boundary) return;
  const { axis, probability } = net().boundary, canvas = byId("plane").querySelector("canvas"), pen = canvas.getContext("2d");
  const n = axis.length, side = canvas.width / n, style = getComputedStyle(document.querySelector(".explain"));
  const [plus, minus, ink, card] = ["--manual", "--autodiff", "--ink", "--card"].map(name => style.getPropertyValue(name));
  pen.clearRect(0, 0, canvas.width, canvas.width);
  for (let row = 0; row < n; row++) for (let column = 0; column < n; column++) {
    const p = probability(state.moment, row, column);
    pen.fillStyle = p < .5 ? minus : plus;
    pen.globalAlpha = .08 + .8 * Math.abs(2 * p - 1);
    pen.fillRect(column * side, (n - 1 - row) * side, side, side);
  }
  pen.globalAlpha = 1;
  const place = v => (v - axis[0]) / (axis[n - 1] - axis[0]) * (canvas.width - side) + side / 2;
  data.x.forEach(([a, b], row) => {
    pen.beginPath();
    pen.arc(place(a), canvas.width - place(b), row === state.example ? 10 : 7, 0, 7);
    pen.fillStyle = data.targets[row][0] ? plus : minus;
    pen.fill();
    pen.lineWidth = row === state.example ? 4 : 2;
    pen.strokeStyle = row === state.example ? ink : card;
    pen.stroke();
  });
}
let bars;
function norms() {
  bars = [];
  byId("norms").replaceChildren(...recordings.map((recording, r) => {
    const list = element("dl");
    recording.layers.forEach((_, layer) => {
      const bar = element("i"), text = element("dd", { class: "n", "data-norm": `${r}/${layer}` });
      list.append(element("dt", {}, `layer ${layer + 1}`), element("dd", { class: "track" }, bar), text);
      bars.push({ bar, text, recording, layer });
    });
    return element("div", { class: "norms" }, element("h3", {}, recording.name), list);
  }));
}
function paintNorms() {
  for (const { bar, text, recording, layer } of bars) {
    const norm = recording.norm(state.moment, layer);
    text.textContent = shown(norm);
    bar.style.width = norm === 0 ? "0" : `${Math.max(1, Math.min(100, 100 * (Math.log10(norm) + 10) / 11)).toFixed(1)}%`;
  }
}

// The controls.
function radios(id, names, picked, pick, picture) {
  byId(id).append(...names.map((name, i) => {
    const radio = element("input", { type: "radio", name: id, value: i });
    radio.checked = i === picked;
    radio.addEventListener("change", () => pick(i));
    return element("label", { class: "choice" }, radio, element("span", {}, ...(picture ? [picture(i)] : []), name));
  }));
}
function thumbnail(row) {
  const [height, width] = data.picture;
  return element("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, ...data.x[row].map((v, i) =>
    element("rect", { x: i % width, y: Math.floor(i / width), width: 1.02, height: 1.02, fill: "#fff", "fill-opacity": v })));
}
function paint() {
  byId("moment").value = state.moment;
  byId("moment").setAttribute("aria-valuetext", `step ${net().steps[state.moment]}`);
  byId("step").textContent = `step ${net().steps[state.moment]}, loss ${shown(net().loss(state.moment, 0))}`;
  const c = state.chosen;
  byId("chosen").replaceChildren(...(c.kind === "unit" ? aboutUnit(c.layer, c.unit) : aboutWeight(c)));
  paintDrawing(); paintTable(); paintCurve(); paintPlane(); paintNorms();
}
function open(network) {
  state.network = network;
  state.chosen = { kind: "unit", layer: 0, unit: 0 };
  home.append(byId("chosen"));
  byId("content").classList.toggle("deep", net().layers.length > 3);
  draw(); table(); curve(); paint();
}
radios("networks", recordings.map(r => r.name), 0, open);
radios("examples", data.examples, state.example, i => { state.example = i; paint(); }, pictured ? thumbnail : null);
for (const what of ["value", "derivative"]) {
  const button = element("button", { type: "button", "aria-pressed": what === state.shades }, `colours: ${what}s`);
  button.addEventListener("click", () => {
    state.shades = what;
    for (const other of byId("shades").children) other.setAttribute("aria-pressed", other === button);
    paint();
  });
  byId("shades").append(button);
}
byId("moment").max = moments - 1;
byId("moment").addEventListener("input", event => { state.moment = Number(event.target.value); paint(); });
let playing = null;
byId("play").addEventListener("click", () => {
  const button = byId("play");
  const stop = () => { clearInterval(playing); playing = null; button.setAttribute("aria-pressed", false); button.textContent = "Play"; };
  if (playing) return stop();
  if (state.moment === moments - 1) state.moment = 0;
  button.setAttribute("aria-pressed", true);
  button.textContent = "Stop";
  playing = setInterval(() => { state.moment += 1; paint(); if (state.moment >= moments - 1) stop(); }, 150);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintPlane);
narrow.addEventListener("change", () => { draw(); paint(); });
norms();
open(0);
