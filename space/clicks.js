// a click on anything with data-row asks about that item
element.addEventListener('click', (event) => {
  const chosen = event.target.closest('[data-row]');
  if (chosen) trigger('chosen', { row: Number(chosen.dataset.row), direction: chosen.dataset.direction || null });
});
