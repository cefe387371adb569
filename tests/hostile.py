"""Documents of the known forms in which something is not as it should be."""

import copy

from hypothesis import strategies as st

ODD = st.sampled_from(
    [None, True, -1, 0, 1.5, 2**63, "", "x", "stop", [], [[]], [5], ["x"], {}, {"x": []}, {"type": 7}]
)  # fmt: skip


def _places(value, path=()):
    """The path of every value below ``value``."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for step, inner in items:
        yield (*path, step)
        yield from _places(inner, (*path, step))


@st.composite
def spoiled(draw, document):
    """``document`` with up to three values gone or replaced by others."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(made))
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        holder = made
        for step in way:
            holder = holder[step]
        if draw(st.booleans()):
            holder[last] = copy.deepcopy(draw(ODD))
        else:
            del holder[last]
    return made
