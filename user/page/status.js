// status.js -- the status page. In: /v1/events, a message a second with the summaries of all nodes. Out: text and small drawings.
// Every word of a node goes in as text, never as markup: names and reasons come from elsewhere. Each figure of the daemon is a <data>
// element that holds it exactly (value) beside what people read, with its place in the summary as data-k: what the browser test compares.
// Times are the server's; ages are of this browser's monotonic clock.

import {
	whole,
	fixed,
	rate,
	clock,
	day,
	span,
	bytes,
	kib,
	sum,
	get,
	label,
	History,
	RANK,
	certState,
	judge,
} from './samples.js';
import { add, h, put, th, shape, mark, Spark } from './draw.js';

const STALE_MS = 3500; // without an event: three are missing
const DEAD_MS = 1500; // ... and nobody answers
const RETRY_MS = [250, 500, 1000, 2000];
const NONE = '\u2013';
const $ = (id) => document.getElementById(id);

// ---- a node on the page ----
const TILES = [
	// what it is called, which field it needs, its line, the big figure, what stands below, and beside the name
	[
		'Registrations',
		'registrations',
		'regs',
		whole,
		(v) => [v.num('registrations.now')],
		(v) => ['peak ', v.num('registrations.peak')],
	],
	[
		'Calls',
		'calls',
		'calls',
		whole,
		(v) => [v.num('calls.now')],
		(v) => ['peak ', v.num('calls.peak')],
		(v) => [v.num('calls.total'), ' total'],
	],
	[
		'Streams',
		'streams',
		'streams',
		whole,
		(v) => [v.num('streams.total')],
		(v) => ['admitted ', v.num('streams.admitted')],
	],
	[
		'Flows',
		'flows',
		'flows',
		whole,
		(v) => [v.live('flows', (n) => sum(n.flows), whole)],
		(v) =>
			v.node.role === 'core'
				? ['terminated ', v.live('flows_terminated', (n) => n.flows.terminated, whole)]
				: ['on XDP ', v.live('flows_xdp', (n) => n.flows.xdp, whole)],
	],
	[
		'Refused/min',
		'refusals',
		'refused',
		rate,
		(v) => [v.line('refused', rate)],
		(v) => ['total ', v.live('refused_total', (n) => sum(n.refusals), whole)],
	],
	['Bans', 'bans', 'bans', whole, (v) => [v.num('bans.active')], (v) => ['total ', v.num('bans.total')]],
	[
		'Packets/s in',
		'media.packets_in',
		'pps',
		rate,
		(v) => [v.line('pps', rate)],
		(v) => ['out ', v.speed('media.packets_out', 1, rate)],
	],
	[
		'Mbit/s in',
		'media.bytes_in',
		'mbps',
		fixed(2),
		(v) => [v.line('mbps', fixed(2))],
		(v) => ['out ', v.speed('media.bytes_out', 8e-6, fixed(2))],
	],
	[
		'Loss',
		'media.lost',
		'loss',
		fixed(2),
		(v) => [v.line('loss', fixed(2)), h('small', '', ' %')],
		(v) => ['last minute'],
	],
	[
		'Jitter, median',
		'media.jitter_ms_p50',
		'jitter',
		fixed(2),
		(v) => [v.num('media.jitter_ms_p50', fixed(2)), h('small', '', ' ms')],
		(v) => ['highest ', v.num('media.jitter_ms_max', fixed(2))],
	],
];

