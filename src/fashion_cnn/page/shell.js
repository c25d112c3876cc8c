/* What all views share: the header, the language, the theme, and how news are said.
 *
 *   import { start, t, lang, onChange, announce } from "./shell.js";
 *   start("network", words);          // words: { key: { en: "…", ko: "…" } }
 *
 * In the HTML, data-t="key" fills an element's text, and data-t-label="key", data-t-title="key" its
 * aria-label and title. onChange(f) calls f whenever the language or the theme changes. */

import { $, button, element, withStorage } from "./kit.js";
import shellWords from "./words/shell.js";

const VIEWS = document.querySelector("meta[name=views]")?.content.split(" ")
  ?? ["network", "convolution", "learning"];
const root = document.documentElement;
const home = document.querySelector("link[rel=home]"); // the site's start page; served alone, none
const address = new URL(location.href);
const words = { ...shellWords };
const listeners = [];

/** The language in use: "en" or "ko". */
export let lang = preferred("lang", ["en", "ko"], navigator.language.slice(0, 2)) ?? "en";
/** The theme in use: "light" or "dark". */
export let theme = preferred("theme", ["light", "dark"])
  ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

root.lang = lang;
root.dataset.theme = theme;
if (address.searchParams.has("embed")) root.dataset.embed = address.searchParams.get("embed");

/** Add a view's words, build the header, and fill in every word of the document. */
export function start(view, viewWords) {
  Object.assign(words, viewWords);
  document.querySelector("header.shell").append(...header(view));
  document.body.append(
    element("div", { className: "visually-hidden", id: "news", role: "status" }));
  translate();
}

/** Return the words of a key in the language in use, with {name} replaced by values.name. */
export function t(key, values = {}) {
  const entry = words[key];
  if (!entry) throw new Error(`no words for ${key}`);
  return entry[lang].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Call a function after every change of language or theme. */
export function onChange(listener) {
  listeners.push(listener);
}

/** Say something to a screen reader; of quick news only the last is said. */
export function announce(text) {
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => { $("news").textContent = text; }, 500);
}

/** Return what the address, the last visit or the browser asks for, if it is allowed. */
function preferred(key, allowed, browsers) {
  const remembered = withStorage(() => localStorage.getItem(`fashion-cnn ${key}`));
  return [address.searchParams.get(key), remembered, browsers].find((one) => allowed.includes(one));
}

/** Change the language or the theme, now and for the next visit. */
function change(key, value) {
  if (key === "lang") lang = value;
  else theme = value;
  address.searchParams.set(key, value);
  address.hash = location.hash;
  history.replaceState(null, "", address);
  withStorage(() => localStorage.setItem(`fashion-cnn ${key}`, value));
  translate();
  for (const listener of listeners) listener();
}

function header(view) {
  const links = VIEWS.map((name) => element("a", {
    dataset: { t: name, view: name }, ariaCurrent: name === view ? "page" : null,
  }));
  const brand = { className: "brand", textContent: "fashion-cnn", translate: false };
  return [
    element("a", { className: "skip", href: "#main", dataset: { t: "skip" } }),
    element(home ? "a" : "span", brand),
    element("nav", { dataset: { tLabel: "views" } }, ...links),
    button({
      className: "plain", id: "language", dataset: { t: "other language" },
      onclick: () => change("lang", lang === "en" ? "ko" : "en"),
    }),
    button({
      className: "plain icon", id: "theme",
      onclick: () => change("theme", theme === "dark" ? "light" : "dark"),
    }),
  ];
}

function translate() {
  const all = (selector) => document.querySelectorAll(selector);
  root.lang = lang;
  root.dataset.theme = theme;
  for (const node of all("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of all("[data-t-label]")) node.ariaLabel = t(node.dataset.tLabel);
  for (const node of all("[data-t-title]")) node.title = t(node.dataset.tTitle);
  for (const link of all("a[data-view]")) {
    const target = new URL(`${link.dataset.view}.html`, location.href);
    target.searchParams.set("lang", lang);
    if (address.searchParams.has("theme")) target.searchParams.set("theme", theme);
    link.href = target;
  }
  if (home) document.querySelector("a.brand").href = home.getAttribute("href") + t("home");
  $("language").lang = lang === "en" ? "ko" : "en";
  $("theme").ariaLabel = $("theme").title = t(theme === "dark" ? "to light" : "to dark");
}
