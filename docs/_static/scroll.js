// Code, tables and formulas that are wider than the page can be scrolled by keys: Tab stops at them.

const sizes = new ResizeObserver((blocks) => {
  for (const { target } of blocks) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const block of document.querySelectorAll("pre, .table-wrapper, .formula")) sizes.observe(block);