class View {
	constructor(name, id) {
		this.history = new History();
		this.updates = []; // each: (node) => {}
		this.lists = new Map();
		this.verdict = h('a', 'verdict');
		this.verdict.href = '#' + id;
		this.who = h('span', 'who', name);
		this.say = h('span', 'say');
		this.more = h('span', 'more');
		this.icon = h('span', '');
		add(this.verdict, this.icon, h('span', '', this.who, this.say, this.more));
		this.root = h('section', 'node');
		this.root.id = id;
		this.root.dataset.node = name;
		this.title = h('h2', '');
		this.title.id = id + '-name';
		this.root.setAttribute('aria-labelledby', this.title.id);
	}
	// A figure of the summary, at its place there.
	num(path, show = whole) {
		const el = h('data', '');
		el.dataset.k = path;
		this.updates.push((n) => this.set(el, get(n, path), show));
		return el;
	}
	set(el, v, show) {
		if (v === undefined || v === null) {
			put(el, NONE);
			el.removeAttribute('value');
		} else if (el.value !== String(v) || !el.textContent) {
			el.value = v;
			put(el, show(v));
		}
	}
	// Figures that this page works out: from the summary, the newest of a line, a rate.
	live(name, f, show) {
		const el = h('data', '');
		el.dataset.made = name;
		this.updates.push((n) => this.set(el, f(n), show));
		return el;
	}
	line(key, show) {
		return this.live(key, () => this.history.samples.at(-1).line[key], show);
	}
	speed(counter, factor, show) {
		return this.live(counter + '/s', () => this.history.rate(counter, factor), show);
	}
	tile([name, , key, show, big, sub, note]) {
		const spark = new Spark(name);
		this.updates.push(() => spark.draw(this.history.samples, key, this.history.samples.at(-1).t, show));
		return h(
			'div',
			'tile',
			h('h3', '', name, note && h('small', '', ...note(this))),
			h('p', 'big', ...big(this)),
			h('p', 'sub', ...sub(this)),
			spark.svg
		);
	}
	panel(name, ...kids) {
		const el = h('div', 'panel', h('h3', '', name), ...kids);
		el.firstChild.id = this.root.id + '-' + name.toLowerCase().replace(/[^a-z]+/g, '-');
		for (const t of el.querySelectorAll('table')) t.setAttribute('aria-labelledby', el.firstChild.id);
		return el;
	}
	table(heads, ...rows) {
		const body = h('tbody', '', ...rows);
		return heads
			? h('table', '', h('thead', '', h('tr', '', ...heads.map((x) => th('col', x)))), body)
			: h('table', '', body);
	}
	row(name, ...cells) {
		return h('tr', '', th('row', name), ...cells.map((c) => h('td', '', c)));
	}
	// A table whose rows come and go. @each: (node) => [[key, item], ...]; @make: (key) => [tr, update(item)]; @none: words without rows.
	rows(heads, each, make, none) {
		const body = h('tbody', '');
		const table = h('table', '', heads && h('thead', '', h('tr', '', ...heads.map((x) => th('col', x)))), body);
		const empty = h('p', '', none);
		let known = new Map(),
			order = '';
		this.updates.push((n) => {
			const items = each(n);
			const next = JSON.stringify(items.map(([k]) => k));
			if (next !== order) {
				order = next;
				known = new Map(items.map(([k]) => [k, known.get(k) || make(k)]));
				body.replaceChildren(...[...known.values()].map(([tr]) => tr));
			}
			for (const [k, item] of items) known.get(k)[1](item, n);
			table.hidden = !items.length;
			empty.hidden = items.length > 0;
		});
		return [table, empty];
	}
	shares(field, keys) {
		// rows of an object of numbers, each with its part of the sum as a bar
		const table = this.table(
			null,
			...keys.map((k) => {
				const bar = h('i', '');
				const td = h('td', 'bar', bar);
				td.setAttribute('aria-hidden', 'true');
				this.updates.push((n) => {
					const all = keys.reduce((a, x) => a + (get(n, field + '.' + x) || 0), 0);
					bar.style.width = (all ? (100 * (get(n, field + '.' + k) || 0)) / all : 0).toFixed(1) + '%';
				});
				const tr = this.row(label(k, field), this.num(field + '.' + k));
				tr.append(td);
				return tr;
			})
		);
		table.className = 'shares';
		return table;
	}
}

const MEDIA = [
	['packets in', 'packets_in'],
	['packets out', 'packets_out'],
	['bytes in', 'bytes_in', bytes],
	['bytes out', 'bytes_out', bytes],
	['lost', 'lost'],
	['reordered', 'reordered'],
];
const media = (v) =>
	v.panel(
		'Media',
		v.table(
			null,
			...MEDIA.filter(([, k]) => k in v.node.media).map(([name, k, show]) => v.row(name, v.num('media.' + k, show)))
		)
	);
