// The page: connects the video, the 3D scene, the controls and the charts.

import { Playback } from "report/playback";
import { Scene } from "report/scene";
import { drawErrors, drawHeatMap, playhead } from "report/charts";

const find = (selector) => document.querySelector(selector);
const findAll = (selector) => [...document.querySelectorAll(selector)];

const MOST_LISTED = 4;
const payload = JSON.parse(find("#payload").textContent);
const bars = findAll(".bar");
const scene = makeScene();
const playback = new Playback(find("#video"), find("#video-data").textContent, payload.times, {
  onFrame: showFrame,
  onPlaying: (playing) => (find("#play").textContent = playing ? "Pause" : "Play"),
  onNoVideo: () => {
    find("#video").hidden = true;
    find("#no-video").hidden = false;
  },
});

find("#stage").classList.toggle("portrait", payload.camera.size[1] > payload.camera.size[0]);
for (const track of findAll(".plot .track, .contacts .track")) track.append(playhead());
if (payload.truth) drawErrors(find("#truth-plot"), payload.truth, payload.people.map((person) => person.color));
drawHeatMaps();
listen();
showFrame(playback.frame);
document.documentElement.dataset.ready = "true";

function makeScene() {
  try {
    return new Scene(find("#scene"), payload);
  } catch {
    find("#scene").hidden = find("#views").hidden = true;
    find("#no-scene").hidden = false;
    return null;
  }
}

function showFrame(frame) {
  scene?.show(frame);
  const text = `Frame ${frame}, ${payload.times[frame].toFixed(2)} s`;
  find("#time").value = frame;
  find("#time").setAttribute("aria-valuetext", text);
  find("#clock").textContent = text;
  document.documentElement.style.setProperty("--at", (100 * (frame + 0.5)) / payload.times.length);
  for (const bar of bars) bar.classList.toggle("active", isActive(bar, frame));
  listContacts(frame);
}

function isActive(bar, frame) {
  return Number(bar.dataset.frame) <= frame && frame <= Number(bar.dataset.end);
}

/** List the touching body parts of a frame beside the scene. */
function listContacts(frame) {
  const active = bars.filter((bar) => isActive(bar, frame));
  const names = active.slice(0, MOST_LISTED).map((bar) => {
    const item = document.createElement("li");
    item.append(bar.closest("li").querySelector(".parts").cloneNode(true));
    return item;
  });
  const more = active.length - names.length;
  find("#now").hidden = bars.length === 0;
  find("#now ul").replaceChildren(...names);
  find("#now p").textContent = active.length === 0 ? "Nothing in this frame." : more ? `and ${more} more` : "";
}

function drawHeatMaps() {
  for (const element of findAll(".heat-map")) drawHeatMap(element, find("#quantity").value, payload, jumpTo);
}

/** Show a frame that was chosen outside the controls; the scene comes into view. */
function jumpTo(frame) {
  playback.seek(frame);
  const { top, bottom } = find("#stage").getBoundingClientRect();
  if (bottom < 200 || top > innerHeight - 200) find("#stage").scrollIntoView({ block: "start" });
}

function listen() {
  find("#play").addEventListener("click", togglePlay);
  find("#time").addEventListener("input", (event) => playback.seek(Number(event.target.value)));
  find("#speed").addEventListener("change", (event) => playback.setSpeed(Number(event.target.value)));
  find("#quantity").addEventListener("change", drawHeatMaps);
  for (const button of findAll("[data-frame]")) {
    button.addEventListener("click", () => jumpTo(Number(button.dataset.frame)));
  }
  for (const button of findAll("[data-view]")) button.addEventListener("click", () => chooseView(button));
  for (const button of findAll(".more")) button.addEventListener("click", () => showAll(button));
  document.addEventListener("keydown", (event) => {
    const isElsewhere = event.target.closest("button, select, summary");
    if (event.key === " " && !isElsewhere) {
      event.preventDefault();
      togglePlay();
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    scene?.setColors();
    drawHeatMaps();
  });
}

function togglePlay() {
  if (playback.playing) playback.pause();
  else playback.play();
}

function chooseView(button) {
  scene.setView(button.dataset.view);
  for (const other of findAll("[data-view]")) other.setAttribute("aria-pressed", String(other === button));
}

function showAll(button) {
  const list = button.previousElementSibling;
  const first = list.querySelector("[hidden]");
  for (const row of list.children) row.hidden = false;
  first.querySelector(".bar").focus();
  button.remove();
}
