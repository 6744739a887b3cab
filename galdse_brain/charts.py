"""Charts of a report as SVG that takes its colours from the page.

Authors
 * The galdse developers
"""

import math
from html import escape

import numpy as np

from galdse_brain.results import BIN

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 8, 34
BARS = 20


class Axes:
    """A frame with round ticks that maps values to positions.

    Arguments
    ---------
    x, y : array_like
        Values that the frame has to hold.
    x_label : str
        Below the frame.
    """

    def __init__(self, x, y, x_label):
        self.x_ticks, self.y_ticks = round_ticks(x), round_ticks(y)
        self.marks = [
            f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" '
            f'text-anchor="end">{escape(x_label)}</text>'
        ]
        for value in self.x_ticks:
            self.label(self.at(value, self.y_ticks[0]), value, 0, 14, "middle")
        for value in self.y_ticks:
            left, y = self.at(self.x_ticks[0], value)
            self.marks.append(
                f'<path class="grid" d="M{left} {y}H{WIDTH - RIGHT}"/>'
            )
            self.label((left, y), value, -5, 4, "end")

    def label(self, point, value, right, down, anchor):
        """Write a value near a point."""
        self.marks.append(
            f'<text x="{point[0] + right:.1f}" y="{point[1] + down:.1f}" '
            f'text-anchor="{anchor}">{value:g}</text>'
        )

    def at(self, x, y):
        """Position of a value."""
        (left, right), (low, high) = (
            self.x_ticks[[0, -1]],
            self.y_ticks[[0, -1]],
        )
        across = (x - left) / (right - left)
        up = (y - low) / (high - low)
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1),
        )

    def line(self, x, y, colour):
        """Join points."""
        points = " ".join("{},{}".format(*self.at(*p)) for p in zip(x, y))
        self.marks.append(
            f'<polyline class="line c{colour}" points="{points}"/>'
        )

    def dot(self, x, y, colour, title):
        """Mark a point that says its title under the mouse."""
        across, down = self.at(x, y)
        self.marks.append(
            f'<circle class="dot c{colour}" cx="{across}" cy="{down}" r="2.5">'
            f"<title>{escape(title)}</title></circle>"
        )

    def svg(self, title):
        """The whole chart."""
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(title)}">{"".join(self.marks)}</svg>'
        )


def round_ticks(values):
    """About five round numbers that hold all values between them."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    digit = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(m * digit for m in (1, 2, 5, 10) if 5 * m * digit >= high - low)
    first, last = math.floor(low / step), math.ceil(high / step)
    return np.arange(first, last + 1) * step


def score_against_snr(series, name):
    """Points of the first two signals, and means of 5 dB bins of all.

    Arguments
    ---------
    series : list
        Of each signal its points, a list of (id, snr, score), finite.
    name : str
        Of the score.
    """
    points = [point for signal in series for point in signal]
    axes = Axes(
        [snr for _, snr, _ in points],
        [value for _, _, value in points],
        "input SNR, dB",
    )
    for colour, signal in enumerate(series):
        for utterance, snr, value in signal * (colour < 2):
            axes.dot(snr, value, colour, f"{utterance}: {value:.3f}")
    for colour, signal in enumerate(series):
        bins = {}
        for _, snr, value in signal:
            bins.setdefault(snr // BIN, []).append((snr, value))
        means = np.array([np.mean(bins[key], axis=0) for key in sorted(bins)])
        axes.line(*means.reshape(-1, 2).T, colour)
    return axes.svg(f"{name} against input SNR")


def distribution(series, name):
    """Outlines of the histograms of several lists of finite scores."""
    edges = np.histogram_bin_edges(np.concatenate(series), BARS)
    counts = [np.histogram(scores, edges)[0] for scores in series]
    axes = Axes(edges, [0, np.max(counts)], "utterances by score")
    for colour, heights in enumerate(counts):
        if not heights.any():
            continue
        outline = np.concatenate([[0], heights.repeat(2), [0]])
        axes.line(edges.repeat(2), outline, colour)
    return axes.svg(f"Distribution of {name}")
