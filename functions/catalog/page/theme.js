// Runs before the first paint, so that no wrong colours flash. Without a choice, the system's is followed.
(() => {
  const choices = ["system", "light", "dark"];
  let choice = "system";
  try {
    choice = localStorage.getItem("hearth-theme") ?? choice;
  } catch {
    // a browser that keeps nothing: the choice lasts as long as the page
  }
  if (!choices.includes(choice)) choice = "system";

  const apply = () => {
    document.documentElement.dataset.theme = choice;
    const word = document.getElementById("theme-word");
    if (word) word.textContent = choice;
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
