"""Control rules: put, tried on history, carried out, and lifted by a person. They never touch pay or an account."""

import asyncio
from collections import Counter, defaultdict
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.paging import Page, PageQuery, read_page
from marketplace.quality.aliases import worker_alias
from marketplace.quality.control.errors import ControlActionEnded, ControlActionUnknown
from marketplace.quality.control.history import events_of
from marketplace.quality.control.models import ControlAction, ControlRuleSet
from marketplace.quality.control.replay import Event, Fired, Used, replay
from marketplace.quality.control.rules import AddSkill, ControlRules, MoreGold, Pause, SetSkill
from marketplace.quality.control.schemas import ControlActionView, ControlRulesView, DryRun, WouldHappen
from marketplace.quality.skills.own import change_own_skill
from marketplace.tasks.measures import lift_measure, set_measure
from marketplace.tasks.states import MeasureKind

PLATFORM: Final = UUID(int=0)
SHOWN: Final = 500
_EXTRA_GOLD_WORDS: Final = "More of your work is compared with known answers for a time."


async def _newest(session: AsyncSession, scope_id: UUID) -> ControlRuleSet | None:
    found = select(ControlRuleSet).where(ControlRuleSet.scope_id == scope_id).order_by(col(ControlRuleSet.id).desc())
    return (await session.exec(found.limit(1))).first()


def _rules_view(found: ControlRuleSet | None) -> ControlRulesView:
    if found is None:
        return ControlRulesView(version=None, since=None, definition=ControlRules())
    definition = ControlRules.model_validate(found.definition)
    return ControlRulesView(version=found.version, since=found.created_at, definition=definition)


async def rules_of(session: AsyncSession, actor: Actor, request_id: UUID) -> ControlRulesView:
    """Return the rules of one's request; raise `RequestNotFound` for another's."""
    request = await request_of(session, actor, request_id)
    return _rules_view(await _newest(session, request.id))


async def platform_rules(session: AsyncSession) -> ControlRulesView:
    """Return the rules that hold on every request."""
    return _rules_view(await _newest(session, PLATFORM))


async def put_rules(session: AsyncSession, actor: Actor, request_id: UUID, rules: ControlRules) -> ControlRulesView:
    """Put a new version of a request's rules in force, from now on; the same rules again change nothing.

    Raises:
        RequestNotFound: the request is another organisation's.
    """
    request = await request_of(session, actor, request_id, lock=True)
    return await _put(session, actor, request.id, rules, f"request:{request.id}")


async def put_platform_rules(session: AsyncSession, actor: Actor, rules: ControlRules) -> ControlRulesView:
    """Put a new version of the platform's rules in force, from now on."""
    return await _put(session, actor, PLATFORM, rules, "platform")


async def _put(
    session: AsyncSession, actor: Actor, scope_id: UUID, rules: ControlRules, subject: str
) -> ControlRulesView:
    current = await _newest(session, scope_id)
    if current is None or current.version != rules.version:
        current = ControlRuleSet(
            scope_id=scope_id,
            version=rules.version,
            definition=rules.model_dump(mode="json"),
            made_by=actor.principal,
        )
        session.add(current)
        await session.flush()
        record(session, actor, "control_rules.put", subject, version=rules.version)
    return _rules_view(current)


async def dry_run(session: AsyncSession, actor: Actor, request_id: UUID, rules: ControlRules | None) -> DryRun:
    """Return what rules (without any: those in force) would have done over all of a request's history."""
    request = await request_of(session, actor, request_id)
    if rules is None:
        rules = _rules_view(await _newest(session, request.id)).definition
    events = await events_of(session, request.id, now())
    fired = await asyncio.to_thread(_replay_all, rules, events)
    shown = [
        WouldHappen(
            worker=worker_alias(request.id, each.worker),
            rule=each.rule.name,
            action=each.rule.action.model_dump(mode="json"),
            at=each.at,
            until=each.until,
            figures=each.figures,
        )
        for each in fired[:SHOWN]
    ]
    return DryRun(
        version=rules.version,
        events=sum(map(len, events.values())),
        workers=len({each.worker for each in fired}),
        total=len(fired),
        by_action=dict(Counter(each.rule.action.kind for each in fired)),
        actions=shown,
    )


