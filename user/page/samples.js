// samples.js -- the status page's reckoning. In: summaries of nodes (user/summary.h) and the times that they are of. Out: texts of figures,
// rates, loss, and what is wrong with a node. Kept: five minutes of samples a node. Nothing here knows of a document.

const KEEP_MS = 300000; // what the lines show
const RATE_MS = 6000; // what a rate is taken over
const QUIET_MS = 2500; // without a change: nothing moves any more
const LOSS_MS = 60000;
const LOSS_OF = 1000; // packets: a share of fewer says nothing
const THIN = '\u202f';
const NBSP = '\u00a0';

// ---- text ----
const pad = (n) => String(n).padStart(2, '0');
const group = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, THIN);
export const whole = (v) => (v < 0 ? '\u2212' : '') + group(Math.abs(Math.round(v)));
export const fixed = (digits) => (v) => {
	const [i, f] = Math.abs(v).toFixed(digits).split('.');
	return (v < 0 ? '\u2212' : '') + group(i) + (f ? '.' + f : '');
};
export const rate = (v) => (v < 99.95 ? fixed(1)(v) : whole(v));
export const clock = (ms) => new Date(ms).toISOString().slice(11, 19) + ' UTC';
export const day = (ms) => new Date(ms).toISOString().slice(0, 10);
export const span = (s) => {
	const t = pad(Math.floor(s / 3600) % 24) + ':' + pad(Math.floor(s / 60) % 60) + ':' + pad(Math.floor(s) % 60);
	return s >= 86400 ? group(Math.floor(s / 86400)) + NBSP + 'd' + NBSP + t : t;
};
const scaled = (step, units, digits) => (v) => {
	let i = 0;
	for (; v >= step && i < units.length - 1; i++) v /= step;
	return (i ? fixed(digits)(v) : whole(v)) + NBSP + units[i];
};
export const bytes = scaled(1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB'], 2);
export const kib = scaled(1024, ['KiB', 'MiB', 'GiB', 'TiB'], 1);
const plural = (n, word) => whole(n) + ' ' + word + (n === 1 ? '' : 's');
export const sum = (o) => Object.values(o).reduce((a, v) => a + v, 0);
export const get = (o, path) => path.split('.').reduce((v, k) => (v === undefined || v === null ? undefined : v[k]), o);
const LABEL = new Map(
	Object.entries({
		'flows.xdp': 'XDP',
		'rungs.plain': 'plain',
		'flows.user': 'sockets',
		'rungs.kernel': 'kernel TLS',
		'rungs.kernel_send': 'kernel TLS send',
		'rungs.user': 'user TLS',
		sip: 'SIP',
		https: 'HTTPS',
		xmpp: 'XMPP',
	})
);
export const label = (key, field) => LABEL.get(field + '.' + key) || LABEL.get(key) || key.replaceAll('_', ' ');

// ---- samples and rates ----
const COUNTERS = ['media.packets_in', 'media.packets_out', 'media.bytes_in', 'media.bytes_out', 'media.lost', 'cpu_s'];
const GAUGES = {
	regs: (n) => get(n, 'registrations.now'),
	calls: (n) => get(n, 'calls.now'),
	streams: (n) => get(n, 'streams.total'),
	flows: (n) => n.flows && sum(n.flows),
	bans: (n) => get(n, 'bans.active'),
	jitter: (n) => get(n, 'media.jitter_ms_p50'),
};
export class History {
	samples = []; // oldest first: t, the counters, and the values that the lines show
	take(n, t) {
		const last = this.samples.at(-1);
		const now = { t, up: n.uptime_s, line: {}, c: {} };
		if (last && Math.abs(t - last.t) < 300) return; // the report that is known already
		if (last && t < last.t) this.samples = []; // that clock was set back
		for (const k of COUNTERS) now.c[k] = get(n, k);
		now.c.refused = n.refusals && sum(n.refusals);
		now.restarted = !last || now.up < last.up || COUNTERS.some((k) => now.c[k] < last.c[k]);
		this.samples.push(now);
		while (this.samples[0].t < t - KEEP_MS) this.samples.shift();
		for (const [k, f] of Object.entries(GAUGES)) now.line[k] = f(n);
		now.line.pps = this.rate('media.packets_in');
		now.line.mbps = this.rate('media.bytes_in', 8e-6);
		[now.line.loss, now.of] = this.loss();
		const refused = this.grown('refused', LOSS_MS);
		now.line.refused = refused ? (60 * refused[0]) / refused[1] : undefined;
	}
	over(ms) {
		// the newest sample, and the oldest of the last @ms without a restart since; null: too close together yet
		const now = this.samples.at(-1);
		let i = this.samples.length - 1;
		while (i > 0 && !this.samples[i].restarted && now.t - this.samples[i - 1].t <= ms) i--;
		return now.t - this.samples[i].t < ms / 8 ? null : [now, this.samples[i]];
	}
	grown(k, ms) {
		// [by how much, in how many seconds]; null: not known yet, or no such counter
		const two = this.over(ms);
		return two && two[0].c[k] !== undefined ? [two[0].c[k] - two[1].c[k], (two[0].t - two[1].t) / 1000] : null;
	}
	// A second, over RATE_MS, from change to change: a daemon with many flows looks at them every few seconds only, and the
	// other node reports every five. undefined: not known yet.
	rate(k, factor = 1) {
		const p = this.samples;
		const known = (x) => x > 0 && !p[x].restarted; // something comes before it
		const changed = (x) => {
			while (known(x) && p[x].c[k] === p[x - 1].c[k]) x--;
			return x; // at or before x: the last change, or the first sample
		};
		const now = p.at(-1);
		const i = changed(p.length - 1);
		if (!known(i)) return now.c[k] === undefined || now.t - p[i].t < QUIET_MS ? undefined : 0;
		let j = changed(i - 1);
		if (p[i].t - p[j].t > 2 * RATE_MS) j = i - 1; // it begins to move
		if (now.t - p[i].t > Math.max(QUIET_MS, 1.5 * (p[i].t - p[j].t))) return 0;
		for (let x = j; known(x); j = x) {
			x = changed(j - 1);
			if (p[i].t - p[x].t > RATE_MS) break;
		}
		return (factor * (p[i].c[k] - p[j].c[k]) * 1000) / (p[i].t - p[j].t);
	}
	loss() {
		// [percent, of how many packets] of the last minute
		const lost = this.grown('media.lost', LOSS_MS),
			got = this.grown('media.packets_in', LOSS_MS);
		const all = lost && got && Math.max(0, lost[0]) + got[0];
		return lost && got ? [all > 0 ? (100 * Math.max(0, lost[0])) / all : 0, all] : [];
	}
}

// ---- what is wrong with a node: [state, words], worst first ----
export const RANK = { ok: 0, warn: 1, bad: 2, off: 3 };
export const certState = (days) => (days < 7 ? 'bad' : days < 21 ? 'warn' : 'ok');
export const judge = (n, { line: { loss }, of }, since) => {
	const w = [];
	if (n.stale) return [['off', 'No report since ' + clock(since)]];
	for (const l of n.links || []) {
		if (l.state !== 'up') w.push(['bad', 'Link to ' + l.peer + ' is ' + l.state]);
		else if (l.pool_idle === 0) w.push(['warn', 'Link to ' + l.peer + ' has no idle connection']);
	}
	for (const c of n.certificates || []) {
		const what = label(c.what) + ' certificate ';
		if (c.days_left < 21)
			w.push([
				certState(c.days_left),
				what + (c.days_left < 0 ? 'has expired' : 'ends in ' + plural(c.days_left, 'day')),
			]);
	}
	if (loss >= 1 && of >= LOSS_OF)
		w.push([loss >= 5 ? 'bad' : 'warn', fixed(1)(loss) + ' % of the media packets lost in the last minute']);
	if (get(n, 'drain.on'))
		w.push([
			'warn',
			'Draining' +
				[
					['calls_left', 'call'],
					['streams_left', 'stream'],
				]
					.filter(([k]) => k in n.drain)
					.map(([k, word], i) => (i ? ', ' : ': ') + plural(n.drain[k], word))
					.join('') +
				(Object.keys(n.drain).some((k) => k.endsWith('_left')) ? ' left' : ''),
		]);
	return w.sort((a, b) => RANK[b[0]] - RANK[a[0]]);
};
