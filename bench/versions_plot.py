"""The picture of versions_bench.py: three panels, a group of bars for each series, one bar for each tool, as SVG."""
import math
import os

COLOURS = {"cacs": "#22aa77", "restic": "#888888", "borg": "#bbbbbb", "casync": "#555555", "borg-fixed": "#ccaa66"}
PANELS = [("ingest_s", 1, "seconds for a further version"), ("stored_bytes", 1e6, "MB stored for it; line: what changed"),
          ("restore_s", 1, "seconds to restore the last")]
WIDTH, HEIGHT, LEFT, GAP = 960, 200, 60, 60
DECADES = 5  # the scale is logarithmic and goes down from the decade of the greatest value by this much


def text(x, y, words, more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{words}</text>'


def panel(results, top, key, unit, title):
    tools = list(results[0]["tools"])
    values = [result["tools"][tool][key] / unit for result in results for tool in tools]
    high = math.ceil(math.log10(max(max(values), 1e-3)))
    low = max(high - DECADES, math.floor(math.log10(max(min(values), 1e-3))))

    def height(value):
        return HEIGHT * min(1, max(0, (math.log10(max(value, 1e-9)) - low) / max(1, high - low)))

    parts = [text(LEFT, top - 10, title, 'font-weight="bold"')]
    for decade in range(low, high + 1):
        y = top + HEIGHT - height(10.0 ** decade)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>')
        parts.append(text(LEFT - 6, y + 4, f"{10.0 ** decade:g}", 'text-anchor="end"'))
    group = (WIDTH - LEFT) / len(results)
    thickness = group * 0.8 / len(tools)
    for i, result in enumerate(results):
        x = LEFT + group * (i + 0.1)
        for j, tool in enumerate(tools):
            value = result["tools"][tool][key] / unit
            h = height(value)
            parts.append(f'<rect x="{x + thickness * j:.1f}" y="{top + HEIGHT - h:.1f}" width="{thickness - 1:.1f}" height="{h:.1f}"'
                         f' fill="{COLOURS[tool]}"><title>{tool}: {value:.2f}</title></rect>')
        if key == "stored_bytes":
            y = top + HEIGHT - height(max(result["changed_bytes"]) / unit)
            parts.append(f'<line x1="{x:.0f}" x2="{x + group * 0.8:.0f}" y1="{y:.0f}" y2="{y:.0f}" stroke="#c22" stroke-width="2"/>')
        name = result["series"] + (" %" if result["series"][0].isdigit() else "")
        parts.append(text(x + group * 0.4, top + HEIGHT + 16, name, 'text-anchor="middle"'))
    return "\n".join(parts)


def plot_versions(out, results):
    if not results:
        return
    legend = ""
    for i, tool in enumerate(results[0]["tools"]):
        legend += f'<rect x="{LEFT + 110 * i}" y="14" width="12" height="12" fill="{COLOURS[tool]}"/>' + text(LEFT + 18 + 110 * i, 25, tool)
    body = "\n".join(panel(results, 70 + i * (HEIGHT + GAP), *what) for i, what in enumerate(PANELS))
    with open(os.path.join(out, "versions.svg"), "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 20}" height="{70 + 3 * (HEIGHT + GAP)}" font-family="sans-serif"'
                   f' font-size="13">\n<rect width="100%" height="100%" fill="#fff"/>\n{legend}\n{body}\n</svg>\n')
