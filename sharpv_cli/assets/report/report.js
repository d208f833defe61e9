"use strict";
// Draws the report of the data in the page. Everything foreign is put as text, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const tip = document.getElementById("tip");
const GROUP = 32; // frames that are shown together where there are many
const VEIL = "rgba(128, 134, 142, 0.62)"; // over what was pruned: legible on light and dark pages alike
const EDGE = "#39c5cf";
// Controls and bidirectional marks are spelt out, as sharpv does on a terminal; line feeds and tabs stay.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]/g;

const visible = (text) =>
  text.toWellFormed ? spelt(text).toWellFormed() : spelt(text);
const spelt = (text) =>
  text.replace(HIDDEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** An element with a class, attributes and children; strings become text. */
function make(tag, name, attributes, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Foreign text in an isolate of its own, whatever direction it has. */
const foreign = (text) => make("bdi", "foreign", { dir: "auto" }, visible(text));

function instance(id) {
  const content = document.getElementById(id).content.cloneNode(true).firstElementChild;
  const places = {};
  for (const place of content.querySelectorAll("[data-put]")) places[place.dataset.put] = place;
  return [content, places];
}

function bytes(text) {
  const binary = atob(text), out = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i);
  return out;
}

/** As sharpv spells shares everywhere: 0.0% and 100.0% mean exactly none and all. */
function percent(ratio) {
  if (ratio > 0 && ratio < 0.0005) return "<0.1%";
  if (ratio >= 0.9995 && ratio < 1) return ">99.9%";
  return `${(100 * ratio).toFixed(1)}%`;
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

function track(ratio) {
  const fill = make("div", "fill");
  fill.style.width = `${100 * ratio}%`;
  return make("div", "track", { "aria-hidden": "true" }, fill);
}

/** What Visual SharpV keeps of a clip: as it was (`scale` null), or would be at another scale. */
class Selection {
  constructor(clip) {
    this.clip = clip;
    this.tokens = clip.grid[0] * clip.grid[1];
    this.scale = null;
    this.bits = bytes(clip.kept_bits);
    const scores = clip.scores;
    if (!scores) return;
    this.ratio = new Float32Array(bytes(scores.ratio).buffer);
    const of = (text, wide) => (wide ? new Uint16Array(bytes(text).buffer) : bytes(text));
    this.rank = of(scores.rank, this.tokens > 256);
    this.spatial = of(scores.spatial, scores.levels > 255);
    this.temporal = of(scores.temporal, scores.levels > 255);
  }

  /** k_t = min(f, max(min_tokens, ceil(scale r_t f - 1e-4))), in float32 as sharpv reckons it. */
  count(frame) {
    if (this.scale === null) return this.clip.kept[frame];
    const f = Math.fround, scaled = f(f(this.scale) * this.ratio[frame]);
    const wanted = Math.ceil(f(f(scaled * this.tokens) - f(1e-4)));
    return Math.min(this.tokens, Math.max(this.clip.scores.min_tokens, wanted));
  }

  counts() {
    return this.clip.kept.map((_, frame) => this.count(frame));
  }

  /** Whether token `index` of the shown frame `place` is kept; equal importance goes to the lower index. */
  keeps(place, index) {
    const at = place * this.tokens + index;
    if (this.scale === null) return Boolean(this.bits[at >> 3] & (128 >> (at & 7)));
    return this.rank[at] < this.count(this.clip.shown[place]);
  }

  /** Why, in words. */
  told(place, index) {
    const verdict = this.keeps(place, index) ? "kept" : "pruned", scores = this.clip.scores;
    const where = `row ${Math.floor(index / this.clip.grid[1]) + 1}, column ${(index % this.clip.grid[1]) + 1}`;
    if (!scores) return `${verdict} (${where})`;
    const at = place * this.tokens + index, frame = this.clip.shown[place];
    const s = (2 * this.spatial[at]) / scores.levels, t = (2 * this.temporal[at]) / scores.levels;
    const importance = frame === 0 ? (1 + scores.w) * s : t + scores.w * s;
    const digits = scores.levels > 255 ? 3 : 2, show = (value) => value.toFixed(digits);
    return `${verdict}: rank ${this.rank[at] + 1} of ${this.tokens} (${where})\n` +
      `importance ${show(importance)}; S ${show(s)}, T ${frame === 0 ? "none, first frame" : show(t)}`;
  }
}

/** One frame: its picture with what was pruned veiled, its bar, its time. */
class Frame {
  constructor(selection, place) {
    this.selection = selection;
    this.place = place;
    this.cursor = null;
    const { clip } = selection;
    this.frame = clip.shown[place];
    this.canvas = make("canvas", "", { width: clip.size[0], height: clip.size[1], "aria-hidden": "true" });
    this.box = make("div", "cursor", { "aria-hidden": "true" });
    this.box.hidden = true;
    this.picture = make("div", "picture", { tabindex: "0", role: "application", "aria-roledescription": "frame with patches" },
      this.canvas, this.box);
    this.mark = make("div", "tick");
    this.mark.style.left = `calc(${(100 * clip.kept[this.frame]) / selection.tokens}% - 2px)`;
    this.track = track(0);
    this.track.append(this.mark);
    this.count = make("span");
    this.element = make("li", "frame", {}, this.picture, this.track,
      make("div", "caption", {}, make("span", "", {}, clip.times[this.frame]), this.count));
    this.listen();
    this.refresh();
    this.load();
  }

  listen() {
    const leave = () => this.point(null);
    this.picture.addEventListener("pointermove", (event) => this.point(this.at(event)));
    this.picture.addEventListener("pointerdown", (event) => this.point(this.at(event)));
    this.picture.addEventListener("pointerleave", leave);
    this.picture.addEventListener("blur", leave);
    this.picture.addEventListener("keydown", (event) => this.key(event));
  }

  at(event) {
    const [rows, columns] = this.selection.clip.grid, area = this.canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - area.top) / area.height) * rows);
    const column = Math.floor(((event.clientX - area.left) / area.width) * columns);
    return Math.min(rows - 1, Math.max(0, row)) * columns + Math.min(columns - 1, Math.max(0, column));
  }

  key(event) {
    const [rows, columns] = this.selection.clip.grid, now = this.cursor === null ? 0 : this.cursor;
    const row = Math.floor(now / columns), column = now % columns;
    const to = {
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column], Home: [0, 0], End: [rows - 1, columns - 1],
    }[event.key];
    if (event.key === "Escape") this.point(null);
    if (!to) return;
    event.preventDefault();
    const first = this.cursor === null && event.key.startsWith("Arrow");
    const inside = (value, most) => Math.min(most - 1, Math.max(0, value));
    this.point(first ? 0 : inside(to[0], rows) * columns + inside(to[1], columns));
  }

  point(index) {
    this.cursor = index;
    this.box.hidden = tip.hidden = index === null;
    if (index === null) return;
    const [rows, columns] = this.selection.clip.grid;
    const row = Math.floor(index / columns), column = index % columns, { style } = this.box;
    style.left = `${(100 * column) / columns}%`;
    style.top = `${(100 * row) / rows}%`;
    style.width = `${100 / columns}%`;
    style.height = `${100 / rows}%`;
    tip.textContent = this.selection.told(this.place, index);
    this.placeTip();
  }

  placeTip() {
    const patch = this.box.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(4, patch.left), innerWidth - own.width - 4);
    const below = patch.bottom + 8, above = patch.top - own.height - 8;
    tip.style.transform = `translate(${left}px, ${below + own.height < innerHeight ? below : above}px)`;
  }

  load() {
    const { clip } = this.selection, picture = clip.pictures[this.place];
    if (!picture) return this.draw(...clip.size);
    this.image = new Image();
    this.image.onload = () => this.draw(...clip.size);
    this.image.src = `data:image/webp;base64,${picture}`;
  }

  refresh() {
    const { clip, tokens, scale } = this.selection, kept = this.selection.count(this.frame);
    this.count.textContent = `${kept}/${tokens}`;
    this.track.firstElementChild.style.width = `${(100 * kept) / tokens}%`;
    this.mark.hidden = scale === null;
    this.picture.setAttribute("aria-label",
      `Frame ${this.frame + 1} at ${clip.times[this.frame]}: ${kept} of ${tokens} tokens kept. Arrow keys read single patches.`);
    if (this.drawn) this.draw(...clip.size);
    if (this.cursor !== null) tip.textContent = this.selection.told(this.place, this.cursor);
  }

  draw(width, height) {
    const context = this.canvas.getContext("2d");
    this.drawn = true;
    const scale = Math.max(1, Math.ceil(480 / width)); // small pictures get sharp edges
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    if (this.image) context.drawImage(this.image, 0, 0, width * scale, height * scale);
    const [pruned, edges] = this.shapes(width * scale, height * scale);
    context.globalCompositeOperation = "saturation";
    context.fillStyle = "#808080";
    context.fill(pruned);
    context.globalCompositeOperation = "source-over";
    context.fillStyle = VEIL;
    context.fill(pruned);
    context.strokeStyle = EDGE;
    context.lineWidth = Math.max(1.5, (width * scale) / 240);
    context.stroke(edges);
  }

  /** The patches that are pruned, and the border between them and the kept ones. */
  shapes(width, height) {
    const [rows, columns] = this.selection.clip.grid, pruned = new Path2D(), edges = new Path2D();
    const x = (column) => Math.ceil((column * width) / columns), y = (row) => Math.ceil((row * height) / rows);
    const line = (...[a, b, c, d]) => { edges.moveTo(a, b); edges.lineTo(c, d); };
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const kept = this.selection.keeps(this.place, row * columns + column);
        if (!kept) pruned.rect(x(column), y(row), x(column + 1) - x(column), y(row + 1) - y(row));
        if (column && kept !== this.selection.keeps(this.place, row * columns + column - 1)) line(x(column), y(row), x(column), y(row + 1));
        if (row && kept !== this.selection.keeps(this.place, (row - 1) * columns + column)) line(x(column), y(row), x(column + 1), y(row));
      }
    }
    return [pruned, edges];
  }
}

