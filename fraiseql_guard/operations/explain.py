"""Explains where the cost of a document comes from, and which limits it meets.

The verdict is that of the Reader, and the tree is read from the plan that prices requests: neither can disagree with
what happens to a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import chain
from typing import Any, Final

import orjson

from fraiseql_guard.core.denial import Denial
from fraiseql_guard.core.rule_table import RuleTable
from fraiseql_guard.core.settings import Settings
from fraiseql_guard.graphql.analyzed_document import AnalyzedDocument, DocumentVariant, analyze_document
from fraiseql_guard.graphql.analyzer import RequestAnalysis
from fraiseql_guard.graphql.cost.arguments import SizeOrigin
from fraiseql_guard.graphql.cost.cost_rules import CostRules, PageSize
from fraiseql_guard.graphql.cost.pricing import Prices, unsliced
from fraiseql_guard.graphql.cost.schema import load_schema
from fraiseql_guard.graphql.cost.schema_table import SchemaSource, SchemaTable
from fraiseql_guard.graphql.cost.size_origins import origin_of
from fraiseql_guard.graphql.document_limits import LimitChecker, Measurements
from fraiseql_guard.graphql.reader import Reader
from fraiseql_guard.graphql.syntax.prescan import count
from fraiseql_guard.graphql.syntax.prescanner import MAX_LITERAL_NESTING, Prescanner
from fraiseql_guard.graphql.syntax.values import Bindings
from fraiseql_guard.operations.explained_rule import RequestHead, candidates_of, effects_of

_MAX_SHOWN: Final = 500
_MAX_SHOWN_DEPTH: Final = 60


@dataclass(frozen=True, slots=True)
class ExplainedField:
    """A field that costs something, or has children.

    ``cost`` is ``size`` times weight and children, plus the cost of the arguments once. Of a page, the size multiplies
    only the children that hold its items.
    """

    key: str
    field: str  # with its type, if that is known
    cost: int
    weight: int
    arguments: int
    size: int
    origin: SizeOrigin
    said_by: str  # the argument or $variable that gives the size
    times: int  # how often it stands at the root
    unsliced: bool  # a list whose size is unknown
    children: tuple[ExplainedField, ...]


@dataclass(frozen=True, slots=True)
class ExplainedOperation:
    """One operation, its cost, and the fields that make it up."""

    kind: str
    name: str | None
    cost: int
    fields: tuple[ExplainedField, ...]


@dataclass(frozen=True, slots=True)
class LimitVerdict:
    """One limit, and the document's number for it."""

    setting: str
    code: str
    limit: float
    actual: float

    @property
    def exceeded(self) -> bool:
        """Whether the document is over the limit."""
        return self.actual > self.limit


@dataclass(frozen=True, slots=True)
class ExplainedRefusal:
    """The refusal that the guard answers a request with."""

    code: str
    status: int
    message: str
    detail: str
    limit: float | None
    actual: float | None
    path: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the guard finds in a document. ``complexity`` is None if it cannot be measured."""

    query_hash: str
    complexity: int | None
    operations: tuple[ExplainedOperation, ...]
    limits: tuple[LimitVerdict, ...]
    unsliced: tuple[str, ...]  # fields whose lists have no slicing argument
    refusal: ExplainedRefusal | None
    shortened: bool  # the tree was too large to be shown in full
    rule: Mapping[str, Any] | None = None  # the rule that holds, and what it sets


def explain(
    text: str,
    settings: Settings,
    *,
    schema: SchemaSource | SchemaTable | None = None,
    variables: Mapping[str, Any] | None = None,
    operation_name: str | None = None,
    head: RequestHead | None = None,
) -> Explanation:
    """Explain a document with the variables of one request, whose ``head`` rules look at. SettingsError if the schema
    cannot be read."""
    table = schema if isinstance(schema, SchemaTable) else load_schema(schema)
    # What needs no parser; a document beyond it is not parsed, like that of a request.
    lexical, parses = _scan(text, settings)
    analyzed = _analyzed(text, settings, table) if parses else None
    # The tree shows all operations; the verdict needs one that can be run.
    if operation_name is None:
        operation_name = _first_name(analyzed)
    analysis = _ask_the_guard(text, settings, table, variables, operation_name, head)
    refusal, rule = _refusal(analysis.denial), analysis.rule
    if rule is not None:
        limits: dict[str, Any] = dict(rule.limits)
        settings = replace(settings, **limits)
    digest = sha256(text.encode(errors="replace")).hexdigest()
    values = variables or {}
    view = analyzed.variant(values) if analyzed is not None else None
    if analyzed is None or not isinstance(view, DocumentVariant):
        return Explanation(digest, None, (), lexical, (), refusal, shortened=False, rule=effects_of(rule))
    # What the plan says of these variables.
    tree = _Tree(analyzed, view, Bindings(values, analyzed.document.defaults))
    operations = tuple(tree.operations())
    return Explanation(
        query_hash=digest,
        complexity=tree.prices.complexity,
        operations=operations,
        limits=(*lexical, *_measured(settings, Measurements(analyzed, view, tree.prices))),
        unsliced=tuple(sorted({view.plan.terms[number].field for number in tree.unsliced})),
        refusal=refusal,
        shortened=tree.shortened,
        rule=effects_of(rule),
    )


def _analyzed(text: str, settings: Settings, table: SchemaTable | None) -> AnalyzedDocument | None:
    """The document as requests with it are measured; None if it is invalid."""
    prepared = analyze_document(text, settings, CostRules(settings, table))
    return prepared if isinstance(prepared, AnalyzedDocument) else None


def _first_name(analyzed: AnalyzedDocument | None) -> str | None:
    """The name of the first operation, if all have one: each of them is bounded, whichever a request names."""
    return None if analyzed is None or None in analyzed.names else analyzed.document.operations[0].name


def _measured(settings: Settings, numbers: Measurements) -> Iterable[LimitVerdict]:
    """The limits on what was measured, each once: aliases have two rows, of which an introspection's is one."""
    found: dict[str, LimitVerdict] = {}
    for setting, code, limit, actual in LimitChecker(settings, Prescanner(settings).max_nesting).compare(numbers):
        most = max(actual, found[setting].actual if setting in found else 0)
        found[setting] = LimitVerdict(setting, code.name, limit, most)
    return found.values()


