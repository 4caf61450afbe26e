// Hides the HTML that is kept of a view, for as long as the view is on the page.
function render({ model, el }) {
  const style = document.createElement("style");
  style.textContent = `.sf-kept-${model.get("twin")} { display: none !important; }`;
  el.append(style);
}

export default { render };
