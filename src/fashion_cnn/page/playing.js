/* The player that the views `convolution` and `learning` share. */

import { $, button, clamp, element, svg } from "./kit.js";
import { announce, t } from "./shell.js";

const ICONS = { // in a square of 20
  first: "M4 4h2v12H4zM16 4v12l-9-6z",
  back: "M13 4v12l-9-6z",
  play: "M5 3v14l12-7z",
  pause: "M5 3h4v14H5zM11 3h4v14h-4z",
  forward: "M7 4v12l9-6z",
  last: "M14 4h2v12h-2zM4 4v12l9-6z",
};

/** Make the player of a view, which leads through its positions, counted from 0. `labels` has the
 *  keys of what its buttons are called; play, which changes its word, has none.
 *
 *  `where` returns {at, last, text, isNew}: the position, also in words, and whether playing begins
 *  at the first one; `goTo` jumps to a position, and `step` moves to the next or the one before;
 *  `render` draws the view anew, and `reading` says what it shows. */
export function createPlayer(milliseconds, labels, { where, goTo, step = goTo, render, reading }) {
  let timer = null;
  const player = {
    isPlaying: () => timer !== null,
    /** Change something by hand: playing stops, everything is drawn anew and said. */
    act(change = () => {}) {
      clearInterval(timer);
      timer = null;
      change();
      render();
      announce(reading());
    },
    goTo: (index) => player.act(() => goTo(clipped(index))),
    play() {
      const { at, last, isNew } = where();
      if (isNew || at === last) goTo(0);
      timer = setInterval(() => {
        if (where().at === where().last) {
          player.act();
          return;
        }
        stepBy(1);
        render();
      }, milliseconds);
      render();
    },
    show() {
      const word = timer ? "pause" : "play", { at, last, text } = where();
      $("play").querySelector("path").setAttribute("d", ICONS[word]);
      $("play").lastChild.textContent = t(word);
      Object.assign($("position"), { max: last, value: at, ariaValueText: text });
      $("reading").textContent = reading();
    },
  };
  const clipped = (index) => clamp(index, 0, where().last);
  const stepBy = (count) => step(clipped(where().at + count));
  const actions = {
    first: () => player.goTo(0),
    back: () => player.act(() => stepBy(-1)),
    play: () => (timer ? player.act() : player.play()),
    forward: () => player.act(() => stepBy(1)),
    last: () => player.goTo(Infinity),
  };
  for (const [id, tLabel] of Object.entries(labels)) {
    const path = svg("path", { d: ICONS[id] });
    const icon = svg("svg", { viewBox: "0 0 20 20", "aria-hidden": true }, path);
    const onclick = actions[id], dataset = { tLabel, tTitle: tLabel };
    $("buttons").append(tLabel ? button({ className: "round", id, dataset, onclick }, icon)
      : button({ className: "primary", id, onclick }, icon, element("span")));
  }
  $("position").oninput = () => player.goTo(Number($("position").value));
  return player;
}
