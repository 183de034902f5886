"""A page about a market's events: numbers and plots in one file that opens without a network, script or font.

Plots are Matplotlib's, as SVG inside the page; the library is the extra `research`, and a page without it says so.
Time runs in messages, or in hours where messages have times.
"""

import html
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exchange.research.counterfactual import Comparison
from exchange.research.measures import Figure, summary
from exchange.research.tape import Changes, Tape
from exchange.rows import EventKind

POINTS = 1500  # of a line; longer ones are thinned, each point the last of its stretch
_INK, _SECOND, _FAINT = "#1f4e79", "#b4531a", "#8a94a0"

type_of_numbers = np.ndarray[Any, np.dtype[Any]]


class PageError(RuntimeError):
    """A page that can't be made; says what is missing."""


@dataclass(frozen=True)
class Section:
    """A plot under its heading, and what it shows; `svg` is empty where there is nothing to show."""

    title: str
    about: str
    svg: str


def new_axes(height: float = 2.9) -> tuple[Any, Any]:
    """A figure and its axes. PageError without Matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure as Drawing
    except ImportError as error:
        raise PageError("plots need Matplotlib: pip install 'carbonex[research]'") from error
    with rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        drawing = Drawing(figsize=(6.6, height), layout="constrained")
        axes = drawing.subplots()
        few_ticks(axes)
        return drawing, axes


def few_ticks(axes: Any) -> None:
    """Labels that do not run into one another: at most six on an axis, thousands marked."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.0f}")
        )


