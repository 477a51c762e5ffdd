// A click on a column's head sorts its table; printing unfolds the derivations.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), heads = [...head.parentNode.children];
    const body = head.closest("table").tBodies[0], column = heads.indexOf(head);
    const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const key = row => {
      const cell = row.children[column];
      return (cell.dataset.sort ?? cell.textContent).trim().replaceAll("−", "-").replaceAll(",", "");
    };
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
    body.append(...[...body.rows].sort((a, b) => {
      const x = key(a), y = key(b);
      return turn * (parseFloat(x) - parseFloat(y) || x.localeCompare(y, "en"));
    }));
  });
}
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("#derivations details")) folded.open = true;
});
