/* What all views share: the header, the language, the theme, and how numbers and news are said.
 *
 *   import { start, t, lang, onChange, announce, number, percent } from "./shell.js";
 *   start("network", words);          // words: { key: { en: "…", ko: "…" } }
 *
 * In the HTML, data-t="key" fills an element's text, and data-t-label="key", data-t-title="key" its
 * aria-label and title. onChange(f) calls f whenever the language or the theme changes. */

import shellWords from "./words/shell.js";

const VIEWS = ["network", "convolution", "learning"];
const address = new URL(location.href);
const words = { ...shellWords };
const listeners = [];

/** The language in use: "en" or "ko". */
export let lang = first(["en", "ko"], address.searchParams.get("lang"), remembered("lang"),
  navigator.language.slice(0, 2)) ?? "en";
/** The theme in use: "light" or "dark". */
export let theme = first(["light", "dark"], address.searchParams.get("theme"), remembered("theme"))
  ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
/** Whether the reader asked for less motion. */
export const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;

document.documentElement.lang = lang;
document.documentElement.dataset.theme = theme;
if (address.searchParams.has("embed")) document.documentElement.dataset.embed = address.searchParams.get("embed");

/** Add a view's words, build the header, and fill in every word of the document. */
export function start(view, viewWords) {
  Object.assign(words, viewWords);
  document.querySelector("header.shell")?.append(...header(view));
  const live = element("div", { className: "visually-hidden", id: "news" });
  live.setAttribute("role", "status");
  document.body.append(live);
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
  announce.timer = setTimeout(() => {
    document.getElementById("news").textContent = text;
  }, 500);
}

/** Write a number with a true minus sign. */
export function number(value, digits = 2) {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

/** Write a probability in percent; only what is exactly 0 or 1 is called so. */
export function percent(probability) {
  const digits = probability > 0.0995 && probability < 0.9995 ? 0 : 1;
  const text = (100 * probability).toFixed(digits);
  if (Number(text) === 0 && probability > 0) return "<0.1%";
  return Number(text) === 100 && probability < 1 ? ">99.9%" : `${text}%`;
}

/** Create an element with properties and children. */
export function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function first(allowed, ...candidates) {
  return candidates.find((candidate) => allowed.includes(candidate));
}

function remembered(key) {
  try {
    return localStorage.getItem(`fashion-cnn ${key}`);
  } catch { // a page inside another may have no storage
    return null;
  }
}

function remember(key, value) {
  address.searchParams.set(key, value);
  history.replaceState(null, "", address);
  try {
    localStorage.setItem(`fashion-cnn ${key}`, value);
  } catch { /* then only the address remembers */ }
}

function header(view) {
  const skip = element("a", { className: "skip", href: "#main" });
  skip.dataset.t = "skip";
  // In the site, its start page is named in the head; served alone, there is none.
  const brand = element(document.querySelector("link[rel=home]") ? "a" : "span", { className: "brand" });
  brand.textContent = "fashion-cnn";
  brand.translate = false;
  const nav = element("nav");
  nav.dataset.tLabel = "views";
  for (const name of VIEWS) {
    const link = element("a", { href: `${name}.html` });
    link.dataset.t = link.dataset.view = name;
    if (name === view) link.setAttribute("aria-current", "page");
    nav.append(link);
  }
  const language = element("button", { className: "plain", type: "button", id: "language" });
  language.dataset.t = "other language";
  language.onclick = () => {
    lang = lang === "en" ? "ko" : "en";
    remember("lang", lang);
    translate();
    changed();
  };
  const themes = element("button", { className: "plain icon", type: "button", id: "theme" });
  themes.onclick = () => {
    theme = theme === "dark" ? "light" : "dark";
    remember("theme", theme);
    document.documentElement.dataset.theme = theme;
    translate();
    changed();
  };
  return [skip, brand, nav, language, themes];
}

function translate() {
  document.documentElement.lang = lang;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) {
    node.setAttribute("aria-label", t(node.dataset.tLabel));
  }
  for (const node of document.querySelectorAll("[data-t-title]")) {
    node.title = t(node.dataset.tTitle);
  }
  for (const link of document.querySelectorAll("a[data-view]")) {
    const target = new URL(`${link.dataset.view}.html`, location.href);
    target.searchParams.set("lang", lang);
    if (address.searchParams.has("theme")) target.searchParams.set("theme", theme);
    link.href = target;
  }
  const home = document.querySelector("link[rel=home]");
  if (home) document.querySelector("a.brand")?.setAttribute("href", home.getAttribute("href") + t("home"));
  const switcher = document.getElementById("language");
  if (switcher) switcher.lang = lang === "en" ? "ko" : "en";
  const themes = document.getElementById("theme");
  if (themes) themes.ariaLabel = themes.title = t(theme === "dark" ? "to light" : "to dark");
}

function changed() {
  for (const listener of listeners) listener();
}
