"""Which role may call which route, and in whose name: one line a route.

`as` names the field that says who acts: it must be the key's own account, whatever the role.
`of` names the field that says whose matter it is: a member's key reaches its own account's only, others reach all.
Whoever asks of another's account is told what one who asks of none is told: there is no such account.

What the account itself may do, by the class of its participant and its status, the exchange decides after that
(:mod:`registry.accounts`); so a role opens a door and no more. A route that has no line here is closed to everybody.
"""

import re
from typing import NamedTuple

from api.access.keys import NAMELESS, Role

MEMBERS = frozenset({Role.TRADER, Role.COMPLIANCE_OFFICER, Role.BANK})
READERS = frozenset({Role.OPERATOR, Role.CLEARING_OFFICER, Role.REGISTRY_ADMIN, Role.AUDITOR})
GROUPS = {
    "all": frozenset(Role),
    "members": MEMBERS,
    "readers": READERS,
    "trader": frozenset({Role.TRADER}),
    "compliance": frozenset({Role.COMPLIANCE_OFFICER}),
    "registry": frozenset({Role.REGISTRY_ADMIN}),
    "clearing": frozenset({Role.CLEARING_OFFICER, Role.OPERATOR}),
    "bank": frozenset({Role.BANK}),
    "operator": frozenset({Role.OPERATOR}),
    "auditor": frozenset({Role.AUDITOR}),
}

# Without a key: whether the exchange lives, its documentation, the way in.
OPEN = frozenset({
    "/", "/health", "/health/live", "/health/ready", "/docs", "/redoc", "/openapi.json",
    "/asyncapi", "/asyncapi.json", "/v1/session",
})  # fmt: skip
OPEN_BELOW = ("/static-offline-docs/",)

