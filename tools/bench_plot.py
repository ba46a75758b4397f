"""tools/bench_plot.py -- plots as SVG text: lines over an axis, bars, and a chart of targets. Standard library only.

In: series of points, each a Spread (min, median, max). Out: one <svg> that stands alone but for the style sheet (classes, see
bench_report.css). All are WIDTH units wide and are made to be shown at about that many pixels, on a phone at 360: no browser cuts or moves
SVG text, so room for it is worked out here from its length. What is told by colour is told by a mark's shape or a dash as well, and in
words."""
import math
from typing import NamedTuple, Optional
from xml.sax.saxutils import escape

WIDTH = 340
LINE = 15


class Spread(NamedTuple):
    min: float
    median: float
    max: float

    def map(self, f):
        """By a function that may turn more into less."""
        a = [f(v) for v in self]
        return Spread(min(a), a[1], max(a))


class Series(NamedTuple):
    name: str
    role: str  # ours, ours2, ours3, peer, peer2, limit
    points: list  # of (x, Spread), by x


class Bar(NamedTuple):
    name: str
    role: str
    value: Spread


class Mark(NamedTuple):
    """A bound, drawn across the plot."""
    name: str
    kind: str  # must, aim
    value: float


def number(v):
    """Three digits that count, thousands apart."""
    if v == 0:
        return "0"
    a = abs(v)
    if a >= 99.95:
        return f"{float(f'{v:.3g}'):,.0f}"
    text = f"{v:.1f}" if a >= 9.995 else f"{v:.2f}" if a >= 0.9995 else f"{v:.3f}" if a >= 0.01 else f"{v:.2g}"
    return text


def tick_text(v):
    return f"{v:,.0f}" if v >= 10 or v == int(v) else f"{v:g}"


def wide(text):
    """Of 11 px text in a wide face; others leave some of it free."""
    return sum(7.2 if c.isdigit() or c.isupper() else 3.7 if c in " ,.:;()il" else 6.7 for c in text)


def linear_ticks(top, most=5):
    """From 0 to at least @top, in steps of 1, 2 or 5."""
    raw = top / most
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw * 0.999)
    return [i * step for i in range(math.ceil(top / step - 1e-9) + 1)]


def log_ticks(low, high, most=7):
    """Around @low to @high: 1, 2 and 5 of each decade, or only 1 if these would be too many."""
    for steps in ((1, 2, 5), (1, 3), (1,)):
        all_of = [s * 10.0**d for d in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2) for s in steps]
        first = max([t for t in all_of if t <= low * 1.0001], default=all_of[0])
        last = min([t for t in all_of if t >= high * 0.9999], default=all_of[-1])
        ticks = [t for t in all_of if first <= t <= last]
        if len(ticks) <= most:
            break
    return ticks


class Axis:
    """Values to units along a side. Log if the values span more than @decades."""

    def __init__(self, values, start, end, ticks=None, decades=1.0, log=None):
        low, high = min(values), max(values)
        self.log = low > 0 and high / low >= 10**decades if log is None else log
        if self.log:
            self.ticks = log_ticks(low, high)
            self.low, self.high = (self.ticks[0], self.ticks[-1]) if ticks is None else (low, high)
            if self.low == self.high:
                self.low, self.high = low / 2, high * 2
        else:
            self.ticks = linear_ticks(high or 1)
            self.low, self.high = 0, self.ticks[-1]
        if ticks is not None:
            self.ticks = ticks
        self.start, self.end = start, end

    def at(self, v):
        if self.log:
            part = math.log(v / self.low) / math.log(self.high / self.low)
        else:
            part = (v - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)


def text(x, y, what, anchor="start", css=""):
    css = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{css}>{escape(what)}</text>'


def line(x1, y1, x2, y2, css):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


SHAPES = {"ours": "circle", "ours2": "square", "ours3": "up", "peer": "diamond", "peer2": "down", "limit": "cross"}


def marker(x, y, role, css=None):
    """A shape of its own for each role."""
    shape, r = SHAPES[role], 4
    css = f'class="mark {css or role}"'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {css}/>'
    points = {
        "square": [(-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)],
        "up": [(0, -4.6), (4.4, 3.6), (-4.4, 3.6)],
        "down": [(0, 4.6), (4.4, -3.6), (-4.4, -3.6)],
        "diamond": [(0, -5), (5, 0), (0, 5), (-5, 0)],
        "cross": [(-4, -1.2), (-1.2, -1.2), (-1.2, -4), (1.2, -4), (1.2, -1.2), (4, -1.2), (4, 1.2), (1.2, 1.2), (1.2, 4), (-1.2, 4),
                  (-1.2, 1.2), (-4, 1.2)],
    }[shape]
    return f'<polygon points="{" ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in points)}" {css}/>'


