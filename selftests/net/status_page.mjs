// status_page.mjs DRIVER URL DIR -- the browser's half of t_status_page.sh. In: the folder of playwright-core, the page, where
// screenshots go; in the environment B and RUN, for sallyctl. Out: words for the test on stdout: "hangup", "kill", "start", "cut", each
// answered by itself when it is done; "say ..."; "passed". A failure is an exception, whose text the test prints.
import { createRequire } from 'node:module';
import { execFile } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import assert from 'node:assert/strict';

const [, , driver, url, dir] = process.argv;
const { chromium } = createRequire(import.meta.url)(driver);
const run = promisify(execFile);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (text) => console.log('say ' + text);
const ask = async (word) => {
	console.log(word);
	assert.equal((await lines.next()).value, word);
};
const SECONDS = 15000;

// ---- what sallyctl says ----
const ctl = async (daemon, command) => {
	const { stdout } = await run(process.env.B + '/sallyctl', ['-j', '-s', `${process.env.RUN}/${daemon}.sock`, command]);
	const d = JSON.parse(stdout);
	return d[daemon] ?? d;
};
// Every number of a summary under its path: "calls.now", "certificates.0.days_left". Not those that say when, and not a drain that is off.
const figures = (n) => {
	const out = new Map();
	const walk = (v, path) => {
		if (typeof v === 'number') out.set(path.join('.'), v);
		else if (v && typeof v === 'object') for (const [k, x] of Object.entries(v)) walk(x, [...path, k]);
	};
	walk(n, []);
	for (const k of [...out.keys()])
		if (
			/(^age_ms|\.not_after)$/.test(k) ||
			(/^drain\./.test(k) && !n.drain.on) ||
			(/^links\./.test(k) && n.links[k.split('.')[1]].state !== 'up')
		)
			out.delete(k);
	return out;
};
const key = (n) => n.role + ' ' + n.name;

// ---- what the page shows: node -> path -> [value, text] ----
const shown = (page) =>
	page.evaluate(() =>
		Object.fromEntries(
			[...document.querySelectorAll('.node')].map((s) => [
				s.querySelector('h2 small').textContent + ' ' + s.dataset.node,
				Object.fromEntries(
					[...s.querySelectorAll('data[data-k]')]
						.filter((d) => d.checkVisibility())
						.map((d) => [d.dataset.k, [d.value, d.textContent]])
				),
			])
		)
	);
const made = (page, role, name) =>
	page.evaluate(
		([r, k]) =>
			[...document.querySelectorAll('.node')]
				.find((s) => s.querySelector('h2 small').textContent === r)
				.querySelector(`data[data-made="${k}"]`).textContent,
		[role, name]
	);
// The value in a text, and half of its last place: "1 234" 0.5; "42.81 GB" 5e6; "1 d 02:03:04" 1.
const UNITS = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 1, MiB: 1024, GiB: 1 << 20 };
const read = (text) => {
	const t = text.replaceAll('\u202f', '').replaceAll('\u00a0', ' ').replace('\u2212', '-');
	let m = /^(?:(\d+) d )?(\d\d):(\d\d):(\d\d)$/.exec(t);
	if (m) return [86400 * (m[1] || 0) + 3600 * m[2] + 60 * m[3] + +m[4], 1];
	m = /^(-?\d+)(?:\.(\d+))?(?: (\w+))?$/.exec(t);
	assert.ok(m && (!m[3] || m[3] in UNITS), `a figure reads "${text}"`);
	const unit = UNITS[m[3]] ?? 1;
	return [unit * Number(m[1] + '.' + (m[2] ?? '0')), m[2] || m[3] ? 0.51 * unit * 10 ** -(m[2] ?? '').length : 0];
};

// The page between two answers of sallyctl: what stood still is equal, and what counts lies between them.
const compare = async (page, daemon) => {
	let wrong, n;
	for (let i = 0; i < 12; i++) {
		const before = await ctl(daemon, 'nodes');
		await page.waitForFunction((at) => Number(document.body.dataset.at) >= at, before.at_ms, { timeout: SECONDS });
		const page_says = await shown(page);
		const after = await ctl(daemon, 'nodes');
		wrong = [];
		n = 0;
		for (const a of before.nodes) {
			const b = figures(after.nodes.find((x) => key(x) === key(a)) ?? {});
			const p = page_says[key(a)] ?? {};
			const want = figures(a);
			for (const k of Object.keys(p)) if (!want.has(k) && !b.has(k)) wrong.push(`${key(a)} ${k}: on the page only`);
			for (const [k, low] of want) {
				const v = p[k] && Number(p[k][0]),
					high = b.get(k);
				if (v === undefined || high === undefined || v < Math.min(low, high) || v > Math.max(low, high)) {
					wrong.push(`${key(a)} ${k}: ${v} on the page, sallyctl says ${low} and then ${high}`);
					continue;
				}
				const [text, half] = read(p[k][1]);
				if (Math.abs(text - v) > half) wrong.push(`${key(a)} ${k}: "${p[k][1]}" for ${v}`);
				n++;
			}
		}
		if (!wrong.length && before.nodes.length === 2) return n;
	}
	assert.fail('never equal: ' + wrong.join('; '));
};

