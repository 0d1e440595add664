"""Tables and a picture from the results of bench_clip.py.

Prints a table for every case. With ``--readme`` writes the columns BRIEF of the first case of SHOWN, with
machine, versions and date, between the marker lines of that file; with ``--tables`` all columns of SHOWN
into that file; with ``--picture`` draws the ratios of DRAWN.
"""

import argparse
import json
import os
from pathlib import Path

BEGIN, END = "<!-- benchmark:begin -->", "<!-- benchmark:end -->"

# The table gives times of OWN, and ratios to the first of these for all others.
OWN = ("numclip", "Clipper")
SHOWN = (
    ("in place, clipped", "alone"),
    ("in place, clipped", "after a matmul"),
    ("in place, not clipped", "alone"),
    ("in place, not clipped", "after a matmul"),
    ("fresh, clipped", "alone"),
)
DRAWN = SHOWN[:2]
BRIEF = ("numclip", "numpy", "torch", "tf.function")
# The limit of the machine is no peer.
LIMIT = "limit"
UNCLIPPED = "without clipping"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="JSON file of pytest-benchmark")
    parser.add_argument(
        "--readme", type=Path, help="Markdown file with the marker lines, for the brief table"
    )
    parser.add_argument("--tables", type=Path, help="Markdown file with the marker lines, for all tables")
    parser.add_argument("--picture", type=Path, help="picture to draw")
    options = parser.parse_args()

    results = json.loads(options.results.read_text(encoding="utf-8"))
    medians, sizes = collect(results["benchmarks"])
    tables = {situation: table(rows, sizes, peers_of(rows)) for situation, rows in medians.items()}
    print("\n".join(section(situation, tables[situation]) for situation in tables))
    print(training(results["benchmarks"]))
    print(origin(results))

    if options.picture:
        draw({situation: medians[situation] for situation in DRAWN if situation in medians}, options.picture)
    shown = [situation for situation in SHOWN if situation in medians]
    trained, source = training(results["benchmarks"]), origin(results)
    if options.readme:
        brief = section(shown[0], table(medians[shown[0]], sizes, BRIEF))
        notes = peers_ahead([medians[situation] for situation in shown]) + trained + source
        insert([brief, link(options.picture, options.readme), notes], options.readme)
    if options.tables:
        sections = [section(situation, tables[situation]) for situation in shown]
        insert([link(options.picture, options.tables), *sections, trained, source], options.tables)


def link(picture, page):
    """Return the Markdown that shows the picture on a page; empty if none was drawn."""
    if picture is None:
        return ""
    return f"![Ratios to numclip]({Path(os.path.relpath(picture, page.parent)).as_posix()})\n"


def collect(benchmarks):
    """Return {(case, when): {workload: {peer: median in s}}} and {workload: (arrays, parameters)}."""
    medians, sizes = {}, {}
    for benchmark in benchmarks:
        if benchmark["group"] == "training":
            continue
        info = benchmark["params"] | benchmark["extra_info"]
        situation = info["case"], info["prelude"]
        row = medians.setdefault(situation, {}).setdefault(info["workload"], {})
        # A peer that was timed in turns with numclip is scaled by the ratio of both times of numclip.
        scale = row["numclip"] / info["numclip in turn"] if "numclip in turn" in info else 1
        row[info["peer"]] = benchmark["stats"]["median"] * scale
        sizes[info["workload"]] = info["arrays"], info["parameters"]
    return medians, sizes


def peers_of(rows):
    """Return all peers of a table, numclip's own first."""
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return [name for name in OWN if name in names] + [name for name in names if name not in OWN]


