// Runs before the first paint, so that the page never shows the wrong colours. The default is the theme of the system.
(() => {
  const choices = ["system", "light", "dark"];
  let choice = "system";
  try {
    choice = localStorage.getItem("hearth-theme") ?? choice;
  } catch {
    // without storage, the choice lasts until the page is closed
  }
  if (!choices.includes(choice)) choice = "system";

  const apply = () => {
    document.documentElement.dataset.theme = choice;
    const name = document.getElementById("theme-name");
    if (name) name.textContent = choice;
  };

  apply();
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      choice = choices[(choices.indexOf(choice) + 1) % choices.length];
      try {
        localStorage.setItem("hearth-theme", choice);
      } catch {
        // as above
      }
      apply();
    });
  });
})();