def _scan(text: str, settings: Settings) -> tuple[tuple[LimitVerdict, ...], bool]:
    """The limits that need no parser, and whether the text can be parsed within them."""
    # One token more than allowed is enough to know that it is too long.
    scan = count(text, settings.max_tokens + 1)
    literal_depth = max(0, scan.literal_nesting - 1)
    verdicts = (
        LimitVerdict("max_query_chars", "QUERY_TOO_LONG", settings.max_query_chars, len(text)),
        LimitVerdict("max_tokens", "QUERY_TOO_MANY_TOKENS", settings.max_tokens, scan.tokens),
        LimitVerdict("max_directives", "TOO_MANY_DIRECTIVES", settings.max_directives, scan.directives),
        LimitVerdict("max_literal_depth", "LITERAL_TOO_DEEP", settings.max_literal_depth, literal_depth),
        LimitVerdict("max_operations", "TOO_MANY_OPERATIONS", settings.max_operations, scan.counters.operations),
        LimitVerdict("max_fragments", "TOO_MANY_FRAGMENTS", settings.max_fragments, scan.counters.fragments),
    )
    nests = scan.selection_nesting > Prescanner(settings).max_nesting or literal_depth > MAX_LITERAL_NESTING
    # As with a request, a text beyond these limits is not parsed.
    return verdicts, not (scan.fault is not None or nests or any(each.exceeded for each in verdicts))


def _ask_the_guard(
    text: str,
    settings: Settings,
    table: SchemaTable | None,
    variables: Mapping[str, Any] | None,
    name: str | None,
    head: RequestHead | None,
) -> RequestAnalysis:
    """What becomes of a request with this document."""
    try:
        body = orjson.dumps({"query": text, "variables": variables, "operationName": name})
    except orjson.JSONEncodeError:  # lone surrogates, numbers beyond a double
        body = b""
    rules = RuleTable.of(settings)
    candidates = None if rules is None else candidates_of(rules, settings, head)
    # Without a token, the stricter case: introspection may be for authenticated callers alone.
    reader = Reader(settings, table, rules=rules)
    return reader.read("POST", "application/json", b"", body, authenticated=False, candidates=candidates)


def _refusal(denial: Denial | None) -> ExplainedRefusal | None:
    """The refusal of a request; None if it would pass."""
    if denial is None:
        return None
    code = denial.code
    return ExplainedRefusal(
        code.name, code.status, code.message, denial.detail, denial.limit, denial.actual, denial.path
    )