def error_bar(x1, y1, x2, y2, role):
    """From min to max, with caps; none where they are one."""
    if abs(x1 - x2) + abs(y1 - y2) < 1.5:
        return ""
    dx, dy = (0, 3) if y1 == y2 else (3, 0)
    return "".join([line(x1, y1, x2, y2, f"err {role}"), line(x1 - dx, y1 - dy, x1 + dx, y1 + dy, f"err {role}"),
                    line(x2 - dx, y2 - dy, x2 + dx, y2 + dy, f"err {role}")])


def legend(entries, y):
    """(names and the drawing of their sign) in rows as wide as the plot. Returns the text and the y below it."""
    out, x = [], 0
    for name, draw in entries:
        need = 26 + wide(name) + 8
        if x and x + need > WIDTH:
            x, y = 0, y + LINE
        out += [draw(x, y - 4), text(x + 26, y, name)]
        x += need
    return out, y + LINE - 4 if entries else y - 4


def line_sign(role):
    return lambda x, y: line(x + 1, y, x + 21, y, f"line {role}") + marker(x + 11, y, role)


def bar_sign(role):
    return lambda x, y: f'<rect x="{x + 1}" y="{y - 5}" width="20" height="9" class="bar {role}"/>'


def bound_sign(kind):
    return lambda x, y: line(x + 1, y, x + 21, y, f"bound {kind}")


def svg(height, title, desc, parts):
    """The document; the title is drawn by whoever shows it, as text of the page."""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img"><title>{escape(title)}</title>'
            f"<desc>{escape(desc)}</desc>{''.join(parts)}</svg>")


def told(name, value, unit):
    """A point in words, for a pointer that rests on it."""
    spread = f" ({number(value.min)} to {number(value.max)})" if value.min != value.max else ""
    return f"{name}: {number(value.median)} {unit}{spread}"


def tip(what, parts):
    return f"<g><title>{escape(what)}</title>{parts}</g>"


def x_labels(axis, ticks, y):
    """Ticks' words below an axis, those left out that would touch the one before or leave the plot."""
    out, free = [], -1e9
    for t in ticks:
        x, half = axis.at(t), wide(tick_text(t)) / 2
        x_text = min(max(x, half), WIDTH - half)
        out.append(line(x, y, x, y + 4, "axis"))
        if x_text - half > free:
            out.append(text(x_text, y + 15, tick_text(t), "middle"))
            free = x_text + half + 4
    return out


def lines(title, series, x_name, y_name, unit, marks=()):
    """A line plot: cost (y) over how many (x); x is log if it spans a decade, and y is if it spans one. @marks go across."""
    series = [s for s in series if s.points]
    xs = sorted({x for s in series for x, _ in s.points})
    top = [v for s in series for _, p in s.points for v in p] + [m.value for m in marks]
    entries = [(s.name, line_sign(s.role)) for s in series] + [(m.name, bound_sign(m.kind)) for m in marks]
    out, y0 = legend(entries, 11)
    y0 += 10
    out.append(text(0, y0 + 2, y_name, css="quiet"))
    y0 += 14
    y1 = y0 + 170
    y = Axis(top, y1, y0)
    left = max(wide(tick_text(t)) for t in y.ticks) + 10
    inner = 14 if len(xs) > 1 else 0
    x = Axis(xs, left + inner, WIDTH - inner - 6, ticks=xs, log=True)
    for t in y.ticks:
        out += [line(left, y.at(t), WIDTH, y.at(t), "grid"), text(left - 6, y.at(t) + 4, tick_text(t), "end")]
    out += [line(left, y1, WIDTH, y1, "axis")] + x_labels(x, xs, y1)
    out.append(text((left + WIDTH) / 2, y1 + 31, x_name, "middle", "quiet"))
    for m in marks:
        out.append(tip(f"{m.name}: {number(m.value)} {unit}", line(left, y.at(m.value), WIDTH, y.at(m.value), f"bound {m.kind}")))
    for i, s in enumerate(series):
        off = (i - (len(series) - 1) / 2) * 3  # so that error bars stand side by side
        way = " ".join(f"{x.at(a) + off:.1f},{y.at(p.median):.1f}" for a, p in s.points)
        if len(s.points) > 1:
            out.append(f'<polyline points="{way}" class="line {s.role}"/>')
        for a, p in s.points:
            where = error_bar(x.at(a) + off, y.at(p.min), x.at(a) + off, y.at(p.max), s.role) + marker(x.at(a) + off, y.at(p.median), s.role)
            out.append(tip(told(f"{s.name}, {tick_text(a)}", p, unit), where))
    scale = f"{'logarithmic' if y.log else 'linear'} y axis from {tick_text(y.ticks[0])} to {tick_text(y.ticks[-1])}"
    words = "; ".join(told(f"{s.name} at {tick_text(a)}", p, unit) for s in series for a, p in s.points)
    return svg(y1 + 37, title, f"{y_name} over {x_name}, {scale}. {words}", out)


