/* What the views `convolution` and `learning` share: the player and the legend of colours. */

import { $, button, element, svg } from "./kit.js";
import { paint } from "./paint.js";
import { announce, t } from "./shell.js";

const ICONS = { // in a square of 20
  first: { "": "M4 4h2v12H4zM16 4v12l-9-6z" },
  back: { "": "M13 4v12l-9-6z" },
  play: { triangle: "M5 3v14l12-7z", bars: "M5 3h4v14H5zM11 3h4v14h-4z" },
  forward: { "": "M7 4v12l9-6z" },
  last: { "": "M14 4h2v12h-2zM4 4v12l9-6z" },
};

/** Fill #buttons: `labels` has the key of each button's label; #play shows its word. */
function buildButtons(labels) {
  $("buttons").append(...Object.keys(ICONS).filter((id) => id in labels).map((id) => {
    const paths = Object.entries(ICONS[id]).map(([name, d]) => svg("path", { class: name, d }));
    const icon = svg("svg", { viewBox: "0 0 20 20", "aria-hidden": true }, ...paths);
    if (id === "play") {
      return button({ className: "primary", id }, icon, element("span", { id: "play-word" }));
    }
    const [tLabel, tTitle] = [labels[id], labels[id]];
    return button({ className: "round", id, dataset: { tLabel, tTitle } }, icon);
  }));
}

/** Make the player of a view; its button #play is among those of `labels`.
 *
 *  `rewind` goes to the start if the view is at its end; `advance` goes a step on, or returns false
 *  at the end; `render` draws the view anew, and `reading` says what it shows. */
export function createPlayer(milliseconds, labels, { rewind, advance, render, reading }) {
  buildButtons(labels);
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
  };
  const player = {
    isPlaying: () => timer !== null,
    /** Change something by hand: playing stops, everything is drawn anew and said. */
    act(change = () => {}) {
      stop();
      change();
      render();
      announce(reading());
    },
    play() {
      if (timer) {
        player.act();
        return;
      }
      rewind();
      timer = setInterval(() => (advance() === false ? player.act() : render()), milliseconds);
      render();
    },
    /** Show on the button what it does. */
    show() {
      $("play").classList.toggle("playing", player.isPlaying());
      $("play-word").textContent = t(timer ? "pause" : "play");
    },
  };
  return player;
}

/** Paint the colours from one number to another; `strongest` gets the strongest one. */
export function showLegend(least, most, kind, strongest, write) {
  const scale = Array.from({ length: 101 }, (_, n) => least + (most - least) * (n / 100));
  paint($("scale"), scale, scale.length, kind, strongest);
  [$("least").textContent, $("most").textContent] = [write(least), write(most)];
}
