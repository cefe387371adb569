"""How large a request is: an estimate of its tokens, and bounds on one request.

Prompts over ``max_input_tokens`` are refused, answers are bounded by
``max_output_tokens`` and by what ``max_cost_per_request`` leaves for them.
What the upstream reports at the end teaches the estimator.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from proxy.core.errors import PriceUnknown, PromptTooLong, RequestTooDear
from proxy.core.exchange import End, Exchange, Usage
from proxy.core.policy import Answer, Policy
from proxy.rules.allowance import AllowanceTable
from proxy.rules.estimate import Estimator, sizes_of
from proxy.rules.prices import MILLION, Price
from proxy.rules.spending import GENERATES
from proxy.wire.tokens import choices_of, prompt_of, wanted_of

NEAR: Final = 0.8
"""Share of ``max_input_tokens`` from which on a prompt is counted exactly."""

Count = Callable[[Exchange], Awaitable["int | None"]]
"""Counts a prompt exactly where its target can; ``None`` where it cannot."""


class MeasurePolicy(Policy):
    """Sets ``estimate``, ``choices`` and ``max_output``, or refuses."""

    name = "measure"

    def __init__(
        self,
        table: AllowanceTable,
        estimator: Estimator,
        find_price: Callable[[str], Price | None],
        count: Count,
    ) -> None:
        self._table = table
        self._estimator = estimator
        self._find_price = find_price
        self._count = count

    @property
    def is_idle(self) -> bool:
        """Whether nobody has limits."""
        return self._table.is_empty

    async def on_request(self, x: Exchange) -> Answer | None:
        """Estimate; 400 for a prompt that is too long or too dear."""
        sheet = self._table.find(x.tenant, x.key_name, x.model, is_stream=x.stream)
        body = x.body
        if sheet is None or body is None or not x.endpoint.is_metered:
            return None
        does_answer = x.endpoint.name in GENERATES
        wanted = wanted_of(body, x.endpoint.name) if does_answer else 0
        choices = choices_of(body) if does_answer else 1
        most = sheet.max_output if does_answer else None
        if most is not None and (wanted is None or wanted > most):
            x.max_output = wanted = most
        x.measured = sizes = sizes_of(*prompt_of(body))
        x.choices = choices
        x.is_bounded = wanted is not None
        billed = x.billed
        learned = self._estimator.known(x.tenant, billed)
        tokens, most_tokens = learned.prompt(sizes)
        limit = sheet.max_input
        if limit is not None and tokens > limit * NEAR:
            exact = await self._count(x)
            if exact is not None:
                tokens = most_tokens = exact
            if tokens > limit:
                about = "about " if exact is None else ""
                raise PromptTooLong(
                    f"the prompt has {about}{tokens} tokens, and {limit} are allowed",
                    param="messages" if "messages" in body else "input",
                )
        answer = learned.answer(wanted)
        if wanted is not None and body.get("background") is True:
            answer = wanted  # it is made where nobody sees what it used
        x.estimate = Usage(tokens, answer * choices, estimated=True)
        x.prompt_most = most_tokens
        if sheet.max_cost is not None:
            self._bound_cost(x, billed, sheet.max_cost, wanted)
        return None

    def _bound_cost(self, x: Exchange, billed: str, most_nanos: int, wanted: int | None) -> None:
        """Leave the answer what the prompt leaves of the money."""
        price = self._find_price(billed)
        if price is None:
            raise PriceUnknown(
                f"the model {billed[:100]!r} has no price, and what a request may cost is bounded"
            )
        estimate = x.estimate
        assert estimate is not None
        left = most_nanos - estimate.prompt * price.input // MILLION
        if not price.output or x.endpoint.name not in GENERATES:
            most = None if left >= 0 else 0
        else:
            most = max(0, left) * MILLION // price.output // x.choices
        if most is None:
            return
        if most < 1:
            raise RequestTooDear(
                f"the prompt alone costs about as much as a request may "
                f"(${most_nanos / 1e9:g}); shorten it or use a cheaper model"
            )
        if wanted is None or wanted > most:
            x.max_output = most
            estimate.completion = min(estimate.completion, most * x.choices)

    def on_end(self, x: Exchange, end: End) -> None:
        """Learn from an answer that was counted and came whole."""
        usage = x.usage
        if (
            x.measured is not None
            and usage is not None
            and not usage.estimated
            and end.kind == "complete"
        ):
            self._estimator.learn(x.tenant, x.billed, x.measured, usage, x.choices, x.started)