const refusals = (v) => {
	let order = []; // by count when a reason is new, then as it was: rows do not change places while one looks
	return v.panel(
		'Refused',
		...v.rows(
			['reason', 'total'],
			(n) => {
				const now = Object.entries(n.refusals);
				if (now.length !== order.length || now.some(([k]) => !order.includes(k)))
					order = now.sort((a, b) => b[1] - a[1]).map(([k]) => k);
				return order.map((k) => [k, n.refusals[k]]);
			},
			(k) => {
				const el = h('data', '');
				el.dataset.k = 'refusals.' + k;
				return [v.row(label(k), el), (x) => v.set(el, x, whole)];
			},
			'Nothing since the start.'
		)
	);
};
const made = (path, key, i) => {
	// a figure of a row of a list
	const el = h('data', '');
	el.dataset.k = path + '.' + i + '.' + key;
	return el;
};
const certificates = (v) =>
	v.panel(
		'Certificates',
		...v.rows(
			['for', 'days left'],
			(n) => n.certificates.map((c, i) => [i + ' ' + c.what + ' ' + c.name, c]),
			(k) => {
				const i = k.split(' ', 1)[0];
				const what = h('span', ''),
					name = h('small', ''),
					days = made('certificates', 'days_left', i),
					at = h('span', ''),
					end = h('small', '');
				return [
					v.row(h('span', '', what, name), h('span', '', at, end)),
					(c) => {
						const until = new Date(
							typeof c.not_after === 'number' && c.not_after < 1e11 ? c.not_after * 1000 : c.not_after
						);
						put(what, label(c.what));
						put(name, c.name);
						put(end, Number.isNaN(until.getTime()) ? '' : day(until));
						v.set(days, c.days_left, whole);
						mark(at, certState(c.days_left), days);
					},
				];
			},
			'None.'
		)
	);
const links = (v) =>
	v.panel(
		'Link',
		...v.rows(
			['peer', 'idle connections'],
			(n) => n.links.map((l, i) => [i + ' ' + l.peer, l]),
			(k) => {
				const i = k.split(' ', 1)[0];
				const peer = h('span', ''),
					state = h('span', ''),
					idle = made('links', 'pool_idle', i),
					up = made('links', 'up_s', i);
				return [
					v.row(h('span', '', peer, h('small', '', state, ' ', up)), idle),
					(l) => {
						put(peer, l.peer);
						mark(state, l.state === 'up' ? 'ok' : 'bad', l.state);
						v.set(idle, l.pool_idle, whole);
						v.set(up, l.up_s, span);
						up.hidden = idle.hidden = l.state !== 'up';
					},
				];
			},
			'No peer is configured.'
		)
	);
const process = (v) => {
	const drain = h('span', ''),
		version = h('span', ''),
		left = h('span', '');
	const calls = v.num('drain.calls_left'),
		streams = v.num('drain.streams_left'),
		since = v.num('drain.since_s', span);
	const rows = [
		['calls_left', v.row('calls left', calls)],
		['streams_left', v.row('streams left', streams)],
		['since_s', v.row('draining for', since)],
	];
	const drainRow = v.row('drain', drain);
	v.updates.push((n) => {
		put(version, n.version);
		drainRow.hidden = !n.drain;
		if (n.drain) mark(drain, n.drain.on ? 'warn' : 'ok', n.drain.on ? 'draining' : 'off');
		for (const [k, tr] of rows) tr.hidden = get(n, 'drain.' + k) === undefined || !n.drain.on;
	});
	return v.panel(
		'Daemon',
		v.table(
			null,
			v.row('version', version),
			v.row('up for', v.num('uptime_s', span)),
			v.row('memory', v.num('memory_kib', kib)),
			v.row('CPU', h('span', '', v.speed('cpu_s', 100, fixed(1)), h('small', '', ' %'))),
			v.row('CPU time', h('span', '', v.num('cpu_s', fixed(2)), h('small', '', ' s'))),
			drainRow,
			...rows.map(([, tr]) => tr)
		)
	);
};

const build = (v, n) => {
	const has = (f) => get(n, f) !== undefined;
	v.shape = skeleton(n);
	v.updates = [];
	let some = TILES.filter(([, field]) => has(field));
	if (some.length > 8)
		// two rows; refusals have a table of their own
		some = some.filter(([, field]) => field !== 'refusals');
	const left = [
		has('media') && media(v),
		has('flows') && v.panel('Flows by rung', v.shares('flows', Object.keys(n.flows))),
		has('streams') &&
			v.panel(
				'Streams by service',
				v.shares(
					'streams',
					Object.keys(n.streams).filter((k) => k !== 'total' && k !== 'admitted')
				)
			),
		has('rungs') && v.panel('Streams by rung', v.shares('rungs', Object.keys(n.rungs))),
	];
	const right = [
		has('links') && links(v),
		has('certificates') && certificates(v),
		has('refusals') && refusals(v),
		process(v),
	];
	const age = h('p', '');
	v.updates.push((x) => put(age, x.age_ms === 0 ? 'this node' : 'reported ' + clock(v.seen)));
	const tiles = h('div', 'tiles', ...some.map((t) => v.tile(t)));
	tiles.dataset.n = some.length;
	v.root.replaceChildren(
		h('header', '', v.title, age),
		tiles,
		h('div', 'stacks', h('div', 'stack', ...left.filter((x) => x)), h('div', 'stack', ...right.filter((x) => x)))
	);
};
// Which fields a node has: its part of the page is built anew when they change (another version, another role).
const skeleton = (n) =>
	JSON.stringify([Object.keys(n), ...['flows', 'streams', 'rungs', 'media'].map((k) => Object.keys(n[k] || {}))]);

