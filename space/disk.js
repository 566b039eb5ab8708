// The Poincare disk: a sample of the index, and the answer in it. Hover shows an item, a click asks about it.
const SVG = 'http://www.w3.org/2000/svg';
const make = (name, attributes) => {
  const node = document.createElementNS(SVG, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  return node;
};
const pictures = new Map();
const picture = async (row) => {
  if (!pictures.has(row)) pictures.set(row, await server.hovered(row));
  return pictures.get(row);
};
const LEVELS = ['scene', 'object', 'part', 'part of a part', 'deeper'];
// a shape for each level, so that colour never speaks alone
const mark = (x, y, level, size) => {
  const s = size;
  const path = [
    `M${x - s},${y - s}h${2 * s}v${2 * s}h${-2 * s}z`,
    `M${x - s},${y}a${s},${s} 0 1 0 ${2 * s},0a${s},${s} 0 1 0 ${-2 * s},0z`,
    `M${x},${y - 1.2 * s}L${x + 1.1 * s},${y + 0.8 * s}H${x - 1.1 * s}z`,
    `M${x},${y - 1.3 * s}L${x + 1.3 * s},${y}L${x},${y + 1.3 * s}L${x - 1.3 * s},${y}z`,
    `M${x},${y + 1.2 * s}L${x + 1.1 * s},${y - 0.8 * s}H${x - 1.1 * s}z`,
  ][Math.min(level, 4)];
  return make('path', { d: path, class: `level-${Math.min(level, 4)}` });
};

const draw = () => {
  const host = element.querySelector('.disk');
  if (!host || !props.cloud) return;
  host.replaceChildren();
  const svg = make('svg', { viewBox: '-104 -104 208 208', role: 'group', 'aria-label': 'Poincare disk: the origin is in the middle, general items near it' });
  svg.append(make('circle', { r: 100, class: 'rim' }));
  for (const [distance, radius] of props.cloud.rings) {
    svg.append(make('circle', { r: 100 * radius, class: 'ring' }));
  }
  const labels = props.cloud.rings.map(([distance, radius]) => {
    const label = make('text', { x: 0, y: -100 * radius - 1.2, class: 'distance' });
    label.textContent = distance;
    return label;
  });
  const cloud = make('g', { class: 'cloud' });
  for (const [x, y, level, row] of props.cloud.points) {
    const point = mark(100 * x, -100 * y, level, 1.1);
    point.dataset.row = row;
    cloud.append(point);
  }
  svg.append(cloud, ...labels);
  const answer = props.value;
  if (answer) {
    const way = answer.way.map(([x, y]) => `${100 * x},${-100 * y}`).join(' ');
    svg.append(make('polyline', { points: way, class: 'way' }));
    for (const [kind, words] of [['similar', 'similar'], ['results', 'found'], ['path', 'on the way']]) {
      for (const item of answer[kind]) {
        const group = make('g', { class: `found ${kind}`, tabindex: 0, role: 'button', 'aria-label': `${words}: ${item.name}, ${LEVELS[Math.min(item.level, 4)]}: search from here` });
        group.dataset.row = item.row;
        group.append(make('circle', { cx: 100 * item.x, cy: -100 * item.y, r: kind === 'similar' ? 3 : 3.6, class: 'halo' }));
        group.append(mark(100 * item.x, -100 * item.y, item.level, 1.8));
        svg.append(group);
      }
    }
    const [x, y] = answer.query;
    svg.append(make('circle', { cx: 100 * x, cy: -100 * y, r: 4.4, class: 'query' }));
  }
  svg.append(make('path', { d: 'M-3,0H3M0,-3V3', class: 'origin' }));
  const card = document.createElement('div');
  card.className = 'hover';
  card.setAttribute('aria-live', 'polite');
  card.hidden = true;

  const show = async (node) => {
    const row = Number(node.dataset.row);
    card.dataset.row = row;
    const found = await picture(row);
    if (card.dataset.row !== String(row) || !found) return;
    const image = document.createElement('img');
    image.alt = '';
    const words = document.createElement('span');
    words.textContent = `${found.name}, ${found.level}`;
    card.replaceChildren(...(found.src ? [image, words] : [words]));
    if (found.src) image.src = found.src;
    const point = node.getBoundingClientRect();
    const frame = host.getBoundingClientRect();
    const middle = point.left + point.width / 2 - frame.left;
    card.style.left = `${Math.min(Math.max(middle, 60), frame.width - 60)}px`;
    const low = point.top - frame.top < frame.height / 2;
    card.style.top = low ? `${point.bottom - frame.top + 8}px` : 'auto';
    card.style.bottom = low ? 'auto' : `${frame.bottom - point.top + 8}px`;
    card.hidden = false;
  };
  const hide = () => { card.hidden = true; card.dataset.row = ''; };
  const of = (event) => event.target.closest('[data-row]');
  svg.addEventListener('pointerover', (event) => { const node = of(event); if (node) show(node); });
  svg.addEventListener('pointerout', hide);
  svg.addEventListener('focusin', (event) => { const node = of(event); if (node) show(node); });
  svg.addEventListener('focusout', hide);
  const chosen = (node) => { hide(); trigger('chosen', { row: Number(node.dataset.row), direction: null }); };
  svg.addEventListener('click', (event) => { const node = of(event); if (node) chosen(node); });
  svg.addEventListener('keydown', (event) => {
    const node = of(event);
    if (!node || (event.key !== 'Enter' && event.key !== ' ')) return;
    event.preventDefault();
    chosen(node);
  });
  host.append(svg, card);
};
draw();
watch('value', draw);
