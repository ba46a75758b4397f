// draw.js -- elements of the status page. In: words, and the samples of a node. Out: elements with those words as their text, never as
// markup; the shape of a state, so that colour is not all that tells them apart; a line of five minutes.

const SVG = 'http://www.w3.org/2000/svg';

export const add = (el, ...kids) => (el.append(...kids.filter((k) => k)), el);
export const h = (tag, cls, ...kids) => {
	const el = document.createElement(tag);
	if (cls) el.className = cls;
	return add(el, ...kids); // strings become text nodes
};
const s = (tag, attrs) => {
	const el = document.createElementNS(SVG, tag);
	for (const [k, v] of Object.entries(attrs)) el.setAttribute(k, v);
	return el;
};
export const put = (el, text) => {
	if (el.textContent !== text) el.textContent = text;
};
export const th = (scope, ...kids) => {
	const el = h('th', '', ...kids);
	el.scope = scope;
	return el;
};
const SHAPE = {
	// told apart without colour
	ok: 'M8 0a8 8 0 1 0 0 16A8 8 0 0 0 8 0zM7 12 3.5 8.5 5 7l2 2 4.300-4.300 1.500 1.500z',
	warn: 'M8 .5 16 15.500H0zM7 6v5h2V6zm0 6v2h2v-2z',
	bad: 'M5 0h6l5 5v6l-5 5H5l-5-5V5zM4 5.500 6.500 8 4 10.500 5.500 12 8 9.500 10.500 12 12 10.500 9.500 8 12 5.500 10.500 4 8 6.500 5.500 4z',
	off: 'M8 0a8 8 0 1 0 0 16A8 8 0 0 0 8 0zM7 3h2v5.500l3 2-1 1.500-4-2.600z',
};
export const shape = (state) =>
	add(
		s('svg', { viewBox: '0 0 16 16', 'aria-hidden': 'true' }),
		s('path', { d: SHAPE[state], fill: 'currentColor', 'fill-rule': 'evenodd' })
	);
export const mark = (el, state, ...kids) => {
	// a state in words, with its shape
	if (el.dataset.state !== state || el.lastChild.textContent !== kids.map((k) => k.textContent || k).join('')) {
		el.className = 'state';
		el.dataset.state = state;
		el.replaceChildren(shape(state), h('span', '', ...kids));
	}
};

export class Spark {
	// a line of five minutes
	constructor(title) {
		this.title = title;
		this.area = s('path', { class: 'area' });
		this.line = s('path', { class: 'line' });
		this.svg = add(
			s('svg', { class: 'spark', viewBox: '0 0 300 28', preserveAspectRatio: 'none', role: 'img' }),
			this.area,
			this.line
		);
	}
	draw(samples, key, end, show) {
		const p = samples.filter((x) => x.line[key] !== undefined);
		const v = p.map((x) => x.line[key]);
		const top = Math.max(1e-9, ...v);
		const xy = p.map((x) => (300 - (end - x.t) / 1000).toFixed(1) + ' ' + (27 - (25 * x.line[key]) / top).toFixed(1));
		let d = '',
			area = '',
			from = 0;
		xy.forEach((at, i) => {
			const cut = i === 0 || p[i].restarted || p[i].t - p[i - 1].t > 15000; // nobody knows what was in between
			d += (cut ? 'M' : 'L') + at;
			if (i + 1 === xy.length || p[i + 1].restarted || p[i + 1].t - p[i].t > 15000) {
				area +=
					'M' +
					xy.slice(from, i + 1).join('L') +
					'L' +
					xy[i].split(' ')[0] +
					' 28L' +
					xy[from].split(' ')[0] +
					' 28z';
				from = i + 1;
			}
		});
		this.line.setAttribute('d', d);
		this.area.setAttribute('d', area);
		this.svg.setAttribute(
			'aria-label',
			this.title +
				', last five minutes: ' +
				(v.length ? show(Math.min(...v)) + ' to ' + show(top < 1e-8 ? 0 : top) : 'nothing yet')
		);
	}
}