def table(rows, sizes, peers):
    """Return a Markdown table: a line per workload, times for numclip, ratios for its peers."""
    lines = [["workload (arrays, parameters)", *peers], ["---", *["---:"] * len(peers)]]
    for workload, row in rows.items():
        arrays, parameters = sizes[workload]
        lines.append([f"{workload} ({arrays}, {parameters:,})", *(cell(peer, row) for peer in peers)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def peers_ahead(tables):
    """Say how often a peer is faster than numclip, and by how much at most."""
    ratios = [
        row[peer] / row[OWN[0]]
        for rows in tables
        for row in rows.values()
        for peer in row
        if peer not in (*OWN, LIMIT)
    ]
    faster = [ratio for ratio in ratios if ratio < 1]
    least = f", {min(faster):.2f}× in the worst case" if faster else ""
    return f"Of all {len(ratios)} comparisons with a peer, the peer is faster in {len(faster)}{least}.\n"


def cell(peer, row):
    """Return a time or a ratio; empty if the peer was not run."""
    if peer not in row:
        return ""
    if peer in OWN:
        return duration(row[peer])
    ratio = row[peer] / row[OWN[0]]
    return f"{ratio:.1f}×" if ratio >= 1 else f"{ratio:.2f}×"


def duration(seconds):
    """Format a time with three digits and a unit."""
    # 0.9995 rounds up to 1, and would be 1000 of the unit below.
    if seconds >= 0.9995:
        return f"{seconds:.3g} s"
    if seconds >= 0.9995e-3:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.3g} µs"


def training(benchmarks):
    """Say how many steps per second the example trains at, by how it clips."""
    speeds = {
        benchmark["params"]["clip"]: benchmark["extra_info"]["steps"] / benchmark["stats"]["median"]
        for benchmark in benchmarks
        if benchmark["group"] == "training"
    }
    if not speeds:
        return ""
    clipped = ", ".join(f"{speed:.0f} by {name}" for name, speed in speeds.items() if name != UNCLIPPED)
    return (
        f"Steps per second of `examples/char_rnn.py`: {speeds[UNCLIPPED]:.0f} without clipping; "
        f"with every step clipped, {clipped}.\n"
    )


def section(situation, markdown):
    """Return a table below its title."""
    case, when = situation
    return f"**{case[0].upper()}{case[1:]}, {when}**\n\n{markdown}\n"


def origin(results):
    """Describe the machine, the versions and the date."""
    machine = results["machine_info"]
    threads = " and ".join(f"{count} {name}" for name, count in machine["threads"].items())
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        "Medians of float32 arrays; 2× means: takes twice as long as numclip; an empty cell: not run. "
        f"{results['datetime'][:10]}, {machine['cpu']}, {machine['cores']} cores, {machine['system']}; "
        f"{threads} threads; {versions}.\n"
    )


def insert(parts, page):
    """Replace the text between the marker lines of a page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page}: no place for the table, it needs a line {BEGIN} and below it a line {END}")
    text = "\n".join(part for part in parts if part)
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def draw(medians, picture):
    """Draw bars of the ratios, a panel per situation, a group per workload."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, panels = plt.subplots(
        len(medians),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(10, 1 + 3 * len(medians)),
        layout="constrained",
    )
    # A panel may lack some workloads.
    places = {name: x for x, name in enumerate(max(medians.values(), key=len))}
    for panel, ((case, when), rows) in zip(panels[:, 0], medians.items(), strict=True):
        peers = [name for name in peers_of(rows) if name != OWN[0]]
        width = 0.8 / len(peers)
        for i, peer in enumerate(peers):
            offset = (i - (len(peers) - 1) / 2) * width
            bars = [
                (places[name] + offset, row[peer] / row[OWN[0]]) for name, row in rows.items() if peer in row
            ]
            positions, ratios = zip(*bars, strict=True)
            # Bars grow from 1, up where numclip is the faster one, down where the peer is.
            panel.bar(positions, [ratio - 1 for ratio in ratios], width, bottom=1, label=peer)
        panel.axhline(1, color="black", linewidth=1)
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.yaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}×")
        panel.grid(axis="y", alpha=0.3)
        panel.set_axisbelow(True)
        panel.set_title(f"{case}, {when}", loc="left")
        panel.set_xticks(list(places.values()), list(places), rotation=20)
    figure.supylabel("time / time of numclip")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside upper right", frameon=False, ncols=4
    )
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main()