def svg_of(drawing: Any, name: str) -> str:
    """A figure as SVG to stand in a page: the same figure, the same text; `name` keeps its ids from others'."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = out.getvalue()
    text = re.sub(r'\b(id="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text[text.index("<svg") :])
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg ', lambda found: f"<svg {found[1] or ''}", text, count=1
    )


# ---------------------------------------------------------------- what is plotted


def clock_of(tape: Tape) -> tuple[type_of_numbers, str]:
    """When each message came, and in what: hours since the first, or the number of messages."""
    if tape.times_ns is None or not tape.messages:
        return np.arange(tape.messages, dtype=float), "message"
    return (tape.times_ns - tape.times_ns[0]) / 3.6e12, "hours since the first message"


def thinned(size: int, points: int = POINTS) -> type_of_numbers:
    """Which of so many points to draw."""
    return np.unique(np.linspace(0, size - 1, min(size, points)).astype(int)) if size else np.zeros(0, int)


def _lines(tape: Tape, lines: Sequence[tuple[str, type_of_numbers, str]], unit: str, name: str) -> str:
    """Step lines over time; none if no line has a number."""
    if not any((~np.isnan(values)).any() for _, values, _ in lines):
        return ""
    clock, over = clock_of(tape)
    drawn = thinned(tape.messages)
    drawing, axes = new_axes()
    for label, values, colour in lines:
        axes.plot(clock[drawn], values[drawn], drawstyle="steps-post", linewidth=1, color=colour, label=label)
    axes.set(xlabel=over, ylabel=unit)
    if len(lines) > 1:
        axes.legend(frameon=False, ncols=len(lines), loc="upper left", bbox_to_anchor=(0, 1.16), fontsize=10)
    return svg_of(drawing, name)


def _or_gap(prices: type_of_numbers) -> type_of_numbers:
    return np.where(prices > 0, prices, np.nan)


def price_and_volume(tape: Tape) -> str:
    trades, (clock, over) = tape.trades, clock_of(tape)
    if not trades.price_ticks.size:
        return ""
    drawing, axes = new_axes(3.4)
    when = clock[trades.message]
    drawn = thinned(when.size)
    bars = axes.twinx()
    few_ticks(bars)
    span = clock[-1] - clock[0] or 1.0
    bins = np.linspace(clock[0], clock[0] + span, 61)
    volume, _ = np.histogram(when, bins=bins, weights=trades.quantity)
    bars.bar(bins[:-1], volume, width=np.diff(bins), align="edge", color=_FAINT, alpha=0.35)
    bars.set(ylabel="volume, tCO2e", ylim=(0, 3 * (volume.max() or 1)))
    axes.plot(when[drawn], trades.price_ticks[drawn], ".", markersize=2, color=_INK)
    axes.set(xlabel=over, ylabel="trade price, ticks")
    axes.set_zorder(bars.get_zorder() + 1)
    axes.patch.set_visible(False)
    return svg_of(drawing, "price")


def depth_map(tape: Tape, across: int = 160, up: int = 80) -> str:
    """Quantity in the book by price and time: about the middle nine tenths of best prices, and as much again."""
    changes, path = tape.changes, tape.path
    best = np.concatenate([path.bid[path.bid > 0], path.ask[path.ask > 0]])
    if not best.size:
        return ""
    low, high = (float(one) for one in np.quantile(best, [0.05, 0.95]))
    room = max(8.0, (high - low) / 8)
    edges_price = np.unique(np.linspace(math.floor(low - room), math.ceil(high + room), up + 1).round())
    stops = np.unique(np.linspace(0, tape.messages, across + 1).astype(int))[1:] - 1
    grid = _depth_at(changes, tape.message_of, stops, edges_price)
    clock, over = clock_of(tape)
    drawing, axes = new_axes(3.4)
    shown = np.where(grid > 0, grid, np.nan)
    edges_time = np.concatenate([clock[:1], clock[stops]])
    if np.any(np.diff(edges_time) <= 0):  # messages of one moment
        edges_time = np.linspace(clock[0], max(clock[-1], clock[0] + 1e-9), stops.size + 1)
    top = float(np.nanquantile(shown, 0.98)) if (grid > 0).any() else 1.0
    mesh = axes.pcolormesh(edges_time, edges_price, shown, cmap="YlGnBu", vmin=0, vmax=top, rasterized=True)
    drawn = thinned(tape.messages)
    for prices, colour in ((path.bid, _INK), (path.ask, _SECOND)):
        axes.plot(clock[drawn], _or_gap(prices)[drawn], drawstyle="steps-post", linewidth=0.8, color=colour)
    axes.set(xlabel=over, ylabel="price, ticks", ylim=(edges_price[0], edges_price[-1]))
    drawing.colorbar(mesh, label="tCO2e", pad=0.01)
    return svg_of(drawing, "depth")


def _depth_at(
    changes: Changes, message_of: type_of_numbers, stops: type_of_numbers, edges: type_of_numbers
) -> type_of_numbers:
    """Quantity [price bin, stop] in the book after some messages."""
    row = np.searchsorted(edges, changes.price_ticks, side="right") - 1
    row[changes.price_ticks == edges[-1]] -= 1
    column = np.searchsorted(stops, message_of[changes.event])
    there = (row >= 0) & (row < edges.size - 1) & (column < stops.size)
    flat = row[there] * stops.size + column[there]
    added = np.bincount(flat, weights=changes.quantity[there], minlength=(edges.size - 1) * stops.size)
    return np.cumsum(added.reshape(edges.size - 1, stops.size), axis=1)


def impact_path(tape: Tape, steps: int = 60) -> str:
    """Mean move of the mid after a trade, in the direction of who took, by messages since."""
    trades, mid = tape.trades, tape.path.mid
    if trades.price_ticks.size < 2:
        return ""
    lags = np.unique(np.geomspace(1, max(2, min(2000, tape.messages - 1)), steps).astype(int))
    lags = np.concatenate([[0], lags])
    means, errors = [], []
    for lag in lags:
        at = trades.message + lag
        there = at < tape.messages
        moves = trades.sign[there] * (mid[at[there]] - trades.mid_before[there])
        moves = moves[~np.isnan(moves)]
        means.append(moves.mean() if moves.size else np.nan)
        errors.append(moves.std() / math.sqrt(moves.size) if moves.size > 1 else np.nan)
    mean, error = np.array(means), np.array(errors)
    if np.isnan(mean).all():
        return ""
    drawing, axes = new_axes()
    axes.fill_between(lags, mean - 2 * error, mean + 2 * error, color=_INK, alpha=0.15, linewidth=0)
    axes.plot(lags, mean, color=_INK, linewidth=1.2)
    axes.axhline(0, color=_FAINT, linewidth=0.8)
    axes.set_xscale("symlog")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set(xlabel="messages after the trade", ylabel="ticks", xlim=(0, lags[-1]))
    return svg_of(drawing, "impact")


def queue_place(tape: Tape) -> str:
    """The quantity ahead of the orders that waited longest, from their arrival on."""
    histories = [tape.queue(ref) for ref in _patient_orders(tape, 40)]
    histories.sort(key=lambda history: -history.message.size)
    shown = [history for history in histories[:5] if history.message.size > 1]
    if not shown:
        return ""
    drawing, axes = new_axes()
    for number, history in enumerate(shown):
        since = history.message - history.message[0]
        drawn = thinned(since.size)
        colour = (_INK, _SECOND, "#4d7f3a", "#7a4fa3", _FAINT)[number]
        axes.plot(since[drawn], history.ahead_quantity[drawn], drawstyle="steps-post", linewidth=1, color=colour)
    axes.set(xlabel="messages since the order came", ylabel="tCO2e ahead", ylim=(0, None))
    return svg_of(drawing, "queue")


def _patient_orders(tape: Tape, count: int) -> list[int]:
    """References of orders that traded after a longer wait than nine in ten others: so many, spread over the day."""
    trades, events = tape.trades, tape.events
    refs, first = np.unique(trades.maker, return_index=True)
    accepted = np.flatnonzero(events["kind"] == EventKind.ACCEPTED)
    named, came = np.unique(events["order_id"][accepted], return_index=True)
    known = np.isin(refs, named)
    refs, first = refs[known], first[known]
    waited = trades.message[first] - tape.message_of[accepted[came[np.searchsorted(named, refs)]]]
    patient = np.flatnonzero(waited >= np.quantile(waited, 0.9)) if waited.size else np.zeros(0, int)
    patient = patient[np.argsort(trades.message[first[patient]], kind="stable")]
    return [int(ref) for ref in refs[patient[thinned(patient.size, count)]]]


def sections(tape: Tape) -> list[Section]:
    """All plots of one tape."""
    path = tape.path
    pair = [("bids", path.bid_depth_5.astype(float), _INK), ("asks", path.ask_depth_5.astype(float), _SECOND)]
    return [
        Section(
            "Price and volume",
            "Each fill, and the volume in sixty equal stretches of time.",
            price_and_volume(tape),
        ),
        Section(
            "Depth of the book",
            "Quantity waiting at each price; the lines are best bid and best ask.",
            depth_map(tape),
        ),
        Section(
            "Spread",
            "Best ask less best bid, while both sides have orders.",
            _lines(tape, [("spread", path.spread, _INK)], "ticks", "spread"),
        ),
        Section(
            "Depth at five prices",
            "Quantity at the five best prices of each side.",
            _lines(tape, pair, "tCO2e", "sides"),
        ),
        Section(
            "Place in the queue",
            "Quantity that stood ahead of some orders that waited long and then traded.",
            queue_place(tape),
        ),
        Section(
            "Impact of a trade",
            "Mean move of the mid in the direction of who took, with two standard errors.",
            impact_path(tape),
        ),
    ]


# ---------------------------------------------------------------- the page


_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c232b; background: #f6f7f9; margin: 0; }
main { max-width: 1180px; margin: 0 auto; padding: 20px 16px 40px; }
h1 { font-size: 1.5rem; margin: 0 0 4px; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 0; }
p { margin: 2px 0 10px; color: #55606c; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
.card { background: #fff; border: 1px solid #dfe3e8; border-radius: 6px; padding: 14px 16px; min-width: 0; }
.card svg { width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { padding: 3px 6px; border-bottom: 1px solid #eceff2; text-align: right; vertical-align: top; font-weight: 400; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } thead th { color: #55606c; }
td.unit { text-align: left; color: #55606c; white-space: nowrap; }
.scroll { overflow-x: auto; }
@media (min-width: 960px) { .tall { grid-row: span 2; } }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 0 0 16px; font-size: .92em; }
dt { color: #55606c; } dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""


def number(value: float) -> str:
    """A number for people; a dash where there is none."""
    if math.isnan(value):
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.4g}"


def figures_table(columns: Sequence[tuple[str, Sequence[Figure]]]) -> str:
    """Figures side by side under their headings."""
    heads = "".join(f"<th>{html.escape(name)}</th>" for name, _ in columns)
    rows = [
        f"<tr><td>{html.escape(line[0].name)}</td>"
        + "".join(f"<td>{number(one.value)}</td>" for one in line)
        + f'<td class="unit">{html.escape(line[0].unit)}</td></tr>'
        for line in zip(*(figures for _, figures in columns), strict=True)
    ]
    return (
        f'<div class="scroll"><table><thead><tr><th>measure</th>{heads}<th></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def page(title: str, facts: Sequence[tuple[str, str]], tables: Sequence[str], plots: Sequence[Section]) -> str:
    """A whole page, which needs nothing beside itself."""
    told = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts)
    cards = [f'<section class="card tall"><h2>Measures</h2>{table}</section>' for table in tables]
    for plot in plots:
        shown = plot.svg or "<p>There is nothing to show.</p>"
        cards.append(
            f'<section class="card"><h2>{html.escape(plot.title)}</h2><p>{html.escape(plot.about)}</p>{shown}</section>'
        )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>"
        f"<h1>{html.escape(title)}</h1><dl>{told}</dl>\n"
        f'<div class="cards">{"".join(cards)}</div>\n</main></body></html>\n'
    )


def tape_page(title: str, facts: Sequence[tuple[str, str]], tape: Tape) -> str:
    """The page of one run. PageError without Matplotlib."""
    return page(title, facts, [figures_table([("value", summary(tape))])], sections(tape))


def comparison_page(title: str, made: Comparison) -> str:
    """The page of a counterfactual beside its original. PageError without Matplotlib."""
    header = made.header
    facts = [
        ("mode", f"{header['mode']}: {header['about']}"),
        ("seed", "none: nothing was drawn" if header["seed"] is None else str(header["seed"])),
        ("versions", ", ".join(f"{name} {number}" for name, number in header["versions"].items())),
        *((name.replace("_sha256", ", SHA-256"), value) for name, value in header["inputs"].items()),
        ("again", header["reproduce"]),
    ]
    columns = [("original", summary(made.original_tape)), ("counterfactual", summary(made.tape))]
    differs = [
        Section(
            "What the change did to the price",
            "Mid of the counterfactual less that of the original, after each message of the flow.",
            _impact(made),
        ),
        Section("Own place in the queue", "Quantity ahead of the orders that were changed.", _own_queue(made)),
    ]
    return page(title, facts, [figures_table(columns)], [*differs, *sections(made.tape)])


def _impact(made: Comparison) -> str:
    impact = made.path()["impact"].to_numpy(zero_copy_only=False).astype(float)
    if not (~np.isnan(impact)).any():
        return ""
    drawn = thinned(impact.size)
    drawing, axes = new_axes()
    axes.axhline(0, color=_FAINT, linewidth=0.8)
    axes.plot(drawn, impact[drawn], drawstyle="steps-post", linewidth=1, color=_INK)
    axes.set(xlabel="row of the flow", ylabel="ticks")
    return svg_of(drawing, "difference")


def _own_queue(made: Comparison) -> str:
    histories = [history for ref in made.changed.touched[:20] if (history := made.tape.queue(ref)).message.size]
    if not histories:
        return ""
    drawing, axes = new_axes()
    for history in histories:
        drawn = thinned(history.message.size)
        colour, marker = (_INK, "." if drawn.size < 50 else "")
        axes.plot(history.message[drawn], history.ahead_quantity[drawn], drawstyle="steps-post", linewidth=1,
                  color=colour, marker=marker)  # fmt: skip
    axes.set(xlabel="message", ylabel="tCO2e ahead", ylim=(0, None))
    return svg_of(drawing, "own")
