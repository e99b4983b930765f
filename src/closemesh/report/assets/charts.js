// Heat maps of joints over time, the error of each frame, and the line that shows the present frame in all charts.

import { arrayOf } from "report/arrays";

const UNITS = { evidence: "cm", rotations: "°" };
const ABSENT = 255;

/** Draw the heat map of one person into `element`. kind: `evidence` or `rotations` of the payload. */
export function drawHeatMap(element, kind, payload, onFrame) {
  const person = Number(element.dataset.person);
  const { rows, max, people } = payload[kind];
  const levels = arrayOf(people[person], "uint8");
  const count = levels.length / rows.length;
  element.innerHTML = `<h3>Person ${person}</h3><div class="heat-body"><ol></ol><span class="track"></span><div class="value"></div></div><p class="legend"></p>`;
  element.querySelector("ol").append(...rows.map((name) => textElement("li", name)));
  const canvas = Object.assign(document.createElement("canvas"), { width: count, height: rows.length });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Person ${person}: ${inWords(rows, levels, count, max, UNITS[kind])}`);
  paint(canvas, levels);
  const track = element.querySelector(".track");
  track.append(canvas, playhead());
  track.addEventListener("click", (event) => onFrame(columnAt(canvas, event, count)));
  track.addEventListener("pointermove", (event) => {
    const row = Math.min(rows.length - 1, Math.floor((event.offsetY / canvas.clientHeight) * rows.length));
    const frame = columnAt(canvas, event, count);
    const level = levels[row * count + frame];
    const value = level === ABSENT ? "not in the scene" : `${valueOf(level, max)} ${UNITS[kind]}`;
    track.title = `Frame ${frame}, ${rows[row]}: ${value}`;
  });
  const legend = element.querySelector(".legend");
  legend.append("0", document.createElement("i"), `${max} ${UNITS[kind]} or not seen`);
}

/** Plot the error of each person in each frame, in millimeters, into `element`. */
export function drawErrors(element, truth, colors) {
  const lines = truth.error_mm;
  const count = lines[0].length;
  const highest = Math.max(1, ...lines.flat());
  const paths = lines.map((line, person) => {
    const points = line.map((value, frame) => (value < 0 ? "" : `${frame + 0.5},${100 - (95 * value) / highest}`));
    return `<polyline points="${points.join(" ")}" fill="none" stroke="rgb(${colors[person].join(",")})" stroke-width="2" vector-effect="non-scaling-stroke"/>`;
  });
  element.innerHTML = `<p></p><span class="track" style="height: 7rem"><svg viewBox="0 0 ${count} 100" preserveAspectRatio="none" aria-hidden="true">${paths.join("")}</svg></span>`;
  const means = lines.map((line, person) => `person ${person} ${mean(line.filter((value) => value >= 0)).toFixed(0)} mm`);
  element.querySelector("p").textContent =
    `The true motion stands beside the result, lighter. Mean distance of 22 joints relative to the pelvis: ${means.join(", ")}. ` +
    `The largest, at the top of the plot, is ${highest.toFixed(0)} mm.`;
  element.querySelector(".track").append(playhead());
}

/** A line at the present frame, for a chart over time. */
export function playhead() {
  const line = document.createElement("span");
  line.className = "playhead";
  return line;
}

function paint(canvas, levels) {
  const style = getComputedStyle(document.documentElement);
  const [low, middle, high] = ["--certain", "--middle", "--uncertain"].map((name) =>
    style.getPropertyValue(name).trim().split(" ").map(Number),
  );
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  levels.forEach((level, index) => {
    if (level === ABSENT) return;
    const at = (2 * level) / 254;
    const [from, to, part] = at < 1 ? [low, middle, at] : [middle, high, at - 1];
    for (let c = 0; c < 3; c++) image.data[4 * index + c] = from[c] + part * (to[c] - from[c]);
    image.data[4 * index + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}

/** The three rows that are least certain on average. */
function inWords(rows, levels, count, max, unit) {
  const means = rows.map((name, row) => {
    const shown = [...levels.subarray(row * count, (row + 1) * count)].filter((level) => level !== ABSENT);
    return { name, value: mean(shown) };
  });
  means.sort((a, b) => b.value - a.value);
  const worst = means.slice(0, 3).map(({ name, value }) => `${name} ${valueOf(value, max)} ${unit}`);
  return `standard deviation of ${rows.length} joints over time; largest on average: ${worst.join(", ")}`;
}

function valueOf(level, max) {
  return ((level / 254) * max).toFixed(1);
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
}

function columnAt(canvas, event, count) {
  return Math.max(0, Math.min(count - 1, Math.floor((event.offsetX / canvas.clientWidth) * count)));
}

function textElement(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