// ---- all of it ----
const views = new Map();
let ids = 0;
let last,
	lastAt = 0,
	lastTitle = '';

const tell = (v, state, words, more) => {
	if (v.verdict.dataset.state !== state) {
		v.verdict.dataset.state = state;
		v.icon.replaceChildren(shape(state));
	}
	put(v.say, words);
	put(v.more, more);
	v.more.hidden = !more;
};
const verdicts = () => {
	const stale = document.body.dataset.live === 'stale';
	let worst = ['ok', ''];
	for (const v of views.values()) {
		const w = stale ? [['off', 'Stale since ' + clock(last.at_ms)]] : judge(v.node, v.history.samples.at(-1), v.seen);
		const [state, words] = w[0] || ['ok', 'All well'];
		tell(
			v,
			state,
			words,
			w
				.slice(1, 4)
				.map((x) => x[1])
				.join(' \u00b7 ') + (w.length > 4 ? ' \u00b7 and ' + (w.length - 4) + ' more' : '')
		);
		if (RANK[state] > RANK[worst[0]]) worst = [state, (stale ? '' : v.node.name + ': ') + words];
	}
	const title =
		(worst[0] === 'ok' ? '\u2713 All well' : (worst[0] === 'warn' ? '\u26a0 ' : '\u2715 ') + worst[1]) +
		' \u2013 sallyport';
	if (title !== lastTitle) document.title = lastTitle = title;
};
const ROLES = ['edge', 'core'];
const show = (d) => {
	const nodes = [...d.nodes].sort(
		(a, b) => ROLES.indexOf(a.role) - ROLES.indexOf(b.role) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
	);
	const cut = new Set(); // no report can come from them
	for (const n of nodes) if (n.age_ms === 0) for (const l of n.links || []) if (l.state !== 'up') cut.add(l.peer);
	for (const n of nodes) n.stale ||= n.age_ms > 0 && cut.has(n.name);
	const gone = new Set(views.keys());
	let moved = false;
	nodes.forEach((n) => {
		const key = n.role + ' ' + n.name;
		let v = views.get(key);
		if (!v) {
			v = new View(n.name, 'node-' + ids++);
			views.set(key, v);
			moved = true;
			v.title.replaceChildren(n.name, ' ', h('small', '', n.role));
			v.who.replaceChildren(n.name + ' \u00b7 ' + n.role);
		}
		gone.delete(key);
		v.node = n;
		v.seen = d.at_ms - n.age_ms;
		v.history.take(n, v.seen);
		v.root.toggleAttribute('data-stale', n.stale);
		if (v.shape !== skeleton(n)) build(v, n);
		for (const f of v.updates) f(n);
	});
	for (const key of gone) views.delete(key);
	if (moved || gone.size) {
		const now = nodes.map((n) => views.get(n.role + ' ' + n.name));
		$('verdicts').replaceChildren(...now.map((v) => v.verdict));
		$('nodes').replaceChildren(...now.map((v) => v.root));
	}
};
const tick = () => {
	const old = performance.now() - lastAt > (failures > 1 ? DEAD_MS : STALE_MS);
	const state = old ? (last ? 'stale' : 'wait') : 'live';
	document.body.dataset.live = state;
	put($('live'), state === 'live' ? 'Live' : last ? 'Stale since ' + clock(last.at_ms) : 'Waiting for the first figures');
	put($('clock'), state === 'live' ? clock(last.at_ms) : '');
	if (last) verdicts();
};

// ---- the stream: opened anew whatever ended it (the browser itself gives up after an error answer) ----
let source,
	failures = 0,
	opened = 0;
const open = () => {
	opened = performance.now();
	source = new EventSource('v1/events');
	source.onmessage = (e) => {
		failures = 0;
		last = JSON.parse(e.data);
		document.body.dataset.at = last.at_ms;
		lastAt = performance.now();
		show(last);
		tick();
	};
	source.onerror = again;
};
const again = () => {
	source.close();
	setTimeout(open, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
	opened = Infinity;
};
setInterval(() => {
	tick();
	if (performance.now() - Math.max(lastAt, opened) > 3 * STALE_MS) again(); // open, but silent
}, 500);
open();
