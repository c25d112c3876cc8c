/* What the views `convolution` and `learning` share: the player and the legend of colours. */

import { $, button, element, svg } from "./kit.js";
import { paint } from "./paint.js";
import { announce, t } from "./shell.js";

const ICONS = { // in a square of 20
  first: "M4 4h2v12H4zM16 4v12l-9-6z",
  back: "M13 4v12l-9-6z",
  play: "M5 3v14l12-7z",
  pause: "M5 3h4v14H5zM11 3h4v14h-4z",
  forward: "M7 4v12l9-6z",
  last: "M14 4h2v12h-2zM4 4v12l9-6z",
};

/** Make the player of a view. Of its buttons, each has a label's key and what it changes; #play has
 *  neither.
 *
 *  `rewind` goes to the start if the view is at its end; `advance` goes a step on, or returns false
 *  at the end; `render` draws the view anew, and `reading` says what it shows. */
export function createPlayer(milliseconds, buttons, { rewind, advance, render, reading }) {
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
    show() {
      const word = timer ? "pause" : "play";
      $("play").querySelector("path").setAttribute("d", ICONS[word]);
      $("play").lastChild.textContent = t(word);
      $("reading").textContent = reading();
    },
  };
  for (const [id, [tLabel, change]] of Object.entries(buttons)) {
    const path = svg("path", { d: ICONS[id] });
    const icon = svg("svg", { viewBox: "0 0 20 20", "aria-hidden": true }, path);
    const dataset = { tLabel, tTitle: tLabel }, onclick = () => player.act(change);
    $("buttons").append(change ? button({ className: "round", id, dataset, onclick }, icon)
      : button({ className: "primary", id, onclick: player.play }, icon, element("span")));
  }
  return player;
}

/** Paint the colours from one number to another; `strongest` gets the strongest one. */
export function showLegend(least, most, kind, strongest, write) {
  const scale = Array.from({ length: 101 }, (_, n) => least + (most - least) * (n / 100));
  const canvas = element("canvas");
  paint(canvas, scale, scale.length, kind, strongest);
  $("legend").replaceChildren(write(least), canvas, write(most));
}