TABLE = """
GET    /v1/me                                                       all
GET    /v1/keys                                                     operator auditor
POST   /v1/keys                                                     operator
POST   /v1/keys/{key_id}/rotation                                   operator
POST   /v1/keys/{key_id}/revocation                                 operator
PATCH  /v1/keys/{key_id}/limits                                     operator
GET    /v1/denials                                                  operator auditor
GET    /metrics                                                     operator auditor
PUT    /v1/accounts/{account_id}/kill-switch                        trader operator           of path.account_id
DELETE /v1/accounts/{account_id}/kill-switch                        trader operator           of path.account_id

POST   /v1/orders                                                   trader                    as body.account_id
POST   /v1/orders/batch                                             trader                    as body.account_id
PATCH  /v1/orders/{order_id}                                        trader                    as body.account_id
DELETE /v1/orders                                                   trader operator           of query.account_id
DELETE /v1/orders/{order_id}                                        trader operator           of query.account_id
GET    /v1/orders                                                   trader readers            of query.account_id
GET    /v1/orders/{order_id}                                        trader readers            of query.account_id
GET    /v1/orders/{order_id}/history                                trader readers            of query.account_id
GET    /v1/fills                                                    trader readers            of query.account_id

GET    /v1/market                                                   all
GET    /v1/rules                                                    all
GET    /v1/calendar                                                 all
GET    /v1/currencies                                               all
GET    /v1/instruments                                              all
GET    /v1/instruments/{symbol}                                     all
GET    /v1/instruments/{symbol}/auction                             all
GET    /v1/books/{symbol}                                           all
GET    /v1/trades                                                   all
GET    /v1/candles                                                  all
GET    /v1/summary                                                  all
GET    /v1/units                                                    all
GET    /v1/units/{code}                                             all
GET    /v1/roles                                                    all
GET    /v1/currencies/{code}/rates                                  all
GET    /v1/emission-factors                                         all
GET    /v1/methodologies                                            all
GET    /v1/projects                                                 all
GET    /v1/projects/{project_id}                                    all
GET    /v1/reductions                                               all
GET    /v1/reductions/{reduction}                                   all
GET    /v1/stream                                                   all

GET    /v1/state                                                    readers
GET    /v1/checks                                                   readers
GET    /v1/reconciliation                                           readers
POST   /v1/currencies                                               operator
POST   /v1/instruments                                              operator
POST   /v1/trading-days                                             operator
PUT    /v1/market/phase                                             operator
POST   /v1/market/halts                                             operator
DELETE /v1/market/halts                                             operator
PUT    /v1/clock                                                    operator
PUT    /v1/timers                                                   operator
POST   /v1/settlements                                              clearing
GET    /v1/settlements/{day}                                        readers
POST   /v1/trades/busts                                             clearing                  as body.by
POST   /v1/trades/corrections                                       clearing                  as body.by
GET    /v1/trades/corrections                                       readers

GET    /v1/accounts                                                 readers
POST   /v1/accounts                                                 operator registry
GET    /v1/accounts/{account_id}                                    members readers           of path.account_id
POST   /v1/accounts/{account_id}/deposits                           operator bank
POST   /v1/accounts/{account_id}/withdrawals                        trader                    as path.account_id
POST   /v1/accounts/{account_id}/transfers                          trader                    as path.account_id
POST   /v1/issuances                                                registry operator
GET    /v1/accounts/{account_id}/serials                            members readers           of path.account_id

POST   /v1/accounts/{account_id}/status                             registry                  as body.by
POST   /v1/units                                                    registry                  as body.by
POST   /v1/title-transfers                                          trader registry           as body.by
POST   /v1/accounts/{account_id}/retirements                        trader compliance         as path.account_id
POST   /v1/accounts/{account_id}/cancellations                      registry                  as body.by
POST   /v1/accounts/{account_id}/locks                              trader registry           as body.by
GET    /v1/accounts/{account_id}/locks                              members readers           of path.account_id
POST   /v1/locks/{lock_id}/release                                  trader registry           as body.by
POST   /v1/locks/{lock_id}/enforcement                              trader registry           as body.by
GET    /v1/units/{code}/serials/{number}                            readers
GET    /v1/locks                                                    readers
GET    /v1/locks/{lock_id}                                          readers
GET    /v1/accounts/{account_id}/registry-statement                 members readers           of path.account_id
GET    /v1/registry/report                                          readers
GET    /v1/registry/large-holders                                   readers

GET    /v1/periods                                                  all
GET    /v1/periods/{year}                                           all
POST   /v1/periods                                                  registry                  as body.by
POST   /v1/accounts/{account_id}/activities                         registry                  as body.by
GET    /v1/accounts/{account_id}/activities                         members readers           of path.account_id
POST   /v1/periods/{year}/coverage                                  registry                  as body.by
GET    /v1/periods/{year}/coverage                                  readers
POST   /v1/periods/{year}/obligors/{account_id}/bases               registry                  as body.by
POST   /v1/periods/{year}/pre-allocation                            registry                  as body.by
POST   /v1/periods/{year}/determination                             registry                  as body.by
POST   /v1/periods/{year}/surrender-window                          registry                  as body.by
POST   /v1/periods/{year}/reminders                                 registry                  as body.by
POST   /v1/periods/{year}/surrenders                                compliance                as body.account_id
GET    /v1/periods/{year}/surrenders                                readers
POST   /v1/surrenders/{request_id}/confirmation                     registry                  as body.by
POST   /v1/surrenders/{request_id}/rejection                        registry                  as body.by
POST   /v1/periods/{year}/obligors/{account_id}/enforcement         registry                  as body.by
POST   /v1/periods/{year}/obligors/{account_id}/parked-release      registry                  as body.by
POST   /v1/periods/{year}/closing                                   registry                  as body.by
POST   /v1/periods/{year}/obligors/{account_id}/fine-payment        compliance trader         as path.account_id
POST   /v1/periods/{year}/expiry                                    registry                  as body.by
POST   /v1/periods/{year}/carry-overs                               registry                  as body.by
GET    /v1/periods/{year}/obligors                                  readers
GET    /v1/periods/{year}/obligors/{account_id}                     members readers           of path.account_id
GET    /v1/compliance/records                                       all

POST   /v1/emission-factors                                         registry                  as body.by
POST   /v1/emissions/{year}/opening                                 registry                  as body.by
POST   /v1/emissions/{year}/reports/{account_id}/draft              compliance                as path.account_id
POST   /v1/emissions/{year}/reports/{account_id}/submission         compliance                as path.account_id
POST   /v1/emissions/{year}/reports/{account_id}/verification       compliance                as body.by
POST   /v1/emissions/{year}/reports/{account_id}/restatement        compliance registry       as body.by
POST   /v1/emissions/{year}/reports/{account_id}/assessment         registry                  as body.by
POST   /v1/emissions/{year}/reports/{account_id}/sanction           registry                  as body.by
POST   /v1/emissions/{year}/closing                                 registry                  as body.by
GET    /v1/emissions                                                readers
GET    /v1/emissions/{year}/reports                                 readers
GET    /v1/emissions/{year}/reports/{account_id}                    members readers           of path.account_id

POST   /v1/methodologies                                            registry                  as body.by
POST   /v1/methodologies/{code}/withdrawal                          registry                  as body.by
POST   /v1/projects                                                 compliance registry       as body.by
POST   /v1/projects/{project_id}/validation                         compliance registry       as body.by
POST   /v1/projects/{project_id}/publication                        compliance registry       as body.by
POST   /v1/projects/{project_id}/registration                       registry                  as body.by
POST   /v1/projects/{project_id}/rejection                          registry                  as body.by
POST   /v1/projects/{project_id}/suspension                         registry                  as body.by
POST   /v1/projects/{project_id}/reinstatement                      registry                  as body.by
POST   /v1/projects/{project_id}/reductions                         compliance registry       as body.by
POST   /v1/reductions/green-power                                   compliance registry       as body.by
POST   /v1/reductions/inclusion                                     compliance registry       as body.by
POST   /v1/reductions/{reduction}/verification                      compliance registry       as body.by
POST   /v1/reductions/{reduction}/publication                       compliance registry       as body.by
POST   /v1/reductions/{reduction}/issuance                          registry                  as body.by
POST   /v1/reductions/{reduction}/rejection                         registry                  as body.by
POST   /v1/reductions/{reduction}/revocation                        registry                  as body.by
POST   /v1/reductions/{reduction}/replacements                      compliance registry       as body.by
GET    /v1/credits/duties                                           readers
GET    /v1/credits/overdue                                          readers

POST   /v1/currencies/{code}/rates                                  clearing                  as body.by
POST   /v1/accounts/{account_id}/conversions                        trader                    as path.account_id
GET    /v1/accounts/{account_id}/conversions                        members readers           of path.account_id
POST   /v1/accounts/{account_id}/currency                           trader                    as path.account_id
GET    /v1/accounts/{account_id}/currency                           members readers           of path.account_id
POST   /v1/settlement/fee-rebates                                   clearing                  as body.by

GET    /v1/accounts/{account_id}/statements                         members readers           of path.account_id
GET    /v1/accounts/{account_id}/statements/{day_or_batch}          members readers           of path.account_id
POST   /v1/accounts/{account_id}/statements/{day_or_batch}/confirmation  trader compliance    as path.account_id
POST   /v1/accounts/{account_id}/statements/{day_or_batch}/objection     trader compliance    as path.account_id
POST   /v1/settlement/batches/{batch}/objections/{account_id}/answer     clearing             as body.by
GET    /v1/settlement/batches/{batch}/statements                    readers
POST   /v1/settlement/batches/{batch}/statements                    clearing
POST   /v1/accounts/{account_id}/withdrawal-block                   clearing                  as body.by
POST   /v1/accounts/{account_id}/withdrawal-block/end               clearing                  as body.by
GET    /v1/settlement/batches                                       readers bank
POST   /v1/settlement/batches                                       clearing
GET    /v1/settlement/batches/{batch}                               readers bank
GET    /v1/settlement/batches/{batch}/positions                     readers
GET    /v1/settlement/batches/{batch}/deliveries                    readers
GET    /v1/accounts/{account_id}/obligations                        members readers           of path.account_id
POST   /v1/settlement/batches/{batch}/instructions                  clearing
GET    /v1/settlement/batches/{batch}/instructions                  readers bank
POST   /v1/settlement/batches/{batch}/late                          clearing
POST   /v1/settlement/batches/{batch}/delivery                      clearing
POST   /v1/settlement/batches/{batch}/confirmations                 bank                      as body.by
POST   /v1/settlement/batches/{batch}/confirmations/file            bank                      as query.by
GET    /v1/settlement/reconciliations                               readers bank
POST   /v1/settlement/reconciliations                               bank clearing             as body.by
POST   /v1/settlement/reconciliations/file                          bank clearing             as query.by
GET    /v1/settlement/balances/{day}                                readers bank
GET    /v1/settlement/bookings/{day}                                readers bank
GET    /v1/settlement/withdrawal-blocks                             readers

GET    /v1/settlement/deals                                         readers
POST   /v1/settlement/deals                                         clearing                  as body.by
POST   /v1/settlement/deals/{deal_id}/cancellation                  clearing                  as body.by
GET    /v1/settlement/cases                                         trader readers            of query.account_id
GET    /v1/settlement/cases/{case}                                  readers
POST   /v1/settlement/cases/{case}/cure                             trader clearing           as body.by
POST   /v1/settlement/cases/{case}/cover                            clearing                  as body.by
POST   /v1/settlement/cases/{case}/close-out                        clearing                  as body.by
POST   /v1/settlement/cases/{case}/security-sale                    clearing                  as body.by
POST   /v1/accounts/{account_id}/recourse                           trader                    as path.account_id
POST   /v1/accounts/{account_id}/recourse/write-off                 clearing                  as body.by
GET    /v1/settlement/reserve                                       readers
POST   /v1/settlement/reserve/funding                               clearing                  as body.by
POST   /v1/settlement/reserve/draw                                  clearing                  as body.by
"""


