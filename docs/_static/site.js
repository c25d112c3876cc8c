// The live views follow the site's theme, and a frame is as high as what it shows, up to a window.
const theme = () => document.documentElement.dataset.theme;

for (const frame of document.querySelectorAll(".live iframe")) {
  const load = () => (frame.src = `${frame.dataset.address}&theme=${theme()}`);
  frame.addEventListener("load", () => {
    const page = frame.contentDocument?.body; // null where the browser keeps frames apart
    if (!page) return;
    const border = frame.offsetHeight - frame.clientHeight;
    const fit = () => (frame.style.height = `${page.getBoundingClientRect().height + border}px`);
    new ResizeObserver(fit).observe(page);
  });
  let shown = theme();
  new MutationObserver(() => {
    if (theme() !== shown) load();
    shown = theme();
  }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  if (shown === "light" || shown === "dark") load(); // else the theme is about to choose
}

// A search result quotes the text of a page, not its title, its buttons or its list of sections.
if (typeof Search !== "undefined") {
  const { htmlToText } = Search;
  Search.htmlToText = (source, anchor) => {
    const page = new DOMParser().parseFromString(source, "text/html").querySelector(".bd-article");
    page.setAttribute("role", "main"); // where Sphinx looks
    for (const part of page.querySelectorAll("h1, .download, .live")) part.remove();
    return htmlToText(page.outerHTML, anchor);
  };
  if (document.documentElement.lang === "ko") { // Sphinx's own translation is empty
    const found = "Search finished, found one page matching the search query.";
    Documentation.TRANSLATIONS[found] = ["페이지 ${resultCount}개를 찾았습니다."];
  }
}

// The theme's buttons that fold parts of the navigation out have no words.
for (const summary of document.querySelectorAll(".toctree-l1 > details > summary")) {
  summary.setAttribute("aria-label", summary.closest("li").querySelector("a").textContent);
}