def _replay_all(
    rules: ControlRules,
    events: dict[UUID, list[Event]],
    since: datetime | None = None,
    until: datetime | None = None,
    used: dict[UUID, dict[str, Used]] | None = None,
) -> list[Fired]:
    fired = [
        each
        for worker, history in events.items()
        for each in replay(rules.rules, worker, history, since=since, until=until, used=(used or {}).get(worker))
    ]
    return sorted(fired, key=lambda each: (each.at, each.worker, each.rule.name))


async def carry_out(session: AsyncSession, request_id: UUID) -> int:
    """Do what the rules of a request and of the platform say of its history; return how many actions are new.

    Each version speaks for the events while it was in force. A rule of a name that acted on a worker before, in this
    version or an earlier one, counts what came later only, also when a person has lifted its action. The caller holds
    the request's `conduct_mark`.
    """
    request = await session.get_one(DatasetRequest, request_id)
    versions = await _versions(session, request_id)
    if not versions:
        return 0
    events = await events_of(session, request_id, now())
    used = await _used(session, request_id, {rule_set.id: rule_set.scope_id for rule_set, _ in versions})
    made = 0
    for rule_set, until in versions:
        rules = ControlRules.model_validate(rule_set.definition)
        of_scope = used[rule_set.scope_id]
        fired = await asyncio.to_thread(_replay_all, rules, events, rule_set.created_at, until, of_scope)
        for each in fired:
            of_scope[each.worker][each.rule.name] = Used(each.at, each.until)
            await _act(session, request, rule_set, each)
        made += len(fired)
    await session.flush()
    return made


async def _used(
    session: AsyncSession, request_id: UUID, scopes: dict[UUID, UUID]
) -> dict[UUID, dict[UUID, dict[str, Used]]]:
    """Return by scope, worker and rule what the last action used, and until when its rule rests, lifted or not."""
    taken = select(ControlAction).where(ControlAction.request_id == request_id)
    used: dict[UUID, dict[UUID, dict[str, Used]]] = defaultdict(lambda: defaultdict(dict))
    for action in (await session.exec(taken.order_by(col(ControlAction.at), col(ControlAction.id)))).all():
        seen_until = action.lifted_at or action.at  # who lifted it judged all that was there
        used[scopes[action.rule_set_id]][action.worker_id][action.rule] = Used(seen_until, action.until)
    return used


async def _versions(session: AsyncSession, request_id: UUID) -> list[tuple[ControlRuleSet, datetime | None]]:
    """Return the versions that spoke on a request, each with the moment at which the next one followed."""
    found: list[tuple[ControlRuleSet, datetime | None]] = []
    for scope in (PLATFORM, request_id):
        of_scope = select(ControlRuleSet).where(ControlRuleSet.scope_id == scope).order_by(col(ControlRuleSet.id))
        sets = list((await session.exec(of_scope)).all())
        ends = [*(each.created_at for each in sets[1:]), None]
        found += zip(sets, ends, strict=False)
    return found


async def _act(session: AsyncSession, request: DatasetRequest, rule_set: ControlRuleSet, fired: Fired) -> None:
    rule = fired.rule
    session.add(
        ControlAction(
            request_id=request.id,
            worker_id=fired.worker,
            rule_set_id=rule_set.id,
            version=rule_set.version,
            rule=rule.name,
            event_id=fired.event,
            at=fired.at,
            kind=rule.action.kind,
            action=rule.action.model_dump(mode="json"),
            collector=rule.collector.kind.value,
            figures=fired.figures,
            until=fired.until,
            measure_id=await _measure(session, request, fired),
        )
    )
    if isinstance(rule.action, SetSkill):
        value = rule.action.value if rule.action.value is not None else 100 * fired.figures.get("share", 0.0)
        await change_own_skill(
            session, request.organisation_id, fired.worker, rule.action.skill, value, by=f"rule:{rule.name}"
        )
    elif isinstance(rule.action, AddSkill):
        await change_own_skill(
            session, request.organisation_id, fired.worker, rule.action.skill, rule.action.by,
            by=f"rule:{rule.name}", is_added=True,
        )  # fmt: skip