class Rule(NamedTuple):
    """Who may call a route."""

    method: str
    template: str
    roles: frozenset[Role]
    binds: str  # "as" or "of"; empty: nothing
    part: str  # of the request: path, query or body
    field: str

    def is_bound(self, role: Role) -> bool:
        """Whether a role reaches its own account only."""
        return self.binds == "as" or (self.binds == "of" and role in MEMBERS)


def _rules() -> dict[tuple[str, str], Rule]:
    found = {}
    for line in TABLE.split("\n"):
        if not line:
            continue
        method, template, *rest = line.split()
        binds, place = "", "."
        if len(rest) > 2 and rest[-2] in ("as", "of"):
            *rest, binds, place = rest
        roles = frozenset[Role]().union(*(GROUPS[name] for name in rest))
        if binds == "as":
            roles -= NAMELESS
        part, field = place.split(".")
        assert (method, template) not in found, f"{method} {template} stands twice"
        found[method, template] = Rule(method, template, roles, binds, part, field)
    return found


RULES = _rules()


class _Node:
    """A part of paths: the ways on from it, and the rules of the routes that end here."""

    def __init__(self) -> None:
        self.next: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.name = ""  # of the parameter that `any` stands for
        self.rules: dict[str, Rule] = {}


def _tree() -> _Node:
    root = _Node()
    for rule in RULES.values():
        node = root
        for part in rule.template.strip("/").split("/"):
            if match := re.fullmatch(r"{(\w+)}", part):
                node.any = node.any or _Node()
                node.name, node = match[1], node.any
            else:
                node = node.next.setdefault(part, _Node())
        node.rules[rule.method] = rule
    return root


_TREE = _tree()


def rule_of(method: str, path: str) -> tuple[Rule, dict[str, str]] | None:
    """The rule of a request, and the parameters in its path; None if there is no such route.

    HEAD is what GET is.
    """
    node, given = _TREE, dict[str, str]()
    for part in path.strip("/").split("/"):
        if part in node.next:
            node = node.next[part]
        elif node.any is not None and part:
            given[node.name], node = part, node.any
        else:
            return None
    rule = node.rules.get("GET" if method == "HEAD" else method)
    return None if rule is None else (rule, given)


def is_open(path: str) -> bool:
    """Whether a path may be asked for without a key."""
    return path in OPEN or path.startswith(OPEN_BELOW)
