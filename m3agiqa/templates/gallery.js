// Sorts and filters what is on the page. gallery.html allows it by the hash of these very bytes.
"use strict";
const find = (name) => document.getElementById(name);
const list = find("images"), listed = [...list.children];
const said = (item) => [...item.querySelectorAll("h2, .prompt, .said")].map((part) => part.textContent).join("\n");
const text = new Map(listed.map((item) => [item, said(item).toLowerCase()]));
const name = (item) => item.querySelector("h2").textContent;
const score = (item, aspect) => Number(item.querySelector(`[data-aspect="${aspect}"]`)?.dataset.score ?? NaN);
const wanted = {
  all: () => true,
  warned: (item) => item.querySelector(".warning"),
  missing: (item) => item.querySelector(".status"),
};
const orders = {
  listed: () => (one, other) => listed.indexOf(one) - listed.indexOf(other),
  name: () => (one, other) => name(one).localeCompare(name(other), undefined, { numeric: true }),
  low: (aspect) => byScore(aspect, 1),
  high: (aspect) => byScore(aspect, -1),
};

// What has no score comes last, whichever way.
function byScore(aspect, sign) {
  const value = new Map(listed.map((item) => [item, score(item, aspect)]));
  const missing = (item) => Number(Number.isNaN(value.get(item)));
  return (one, other) =>
    missing(one) - missing(other) || (missing(one) ? 0 : sign * (value.get(one) - value.get(other)));
}

function sort() {
  const [order, aspect] = find("order").value.split(" ");
  list.append(...[...listed].sort(orders[order](aspect)));
}

function filter() {
  const words = find("words").value.toLowerCase().split(/\s+/);
  const kind = wanted[find("kind").value];
  let shown = 0;
  for (const item of listed) {
    item.hidden = !(kind(item) && words.every((word) => text.get(item).includes(word)));
    shown += !item.hidden;
  }
  find("count").textContent = `${shown} of ${listed.length} shown`;
}

find("order").addEventListener("change", sort);
find("kind").addEventListener("change", filter);
find("words").addEventListener("input", filter);
find("choose").hidden = false;
sort();  // a browser may bring back what was chosen before it loaded the page again
filter();
