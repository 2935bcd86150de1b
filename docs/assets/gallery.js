// Shows the cards of the chosen concept that hold all the words; the address keeps the choice.
const concept = document.getElementById("gallery-concept");
if (concept) {
  const words = document.getElementById("gallery-words");
  const count = document.getElementById("gallery-count");
  const cards = [...document.querySelectorAll(".gallery-card")];
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const fits =
        (!concept.value || card.dataset.concepts.split("|").includes(concept.value)) &&
        wanted.every((word) => card.dataset.words.includes(word));
      card.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${cards.length} recipes`;
  };
  const keep = () => {
    filter();
    history.replaceState(null, "", concept.value ? `#${encodeURIComponent(concept.value)}` : "#");
  };
  const asked = decodeURIComponent(location.hash.slice(1));
  if ([...concept.options].some((option) => option.value === asked)) concept.value = asked;
  concept.addEventListener("change", keep);
  words.addEventListener("input", filter);
  filter();
}
