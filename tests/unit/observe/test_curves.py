import re
from xml.etree import ElementTree as ET

from proxy.observe.curves import Curve, svg

CURVES = [Curve("hits <of> a & b", [1.0, 0.5, 0.0], is_good=True, is_dashed=False),
          Curve("false hits", [0.4, 0.2, 0.0], is_good=False, is_dashed=True)]  # fmt: skip
NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(at=(0.7, 0.8, 0.9), curves=CURVES):
    return svg("Thresholds", "least cosine", list(at), curves, 0.05)


def test_each_curve_falls_from_left_to_right():
    lines = [
        line.get("points").split() for line in ET.fromstring(drawn()).iter(f"{NAMESPACE}polyline")
    ]

    assert len(lines) == 2
    assert lines[0] == ["64.0,78.0", "402.0,231.0", "740.0,384.0"]


def test_axes_legend_and_title_are_there_in_words():
    words = [text.text for text in ET.fromstring(drawn()).iter(f"{NAMESPACE}text")]

    assert {"Thresholds", "least cosine", "0 %", "100 %", "0.7", "0.9"} <= set(words)
    assert {"hits <of> a & b", "false hits"} <= set(words)


def test_it_stands_alone_and_has_colours_for_light_and_dark():
    picture = drawn()

    assert "prefers-color-scheme: dark" in picture
    assert re.findall(r"https?://[^\" ]+", picture) == ["http://www.w3.org/2000/svg"]


def test_one_threshold_can_be_drawn():
    ET.fromstring(drawn((0.9,), [Curve("hits", [1.0], is_good=True, is_dashed=False)]))
