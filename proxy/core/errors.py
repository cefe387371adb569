"""Everything this proxy can refuse, and what the client is told.

One tree, one root, two levels.  The class carries what never varies (HTTP
status, OpenAI ``type`` and ``code``, whose fault it is); the instance carries
what does.  Only the edge turns these into bytes, through ``wire.faults``.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Fault = Literal["client", "proxy", "upstream"]


class ProxyError(Exception):
    """A refusal that reaches the client as an OpenAI error object.

    ``message`` is written for the person who reads it at the other end: it
    names what is wrong and what to do, and never quotes prompt text or a key.
    ``retry_after`` is in seconds; ``None`` says that waiting does not help.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = "internal_error"
    fault: ClassVar[Fault] = "proxy"
    is_shared: ClassVar[bool] = False
    """Whether it says nothing of who asks: all who wait for one answer are told."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


class BadRequest(ProxyError):
    """The request itself is wrong; sending it again will not help."""

    status = 400
    type = "invalid_request_error"
    code: ClassVar[str | None] = None
    fault = "client"


class InvalidBody(BadRequest):
    """The body is not the JSON that the endpoint takes."""

    code = "invalid_json"


class BodyTooLarge(BadRequest):
    """The body is over ``process.max_body``."""

    status = 413
    code = "request_too_large"


class UnsupportedEncoding(BadRequest):
    """The body is compressed in a way that a policy cannot read."""

    status = 415
    code = "unsupported_media_type"


class ContentFiltered(BadRequest):
    """What was asked or answered may not pass.

    The message names the rule and the kind of text, never the text.
    ``sequence`` is the number of the next Responses event, where the stream
    that it ends was numbered anew.
    """

    code = "content_filter"
    sequence: int | None = None


class RedactionFailed(BadRequest):
    """What must be redacted could not be looked at."""

    code = "redaction_failed"


class HeadTooLarge(BadRequest):
    """A line of the request's head is over the bound."""

    status = 431
    code = "headers_too_large"


class RequestTimeout(BadRequest):
    """The client was too slow in sending its request."""

    status = 408
    code = "request_timeout"


class Unauthenticated(BadRequest):
    """No key, or a key or token that names no tenant, or one that has expired."""

    status = 401
    code = "invalid_api_key"


class IdentityUnavailable(ProxyError):
    """No key of the identity provider is at hand to check a token with."""

    status = 503
    code = "identity_unavailable"


class PathNotAllowed(BadRequest):
    """The tenant may not use this path, or no scope of its token opens it."""

    status = 403
    type = "permission_error"
    code = "path_not_allowed"


class ModelNotAllowed(BadRequest):
    """The tenant may not use this model."""

    status = 403
    type = "permission_error"
    code = "model_not_allowed"


class ToolNotAllowed(BadRequest):
    """The tenant may not use this tool, or not so often."""

    status = 403
    type = "permission_error"
    code = "tool_not_allowed"


class ContentBlocked(BadRequest):
    """A guard found something; its name and the category are told, no text."""

    code = "content_policy_violation"
    is_shared = True


class UnknownModel(BadRequest):
    """No route of this tenant serves the model asked for."""

    status = 404
    code = "model_not_found"


class UnknownUrl(BadRequest):
    """No such path, or none that this program forwards."""

    status = 404
    code = "unknown_url"


class MethodNotAllowed(BadRequest):
    """The path exists, but not with this method."""

    status = 405
    code = "method_not_allowed"


class PromptTooLong(BadRequest):
    """The prompt is over ``max_input_tokens``."""

    code = "context_length_exceeded"


class RequestTooDear(BadRequest):
    """The request could cost more than ``max_cost_per_request``."""

    code = "max_cost_exceeded"


class PriceUnknown(BadRequest):
    """There is a budget in money, and nobody knows what this model costs."""

    status = 403
    type = "permission_error"
    code = "model_price_unknown"


class Disabled(BadRequest):
    """The tenant or the route was switched off by an operator."""

    status = 403
    type = "permission_error"
    code = "disabled"


class RateLimited(BadRequest):
    """Over a limit that time gives back."""

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"


class TokensLimited(RateLimited):
    """Over a limit of tokens that time gives back."""

    type = "tokens"


class BudgetSpent(BadRequest):
    """Over a budget of money; the next window is too far away to wait for."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"


class LimitsDown(ProxyError):
    """A limit cannot be checked just now, and must not be passed unchecked."""

    status = 503
    code = "limits_unavailable"


class Overloaded(ProxyError):
    """No room in the process or at the upstream just now; waiting helps."""

    status = 503
    type = "server_error"
    code = "overloaded"


class DetectorUnavailable(Overloaded):
    """A service that must look at the request does not answer."""

    code = "redaction_unavailable"


class Draining(Overloaded):
    """The process is shutting down and takes no new requests."""

    code = "shutting_down"


class GuardUnavailable(ProxyError):
    """A guard that must judge could not, and fails closed."""

    status = 503
    type = "server_error"
    code = "guard_unavailable"
    is_shared = True


class UpstreamFailed(ProxyError):
    """The upstream could not be reached, or broke off, or spoke nonsense."""

    status = 502
    type = "upstream_error"
    code = "upstream_error"
    fault = "upstream"
    is_shared = True


class UpstreamRefused(UpstreamFailed):
    """No connection could be made, so nothing was sent."""

    code = "upstream_unreachable"


class UpstreamReset(UpstreamFailed):
    """The upstream closed the connection before its answer was complete."""

    code = "upstream_reset"


class UpstreamProtocol(UpstreamFailed):
    """What the upstream sent is not HTTP, or not what it announced."""

    code = "upstream_protocol_error"


class UpstreamTruncated(UpstreamFailed):
    """A stream ended properly as HTTP, but without its terminal event."""

    code = "upstream_truncated"


class AnswerMismatch(UpstreamFailed):
    """The answer is not the JSON that its schema asks for."""

    code = "answer_schema_mismatch"


class UpstreamTimeout(UpstreamFailed):
    """The upstream gave no head, or went silent, within the time set."""

    status = 504
    code = "upstream_timeout"