def bars(title, rows, unit, x_name, marks=(), names=None):
    """Bars from 0, each below its name and figure; @names: role -> what it is, for a legend."""
    entries = [(what, bar_sign(role)) for role, what in (names or {}).items()] + [(m.name, bound_sign(m.kind)) for m in marks]
    out, y = legend(entries, 11)
    if entries:
        y += 8
    top = y
    x = Axis([0] + [b.value.max for b in rows] + [m.value for m in marks], 1, WIDTH - 8, log=False)
    bottom = y + 34 * len(rows) + 2
    words = []  # over the bounds
    out += [line(x.at(t), top, x.at(t), bottom, "grid") for t in x.ticks]
    for b in rows:
        figure = f"{number(b.value.median)} {unit}"
        at = y + 18
        middle = at + 6
        parts = f'<rect x="1" y="{at}" width="{max(x.at(b.value.median) - 1, 1):.1f}" height="12" class="bar {b.role}"/>'
        parts += error_bar(x.at(b.value.min), middle, x.at(b.value.max), middle, "over")
        out.append(tip(told(b.name, b.value, unit), parts))
        words += [text(1, y + 13, b.name), text(WIDTH, y + 13, figure, "end", "figure")]
        y += 34
    for m in marks:
        out.append(tip(f"{m.name}: {number(m.value)} {unit}", line(x.at(m.value), top, x.at(m.value), bottom, f"bound {m.kind}")))
    out += words + [line(0, bottom, WIDTH, bottom, "axis")] + x_labels(x, x.ticks, bottom)
    out.append(text(WIDTH / 2, bottom + 31, x_name, "middle", "quiet"))
    return svg(bottom + 37, title, f"{x_name}. " + "; ".join(told(b.name, b.value, unit) for b in rows), out)


class Goal(NamedTuple):
    name: str
    value: Optional[Spread]  # as times the must, more is better; None: not measured
    aim: Optional[float]  # as times the must
    css: str  # aim, must, missed, none
    word: str  # the verdict
    figure: str


GOAL_SHAPES = {"aim": "ours", "must": "peer", "missed": "peer2"}


def goals(title, rows):
    """Every target on one log axis on which the must is 1: where ours is, how far it spreads, where the aim is."""
    signs = [("sallyport, min to max", lambda x, y: error_bar(x + 2, y, x + 20, y, "aim") + marker(x + 11, y, "ours")),
             ("must", bound_sign("must")), ("aim", lambda x, y: line(x + 11, y - 6, x + 11, y + 6, "bound aim"))]
    out, y = legend(signs, 11)
    top = y + 6
    y = top
    values = [v for g in rows if g.value for v in g.value] + [g.aim for g in rows if g.aim] + [1]
    x = Axis([max(min(values), 1e-3), max(values)], 10, WIDTH - 10, log=True)
    bottom = top + 40 * len(rows) + 2
    out += [line(x.at(t), top, x.at(t), bottom, "grid") for t in x.ticks]
    out.append(line(x.at(1), top, x.at(1), bottom, "bound must"))
    for g in rows:
        out.append(text(1, y + 14, g.name))
        if g.value:
            out.append(text(WIDTH, y + 14, g.figure + (", misses" if g.css == "missed" else ""), "end", "figure"))
        at, parts = y + 27, ""
        if g.value:
            parts += line(x.at(1), at, x.at(g.value.median), at, f"reach {g.css}")
            parts += error_bar(x.at(max(g.value.min, x.low)), at, x.at(g.value.max), at, g.css)
        if g.aim:
            parts += line(x.at(g.aim), at - 7, x.at(g.aim), at + 7, "bound aim")
        if g.value:
            parts += marker(x.at(max(g.value.median, x.low)), at, GOAL_SHAPES[g.css], g.css)
        else:
            left = x.at(1) < WIDTH / 2
            parts += text(x.at(1) + (6 if left else -6), at + 4, "not measured", "start" if left else "end", "quiet")
        out.append(tip(f"{g.name}: {g.figure}, {g.word}", parts))
        y += 40
    out += [line(0, bottom, WIDTH, bottom, "axis")] + x_labels(x, x.ticks, bottom)
    out.append(text(WIDTH / 2, bottom + 31, "times what is a must (log; further right is better)", "middle", "quiet"))
    return svg(bottom + 37, title, "; ".join(f"{g.name}: {g.figure}, {g.word}" for g in rows), out)