/** The frames of a clip, and the slider that shows them at other budgets. */
class Strip {
  constructor(clip, places) {
    this.clip = clip;
    this.selection = new Selection(clip);
    this.frames = [];
    this.groups = [];
    this.show(places.strip);
    this.slide(places.budget);
    places["left-out"].textContent = clip.note;
  }

  list(first, last) {
    const frames = [];
    for (let place = first; place < last; place++) frames.push(new Frame(this.selection, place));
    this.frames.push(...frames);
    return make("ol", "strip", {}, ...frames.map((frame) => frame.element));
  }

  show(target) {
    const { length } = this.clip.shown;
    if (length <= 2 * GROUP) return target.append(this.list(0, length));
    for (let first = 0; first < length; first += GROUP) target.append(this.group(first, Math.min(length, first + GROUP)));
    target.firstElementChild.open = true;
  }

  /** Frames are made, and their pictures decoded, when their group is opened; its bar has all, shown or not. */
  group(first, last) {
    const { shown, times, kept } = this.clip, start = shown[first], end = last < shown.length ? shown[last] : kept.length;
    const bar = track(0), told = make("span");
    const details = make("details", "group", {},
      make("summary", "", {}, make("span", "", {}, `${times[start]} to ${times[end - 1]}`), bar, told));
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) details.append(this.list(first, last));
    });
    this.groups.push((counts) => {
      const count = sum(counts.slice(start, end)), total = (end - start) * this.selection.tokens;
      bar.firstElementChild.style.width = `${(100 * count) / total}%`;
      told.textContent = `${count}/${total}`;
    });
    return details;
  }

  slide(target) {
    const { scores } = this.clip, output = make("output");
    this.output = output;
    if (!scores) {
      target.append(make("p", "", {}, "Nothing is pruned: every token was kept (--prune off), so there is no budget to change."));
    } else if (scores.mode === "manual") {
      target.append(make("p", "", {}, `Manual mode: a token is kept where its importance is above K = ${scores.k}. ` +
        "The slider belongs to adaptive mode, whose scale this run did not use."));
    } else this.slider(target, scores);
    target.append(output);
    this.refresh();
  }

  slider(target, scores) {
    const used = scores.scales.indexOf(scores.scale);
    const range = make("input", "", { type: "range", min: 0, max: scores.scales.length - 1, step: 1, id: `scale-${strips.length}` });
    const back = make("button", "", { type: "button" }, "as it was");
    const set = (index) => {
      this.selection.scale = index === used ? null : scores.scales[index];
      range.value = index;
      range.setAttribute("aria-valuetext", `scale ${scores.scales[index].toPrecision(3)}`);
      back.disabled = index === used;
      this.refresh();
    };
    range.addEventListener("input", () => set(Number(range.value)));
    back.addEventListener("click", () => set(used));
    target.append(make("label", "", { for: range.id }, "scale"), range, back);
    set(used);
  }

  refresh() {
    const { selection, clip } = this, counts = selection.counts(), kept = sum(counts);
    const total = selection.tokens * counts.length, share = `${kept} of ${total} tokens (${percent(kept / total)})`;
    const used = clip.scores && clip.scores.mode === "adaptive" ? `scale ${clip.scores.scale.toPrecision(3)}, as it was: ` : "";
    this.output.textContent = selection.scale === null
      ? `${used}${share} kept`
      : `scale ${selection.scale.toPrecision(3)} would keep ${share}; it was ${sum(clip.kept)}`;
    for (const frame of this.frames) frame.refresh();
    for (const group of this.groups) group(counts);
  }
}