async def _measure(session: AsyncSession, request: DatasetRequest, fired: Fired) -> UUID | None:
    action = fired.rule.action
    if fired.until is None:
        return None
    if isinstance(action, Pause):
        scope = request.organisation_id if action.scope == "requester" else request.id
        return await set_measure(
            session, fired.worker, scope, MeasureKind.PAUSE, reason=action.reason, until=fired.until
        )
    if isinstance(action, MoreGold):
        return await set_measure(
            session, fired.worker, request.id, MeasureKind.MORE_GOLD,
            reason=_EXTRA_GOLD_WORDS, until=fired.until, extra_gold=action.extra,
        )  # fmt: skip
    return None


def _view(action: ControlAction, name: str) -> ControlActionView:
    return ControlActionView.model_validate({**action.model_dump(), "worker": name})


async def actions_on_request(
    session: AsyncSession, actor: Actor, request_id: UUID, query: PageQuery, kind: str | None
) -> Page[ControlActionView]:
    """Return a page of the actions taken on a request of one's own, newest first; workers by their pseudonyms."""
    request = await request_of(session, actor, request_id)
    statement = select(ControlAction).where(ControlAction.request_id == request.id)
    if kind is not None:
        statement = statement.where(ControlAction.kind == kind)
    rows, cursor = await read_page(session, statement, ControlAction.id, query)
    return Page(items=[_view(row, worker_alias(request.id, row.worker_id)) for row in rows], next_cursor=cursor)


async def actions_on_worker(session: AsyncSession, worker_id: UUID, query: PageQuery) -> Page[ControlActionView]:
    """Return a page of the actions taken on a worker, for that worker: with the figures, which name no task."""
    statement = select(ControlAction).where(ControlAction.worker_id == worker_id)
    rows, cursor = await read_page(session, statement, ControlAction.id, query)
    return Page(items=[_view(row, "you") for row in rows], next_cursor=cursor)


async def actions_of_platform(
    session: AsyncSession, query: PageQuery, *, with_objection: bool
) -> Page[ControlActionView]:
    """Return a page of what the platform's rules did, newest first; if asked only that to which a worker objects."""
    of_platform = select(ControlRuleSet.id).where(ControlRuleSet.scope_id == PLATFORM)
    statement = select(ControlAction).where(col(ControlAction.rule_set_id).in_(of_platform))
    if with_objection:
        statement = statement.where(col(ControlAction.objection).is_not(None))
    rows, cursor = await read_page(session, statement, ControlAction.id, query)
    return Page(items=[_view(row, worker_alias(row.request_id, row.worker_id)) for row in rows], next_cursor=cursor)


async def object_to(session: AsyncSession, actor: Actor, action_id: UUID, words: str) -> ControlActionView:
    """Write down what a worker says against an action on them, for the person who may lift it.

    Raises:
        ControlActionUnknown: there is no such action on the actor.
    """
    action = await session.get(ControlAction, action_id, with_for_update=True)
    if action is None or action.worker_id != actor.id:
        raise ControlActionUnknown
    action.objection = words
    session.add(action)
    record(session, actor, "control_action.objected", f"control_action:{action.id}", request=str(action.request_id))
    return _view(action, "you")


async def lift(
    session: AsyncSession, actor: Actor, request_id: UUID, action_id: UUID, reason: str
) -> ControlActionView:
    """End an action before its time; what holds by it ends at once.

    Raises:
        RequestNotFound: the request is another organisation's.
        ControlActionUnknown: there is no such action on it.
        ControlActionEnded: it was lifted before, or has nothing to end.
    """
    request = await request_of(session, actor, request_id)
    action = await session.get(ControlAction, action_id, with_for_update=True, populate_existing=True)
    if action is None or action.request_id != request.id:
        raise ControlActionUnknown
    if action.lifted_at is not None or action.until is None or action.until <= now():
        raise ControlActionEnded
    if action.measure_id is not None:
        await lift_measure(session, action.measure_id)
    action.lifted_at, action.lifted_by, action.lift_reason = now(), actor.principal, reason
    session.add(action)
    record(session, actor, "control_action.lifted", f"control_action:{action.id}", request=str(request.id))
    return _view(action, worker_alias(request.id, action.worker_id))


async def lift_as_operator(session: AsyncSession, actor: Actor, action_id: UUID, reason: str) -> ControlActionView:
    """End an action on any request before its time; raise as `lift` does."""
    action = await session.get(ControlAction, action_id)
    if action is None:
        raise ControlActionUnknown
    return await lift(session, actor, action.request_id, action_id, reason)