// ---- texts and their ground: contrast by WCAG 2.2, 1.4.3 (large text asks less; here nothing does) ----
const contrasts = (page) =>
	page.evaluate(() => {
		const rgb = (c) => c.match(/[\d.]+/g).map(Number);
		const light = (c) => {
			const [r, g, b] = c
				.slice(0, 3)
				.map((x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
			return 0.2126 * r + 0.7152 * g + 0.0722 * b;
		};
		let worst = [21, ''];
		const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		while (walk.nextNode()) {
			const el = walk.currentNode.parentElement;
			if (!walk.currentNode.data.trim() || !el.checkVisibility() || el.closest('.skip, noscript')) continue;
			let ground = el;
			while (ground && (rgb(getComputedStyle(ground).backgroundColor)[3] ?? 1) === 0) ground = ground.parentElement;
			const two = [
				light(rgb(getComputedStyle(el).color)),
				light(rgb(getComputedStyle(ground ?? document.body).backgroundColor)),
			].sort((a, b) => b - a);
			const ratio = (two[0] + 0.05) / (two[1] + 0.05);
			if (ratio < worst[0]) worst = [ratio, walk.currentNode.data];
		}
		return worst;
	});
// One look: at a width, in a scheme. Nothing sticks out, everything can be read, the picture is kept.
const look = async (page, name, width, height, scheme) => {
	await page.setViewportSize({ width, height });
	await page.emulateMedia({ colorScheme: scheme });
	await page.screenshot({ path: `${dir}/${name}.png`, fullPage: true });
	const out = await page.evaluate(() => [
		document.documentElement.scrollWidth,
		innerWidth,
		[...document.querySelectorAll('main *')]
			.filter(
				(e) =>
					e.checkVisibility() &&
					e.scrollWidth > e.clientWidth + 1 &&
					e.clientWidth > 0 &&
					getComputedStyle(e).display !== 'inline'
			)
			.map((e) => e.className + ' ' + e.textContent),
	]);
	assert.ok(out[0] <= out[1], `${name}: ${out[0]} px wide in a window of ${out[1]}`);
	assert.deepEqual(out[2], [], `${name}: texts that stick out of their boxes`);
	const [ratio, text] = await contrasts(page);
	assert.ok(ratio >= 4.5, `${name}: "${text}" has a contrast of ${ratio.toFixed(2)}`);
};
const verdict = (page, role) =>
	page.evaluate(
		(r) =>
			[...document.querySelectorAll('.verdict')]
				.filter((v) => v.querySelector('.who').textContent.endsWith(r))
				.map((v) => [v.dataset.state, v.querySelector('.say').textContent])[0],
		role
	);
const until = async (page, what, f, ...args) => {
	await page
		.waitForFunction(f, args, { timeout: SECONDS })
		.catch(async () =>
			assert.fail(
				'waited in vain for: ' +
					what +
					'; the page says: ' +
					(
						await page.evaluate(
							() =>
								document.querySelector('header').innerText +
								' | ' +
								document.querySelector('#verdicts').innerText
						)
					).replaceAll('\n', ' ')
			)
		);
};
const figure = ([role, k, want]) =>
	[...document.querySelectorAll('.node')].some(
		(s) =>
			s.querySelector('h2 small').textContent === role &&
			[...s.querySelectorAll('data')].some((d) => (d.dataset.k ?? d.dataset.made) === k && d.textContent === want)
	);

// The page's own reckoning, with summaries made up for it: what is wrong from where on, and rates over restarts, pauses and set clocks.
const reckoning = async (page) => {
	const got = await page.evaluate(async () => {
		const { judge, History, whole, bytes, span } = await import('/samples.js');
		const none = { line: {}, of: 0 };
		const cert = (days_left) => judge({ certificates: [{ what: 'sip', name: 'n', days_left }] }, none, 0);
		const link = (state, pool_idle) => judge({ links: [{ peer: 'p', state, pool_idle }] }, none, 0);
		const loss = (percent, of) => judge({}, { line: { loss: percent }, of }, 0).map((x) => x[0]);
		// [seconds, packets in, lost, uptime]... -> packets a second and loss after each
		const rates = (...rows) => {
			const h = new History();
			return rows.map(([t, packets_in, lost, uptime_s]) => {
				h.take({ uptime_s, media: { packets_in, lost } }, t * 1000);
				const { pps, loss: l } = h.samples.at(-1).line;
				return [pps ?? null, l ?? null];
			});
		};
		return {
			certs: [21, 20, 7, 6, 1, 0, -1].map((d) => cert(d)[0] ?? 'well'),
			links: [link('up', 3), link('up', 0), link('down', 0)],
			loss: [loss(0.99, 5000), loss(1, 5000), loss(5, 5000), loss(50, 999)],
			drain: judge({ drain: { on: true, calls_left: 1, streams_left: 2 } }, none, 0),
			off: judge({ drain: { on: false }, links: [] }, none, 0),
			stale: judge({ stale: true, links: [{ peer: 'p', state: 'down' }] }, none, 3661000),
			worst: judge(
				{
					certificates: [
						{ what: 'x', days_left: 20 },
						{ what: 'y', days_left: 1 },
					],
				},
				none,
				0
			).map((x) => x[0]),
			steady: rates([0, 0, 0, 9], [1, 50, 0, 10], [2, 100, 0, 11], [3, 150, 0, 12]),
			reports: rates([0, 0, 0, 9], [5, 250, 0, 14], [6, 250, 0, 15], [10, 500, 0, 19], [30, 500, 0, 39]),
			restart: rates([0, 1000, 0, 9], [1, 1050, 0, 10], [2, 0, 0, 0], [3, 70, 0, 1]),
			set_back: rates([9000, 10, 0, 9], [5, 20, 0, 10], [6, 40, 0, 11]),
			loss_line: rates([0, 0, 0, 9], [10, 900, 100, 19], [60, 900, 100, 69], [80, 1900, 100, 89]),
			texts: [whole(1234567), whole(-3), bytes(999), bytes(1500), bytes(2e9), span(59), span(90061)],
		};
	});
	assert.deepEqual(got, {
		certs: [
			'well',
			['warn', 'SIP certificate ends in 20 days'],
			['warn', 'SIP certificate ends in 7 days'],
			['bad', 'SIP certificate ends in 6 days'],
			['bad', 'SIP certificate ends in 1 day'],
			['bad', 'SIP certificate ends in 0 days'],
			['bad', 'SIP certificate has expired'],
		],
		links: [[], [['warn', 'Link to p has no idle connection']], [['bad', 'Link to p is down']]],
		loss: [[], ['warn'], ['bad'], []],
		drain: [['warn', 'Draining: 1 call, 2 streams left']],
		off: [],
		stale: [['off', 'No report since 01:01:01 UTC']],
		worst: ['bad', 'warn'],
		steady: [
			[null, null],
			[50, null],
			[50, null],
			[50, null],
		],
		reports: [
			[null, null],
			[50, null],
			[50, null],
			[50, 0],
			[0, 0],
		],
		restart: [
			[null, null],
			[50, null],
			[null, null],
			[70, null],
		],
		set_back: [
			[null, null],
			[null, null],
			[20, null],
		],
		loss_line: [
			[null, null],
			[90, 10],
			[0, 10],
			[50, 0],
		],
		texts: [
			'1\u202f234\u202f567',
			'\u22123',
			'999\u00a0B',
			'1.50\u00a0kB',
			'2.00\u00a0GB',
			'00:00:59',
			'1\u00a0d\u00a001:01:01',
		],
	});
};

// ---- the test ----
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
const asked = new Set(),
	complaints = [];
let answers = true; // somebody is there
page.on('request', (r) => asked.add(r.url()));
page.on('console', (m) => {
	if (answers || !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY|ERR_CONNECTION_RESET/.test(m.text()))
		complaints.push(m.text());
});
page.on('pageerror', (e) => complaints.push(e.stack));
await page.addInitScript(() =>
	addEventListener('securitypolicyviolation', (e) => console.error('CSP: ' + e.violatedDirective + ' ' + e.blockedURI))
);
const response = await page.goto(url);
assert.match(response.headers()['content-security-policy'], /^default-src 'self'/);
await page.evaluate(() => {
	window.same_page = true;
});

await reckoning(page);

await until(page, 'both nodes', () => document.querySelectorAll('.node').length === 2);
await until(page, 'one call', figure, 'core', 'calls.now', '1');
for (const role of ['edge', 'core']) assert.deepEqual(await verdict(page, role), ['ok', 'All well']);
say((await compare(page, 'edge')) + ' figures of two nodes are those of sallyctl');

// The summary itself against the commands whose rows it counts; the call stands still meanwhile.
const p = await shown(page);
const [edge, core] = ['edge', 'core'].map((r) => p[Object.keys(p).find((k) => k.startsWith(r + ' '))]);
const count = (rows, f) => String((Array.isArray(rows) ? rows : (rows.flows ?? rows.streams)).filter(f).length);
assert.equal(
	core['calls.now'][0],
	count(await ctl('core', 'calls'), () => true)
);
assert.equal(
	core['registrations.now'][0],
	count(await ctl('core', 'regs'), () => true)
);
assert.equal(
	edge['streams.sip'][0],
	count(await ctl('edge', 'streams'), (s) => s.service === 'sip')
);
assert.equal(
	edge['flows.xdp'][0],
	count(await ctl('edge', 'flows'), (f) => /xdp/i.test(f.rung))
);
assert.ok(edge['flows.xdp'][0] > 0);
assert.equal(edge['bans.active'][0], String((await ctl('edge', 'status')).bans.active));

// Media moves, and its rate is that of the counters.
await until(page, 'packets a second', () =>
	[...document.querySelectorAll('[data-made="pps"]')].some((d) => Number(d.textContent) > 10)
);
say(`packets/s on the edge: ${await made(page, 'edge', 'pps')}`);

await look(page, 'dark', 1280, 900, 'dark');
await look(page, 'phone-dark', 360, 740, 'dark');
await look(page, 'phone', 360, 740, 'light');
await look(page, 'desktop', 1280, 900, 'light');
await page.keyboard.press('Tab');
assert.equal(
	await page.evaluate(() => document.activeElement.textContent + getComputedStyle(document.activeElement).left),
	'Skip to the figures8px'
);
await page.keyboard.press('Shift+Tab');
assert.deepEqual(
	await page.evaluate(
		() =>
			[...document.querySelectorAll('tr')].filter((tr) => !tr.querySelector('th[scope]')).length +
			[...document.querySelectorAll('section')].filter(
				(s) => !s.hasAttribute('aria-label') && !s.hasAttribute('aria-labelledby')
			).length
	),
	0
);

await ask('hangup');
await until(page, 'no call', figure, 'core', 'calls.now', '0');
await until(page, 'no flow on XDP', figure, 'edge', 'flows.xdp', '0');
await until(page, 'no packets a second', figure, 'edge', 'pps', '0.0');
assert.deepEqual(complaints, []);

answers = false;
await ask('kill');
await until(
	page,
	'stale',
	() =>
		/^Stale since \d\d:\d\d:\d\d UTC$/.test(document.getElementById('live').textContent) &&
		[...document.querySelectorAll('.verdict')].every(
			(v) => v.dataset.state === 'off' && /^Stale since/.test(v.textContent.slice(v.textContent.indexOf('Stale')))
		)
);
await look(page, 'stale', 1280, 900, 'light');
await ask('start');
await until(page, 'live again', () => document.getElementById('live').textContent === 'Live');
await until(page, 'the certificate that ends', () => document.querySelector('.verdict').dataset.state === 'bad');
answers = true;
assert.deepEqual(await verdict(page, 'edge'), ['bad', 'SIP certificate ends in 4 days']);
assert.match(await page.title(), /^\u2715 edge.*SIP certificate ends in 4 days/);
await until(page, 'both nodes again', () => document.querySelectorAll('.node:not([data-stale])').length === 2);
say((await compare(page, 'edge')) + ' figures again');
await look(page, 'bad', 1280, 900, 'light');

await ask('cut');
await until(page, 'the link down', () =>
	/^Link to core.* is down$/.test(document.querySelector('.verdict .say').textContent)
);
assert.equal((await verdict(page, 'edge'))[0], 'bad');
assert.equal((await verdict(page, 'core'))[0], 'off');
assert.match((await verdict(page, 'core'))[1], /^No report since \d\d:\d\d:\d\d UTC$/);

assert.ok(await page.evaluate(() => window.same_page), 'the page was never loaded anew');
assert.deepEqual(complaints, []);
const names = [...asked]
	.map((u) => (assert.ok(u.startsWith(url), 'a request elsewhere: ' + u), u.slice(url.length)))
	.sort();
assert.deepEqual(
	names.filter((x) => x !== 'icon.svg'),
	['', 'draw.js', 'samples.js', 'status.css', 'status.js', 'v1/events']
);
await browser.close();
console.log('passed');
process.exit(0);