function definitions(target, rows) {
  for (const [term, text] of rows) {
    const value = foreign(text), long = text.length > 600;
    const place = make("dd", long ? "long" : "", long ? { tabindex: "0", role: "group", "aria-label": term } : {}, value);
    target.append(make("dt", "", {}, term), place);
  }
}

function shareOf(share) {
  return make("div", "share", {}, make("p", "", {}, make("b", "", {}, share.percent), " ", make("span", "", {}, share.told)), track(share.ratio));
}

function answerView(answer, alone) {
  const [view, places] = instance("answer");
  if (!alone) places.headline.append(foreign(answer.short), `: ${answer.headline}`);
  definitions(places.told, answer.told);
  places.shares.append(...answer.shares.map(shareOf));
  places.warnings.append(...answer.warnings.map((text) => make("li", "", {}, foreign(text))));
  return view;
}

function layerPlot(answer) {
  const similarity = make("div", "plot", { role: "img", "aria-label": "Similarity of each layer; the table below has the numbers" });
  const stored = make("div", "plot kv", { role: "img", "aria-label": "KV bytes of each layer, of what no pruning would store" });
  const names = make("div", "names", { "aria-hidden": "true" }), every = Math.ceil(answer.layers.length / 12);
  for (const layer of answer.layers) {
    const bar = make("i"), size = make("i"), off = layer.kept ? "" : "off";
    bar.style.height = `${100 * Math.min(1, Math.max(0, layer.value === null ? 0 : layer.value))}%`;
    size.style.height = `${100 * layer.of_dense}%`;
    similarity.append(make("div", off, { title: `layer ${layer.layer}: similarity ${layer.similarity}, ${layer.verdict}` }, bar));
    stored.append(make("div", off, { title: `layer ${layer.layer}: ${layer.bytes}, ${percent(layer.of_dense)} of dense` }, size));
    names.append(make("span", "", {}, layer.layer % every ? "" : String(layer.layer)));
  }
  const axis = make("div", "axis", { "aria-hidden": "true" });
  const label = (text, value, name) => {
    const span = make("span", name, {}, text);
    span.style.top = `${100 * (1 - value)}%`;
    axis.append(span);
  };
  label("1", 1);
  if (answer.m === null || Math.abs(answer.m) > 0.1) label("0", 0);
  if (answer.m !== null && answer.m >= 0) {
    const line = make("div", "line");
    line.style.bottom = `${100 * answer.m}%`;
    similarity.append(line);
    label(`M ${answer.m}`, answer.m, "m");
  }
  return make("div", "chart", {}, axis, similarity,
    make("div", "axis kv", { "aria-hidden": "true" }, make("span", "", {}, "KV, of dense")), stored,
    make("div", "axis", { "aria-hidden": "true" }, "layer"), names);
}