class _Tree:
    """Reads the plan of one request as a tree, of 500 fields at most."""

    def __init__(self, prepared: AnalyzedDocument, view: DocumentVariant, bindings: Bindings) -> None:
        plan = view.plan
        self._prepared, self._plan, self._bindings = prepared, plan, bindings
        self._asked = plan.resolve(bindings)
        self._left = _MAX_SHOWN
        self.prices: Prices = plan.price(bindings)
        self.unsliced = frozenset(unsliced(plan.terms, plan.levels, self._asked))
        self.shortened = False

    def operations(self) -> Iterator[ExplainedOperation]:
        for item, root in zip(self._prepared.document.operations, self._plan.roots, strict=True):
            fields = tuple(self._fields(dict(root), depth=1, held=False))
            cost = sum(self.prices.costs[number] * times for number, times in root)
            yield ExplainedOperation(item.kind, item.name, min(cost, 2**53), fields)

    def _fields(self, numbers: Mapping[int, int], *, depth: int, held: bool) -> Iterator[ExplainedField]:
        for number, times in numbers.items():
            # A document may have more fields than a person can read.
            if self._left <= 0 or depth > _MAX_SHOWN_DEPTH:
                self.shortened = True
                return
            self._left -= 1
            yield self._field(number, times, depth=depth, held=held)

    def _field(self, number: int, times: int, *, depth: int, held: bool) -> ExplainedField:
        """One field with its children. ``held``: it holds the items of a page, whose size is counted already."""
        term, asked = self._plan.terms[number], self._asked[number]
        size = self.prices.sizes[number]
        origin, said_by = origin_of(term, asked, size, self._bindings)
        # The page above has multiplied it already: only a size of its own is shown.
        if held and asked.size is None and origin is not SizeOrigin.GUESSED:
            size, origin = 1, SizeOrigin.ONE
        paged = term.page is PageSize.ALWAYS or origin is SizeOrigin.GUESSED or asked.size is not None
        return ExplainedField(
            key=term.path[-1],
            field=term.field,
            cost=(self.prices.single if held else self.prices.costs)[number],
            weight=term.weight,
            arguments=asked.points,
            size=size,
            origin=origin,
            said_by=said_by,
            times=times,
            unsliced=number in self.unsliced,
            children=tuple(self._children(term.level, depth=depth + 1, paged=paged)),
        )

    def _children(self, level: int, *, depth: int, paged: bool) -> Iterator[ExplainedField]:
        """The fields at a level: first those that hold the items of a page, then the others."""
        ways = self._plan.levels[level] if level >= 0 else ()
        # Types that may stand here share fields: each is shown once.
        items = dict.fromkeys([child for way in ways for child in way[0]], 1)
        others = dict.fromkeys([child for way in ways for child in way[1]], 1)
        yield from self._fields(items, depth=depth, held=paged)
        yield from self._fields(others, depth=depth, held=False)


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The explanation as plain JSON data."""
    found = asdict(explanation)
    limits = [{**asdict(each), "exceeded": each.exceeded} for each in explanation.limits]
    return {"accepted": explanation.refusal is None, **found, "limits": limits}


def render(explanation: Explanation) -> str:
    """The explanation as text for a terminal: the tree of costs, the limits, and the verdict."""
    lines = _aligned(list(chain.from_iterable(map(_rows, explanation.operations))))
    if explanation.shortened:
        lines.append("... and more than can be shown")
    lines += ["", *(_verdict(each) for each in explanation.limits), ""]
    if explanation.unsliced:
        lines.append(f"lists without a slicing argument: {', '.join(explanation.unsliced)}")
    if explanation.rule is not None:
        effects = [f"{key}={value}" for key, value in explanation.rule.items() if key != "name"]
        lines.append(f"rule {explanation.rule['name']}: {' '.join(effects) or 'the settings hold'}")
    lines += [f"query_hash {explanation.query_hash}", _outcome(explanation.refusal)]
    return "\n".join(lines).strip("\n")


def _aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Names to the left, costs to the right, notes behind them."""
    width = max((len(name) for name, _, _ in rows), default=0)
    digits = max((len(cost) for _, cost, _ in rows), default=0)
    return [f"{name:<{width}}  {cost:>{digits}}  {note}".rstrip() for name, cost, note in rows]


def _rows(operation: ExplainedOperation) -> Iterator[tuple[str, str, str]]:
    """Name, cost and note of an operation and all its fields, indented by their depth."""
    title = f"{operation.kind} {operation.name or ''}".strip()
    yield title, str(operation.cost), ""
    # A stack instead of recursion: the tree may be deep.
    pending = [(field, 1) for field in reversed(operation.fields)]
    while pending:
        field, depth = pending.pop()
        yield "  " * depth + field.key, str(field.cost), _note(field)
        pending += [(child, depth + 1) for child in reversed(field.children)]


def _note(field: ExplainedField) -> str:
    source = f"{field.origin.value} {field.said_by}".strip()
    size = f"list of {field.size} ({source})" if field.origin is not SizeOrigin.ONE else ""
    weight = f"weight {field.weight}" if field.weight != 1 else ""
    arguments = f"arguments {field.arguments}" if field.arguments else ""
    times = f"{field.times} times" if field.times > 1 else ""
    unknown = "no slicing argument" if field.unsliced else ""
    return ", ".join(part for part in (size, unknown, weight, arguments, times) if part)


def _verdict(each: LimitVerdict) -> str:
    return f"{each.setting:<28}  {each.actual:>7g} of {each.limit:g}{'  EXCEEDED' if each.exceeded else ''}"


def _outcome(refusal: ExplainedRefusal | None) -> str:
    if refusal is None:
        return "accepted"
    place = f" at {refusal.path}" if refusal.path else ""
    return f"refused: {refusal.code} ({refusal.status}){place}. {refusal.detail or refusal.message}"
