// Copy buttons, dialogs, tabs and the theme. A page reads and works without any of it.
(() => {
  const dialog = () => document.getElementById("dialog");

  function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    navigator.clipboard?.writeText(source.textContent.trim());
    button.querySelector("span").textContent = button.dataset.copied;
  }

  function select(tab) {
    for (const other of tab.closest("[role=tablist]").querySelectorAll("[role=tab]")) {
      other.setAttribute("aria-selected", String(other === tab));
      other.classList.toggle("active", other === tab);
      other.tabIndex = other === tab ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = other !== tab;
    }
  }

  // Tabs are headings over open panels until this script makes them tabs.
  function prepare(root) {
    for (const list of root.querySelectorAll("[role=tablist][hidden]")) {
      list.hidden = false;
      select(list.querySelector("[role=tab]"));
    }
    root.querySelector("[data-focus]")?.focus();
  }

  async function switchTheme(form) {
    const root = document.documentElement.dataset;
    root.bsTheme = root.bsTheme === "dark" ? "light" : "dark";
    dispatchEvent(new Event("themechange"));
    await fetch(form.action, { method: "POST", body: new FormData(form), redirect: "manual" });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy], [role=tab], [data-close], [data-stop]");
    if (button?.dataset.copy) copy(button);
    else if (button?.matches("[data-stop]")) {
      button.form.dispatchEvent(new Event("htmx:abort"));
      button.remove();
    }
    else if (button?.role === "tab") select(button);
    else if (button && dialog()?.open) {
      event.preventDefault();
      dialog().close();
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("[data-send]")) event.target.form.requestSubmit();
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.target.role !== "tab") return;
    const tabs = [...event.target.closest("[role=tablist]").querySelectorAll("[role=tab]")];
    const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-theme]")) return;
    event.preventDefault();
    switchTheme(event.target);
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  // What htmx puts into the dialog opens it.
  document.addEventListener("htmx:after:swap", (event) => {
    const box = dialog();
    if (!box || event.detail.ctx.target !== box) return;
    if (!box.open) box.showModal();
    prepare(box);
  });

  addEventListener("DOMContentLoaded", () => prepare(document));
})();