function legend(answer) {
  const item = (name, text) => make("li", "", {}, make("i", name, { "aria-hidden": "true" }), text);
  return make("ul", "legend", {}, item("", "picture entries kept"), item("off", "discarded"),
    ...(answer.m === null ? [] : [item("m", `threshold M = ${answer.m}`)]));
}

function stagesOf(group) {
  const whole = Math.max(...group.stages.map((stage) => stage.start + stage.seconds)) || 1;
  const rows = group.stages.map((stage) => {
    const bar = track(stage.seconds / whole);
    bar.firstElementChild.style.left = `${(100 * stage.start) / whole}%`;
    return make("div", "stage", {}, make("span", "", {}, stage.label), bar, make("span", "", {}, stage.text),
      make("small", "", {}, stage.told));
  });
  return make("div", "fall", {}, make("h4", "", {}, group.title), ...rows);
}

function measuredView(answer, alone) {
  const [view, places] = instance("measured");
  if (!alone) places.of.append("Measured for ", foreign(answer.question));
  places["layers-told"].textContent = answer.layers_told;
  places.layers.append(layerPlot(answer), legend(answer));
  for (const layer of answer.layers) {
    places["layer-rows"].append(make("tr", "", {}, make("th", "", { scope: "row" }, String(layer.layer)),
      ...[layer.similarity, layer.verdict, layer.bytes].map((text) => make("td", "", {}, text))));
  }
  places.stages.append(...answer.stages.map(stagesOf));
  definitions(places.machine, answer.machine);
  return view;
}

const strips = [];
for (const clip of data.clips) {
  const [view, places] = instance("clip"), { answers } = clip, alone = answers.length === 1;
  if (alone) places.headline.append(foreign(answers[0].short), `: ${answers[0].headline}`);
  else places.headline.append(`${answers.length} questions about `, foreign(clip.name));
  places.answers.append(...answers.map((answer) => answerView(answer, alone)));
  places.measured.append(...answers.map((answer) => measuredView(answer, alone)));
  document.getElementById("report").append(view);
  strips.push(new Strip(clip, places));
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll(".machine")) details.open = true;
});
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
