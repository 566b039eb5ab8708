// The picture with the boxes that are known in it: one is picked by click or key, or another one drawn.
const SVG = 'http://www.w3.org/2000/svg';
const make = (name, attributes) => {
  const node = document.createElementNS(SVG, name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  return node;
};
const place = (node, box) => {
  node.setAttribute('x', box[0]);
  node.setAttribute('y', box[1]);
  node.setAttribute('width', box[2] - box[0]);
  node.setAttribute('height', box[3] - box[1]);
};
const picked = (box) => trigger('picked', { box: box });

const draw = () => {
  const host = element.querySelector('.picker');
  const shown = props.value;
  if (!host || !shown) return;
  const { width, height, items, box } = shown;
  host.replaceChildren();
  const svg = make('svg', { viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': 'Picture: pick or draw a box' });
  const picture = make('image', { width: width, height: height, preserveAspectRatio: 'none' });
  picture.setAttribute('href', shown.src);
  svg.append(picture);
  // large boxes first, so that a small one inside can be clicked
  const area = (item) => (item.box[2] - item.box[0]) * (item.box[3] - item.box[1]);
  const boxes = items.filter((item) => item.box).sort((a, b) => area(b) - area(a));
  for (const item of boxes) {
    const own = box && item.box.every((side, n) => Math.abs(side - box[n]) < 0.02);
    const rect = make('rect', {
      class: `known level-${item.level}`, tabindex: 0, role: 'button', 'aria-pressed': own ? 'true' : 'false',
      'aria-label': `ask about this ${item.name}`,
    });
    place(rect, item.box);
    const title = make('title', {});
    title.textContent = item.name;
    rect.append(title);
    rect.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      picked(item.box);
    });
    rect.box = item.box;
    svg.append(rect);
  }
  // what is not asked about stands back
  const shade = make('path', { class: 'shade', 'fill-rule': 'evenodd' });
  const frame = (now) => {
    place(outline, now || [0, 0, width, height]);
    const hole = now ? `M${now[0]},${now[1]}H${now[2]}V${now[3]}H${now[0]}z` : '';
    shade.setAttribute('d', hole && `M0,0H${width}V${height}H0z${hole}`);
  };
  const outline = make('rect', { class: 'asked' });
  frame(box);
  svg.insertBefore(shade, picture.nextSibling);
  svg.append(outline);

  const at = (event) => {
    const area = svg.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * width;
    const y = ((event.clientY - area.top) / area.height) * height;
    return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
  };
  let start = null;
  let drawn = null;
  svg.addEventListener('pointerdown', (event) => {
    start = at(event);
    drawn = null;
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener('pointermove', (event) => {
    if (!start) return;
    const here = at(event);
    const now = [Math.min(start[0], here[0]), Math.min(start[1], here[1]), Math.max(start[0], here[0]), Math.max(start[1], here[1])];
    // a hand that trembles draws no box
    if (Math.max(now[2] - now[0], now[3] - now[1]) < 0.025 * Math.max(width, height) && !drawn) return;
    drawn = now;
    frame(drawn);
  });
  svg.addEventListener('pointerup', (event) => {
    if (!start) return;
    const [x, y] = at(event);
    start = null;
    if (drawn) return picked(drawn.map((side) => Math.round(side * 10) / 10));
    const hit = boxes.filter((item) => x >= item.box[0] && x <= item.box[2] && y >= item.box[1] && y <= item.box[3]);
    picked(hit.length ? hit[hit.length - 1].box : null);
  });
  svg.addEventListener('pointercancel', () => { start = null; frame(box); });
  host.append(svg);
};
draw();
watch('value', draw);
