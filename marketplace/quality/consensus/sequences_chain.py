"""A hidden chain of true tags seen through workers: forward–backward over all sentences at once, and its EM.

The model is Bayesian sequence combination (Simpson and Gurevych, EMNLP 2019: BSC-seq without its text model; see also
HMM-Crowd, Nguyen et al., ACL 2017): true tags form a Markov chain that never enters I-x but from B-x or I-x, and a
worker's tag depends on the true one and on the tag the worker gave before, so that who missed the start of an entity
is not counted against it once more at its end. Each worker's confusion has a Dirichlet prior whose mean is the
confusion of all workers taken as one (fitted first) and whose weight is `SHRINK` answers a row. EM's bound, the
log-likelihood with that prior, never falls.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marketplace.quality.consensus.sequences_tags import Floats, Ints, Packed

SHRINK: Final = 10.0
POOLED_ROUNDS: Final = 10
WORKER_ROUNDS: Final = 20
MOST_CELLS: Final = 8_000_000
"""From so many numbers in all confusions on, a worker's earlier tag counts only as O or not."""
LEAST_OWN: Final = 0.5
"""The crowd as one gives an entity's tag its own name at least so often: a state that is seen less often is no entity,
but a place where some slip."""
SELDOM_SHARED: Final = 0.17
"""Of a label that the others of a sentence give to the same token less often than this, reports are mostly slips,"""
LEAST_OF_SLIPS: Final = 0.9
"""and what is an entity all the same must be seen by so many."""
_SETTLED: Final = 1e-6
_LEAST: Final = 1e-30


@dataclass(frozen=True, slots=True)
class Chain:
    """What the true tags do, and what was seen of them at each token.

    `step` (tags × tags) and `first` are the chain's probabilities; `seen` the likelihood of the workers' tags at each
    token, `scale` the probability of each token given those before, `after` the backward message, `posterior` the
    probability of each tag.
    """

    step: Floats
    first: Floats
    seen: Floats
    scale: Floats
    after: Floats
    posterior: Floats


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a chain rests on: P(tag | true tag, tag before) of all workers as one, each worker's counts of the same
    (true × worker × before × tag, unshrunk), and the chain's steps and start."""

    pooled: Floats
    counts: Floats
    step: Floats
    first: Floats


@dataclass(frozen=True, slots=True)
class ChainFit:
    """A fitted chain, the log-likelihood after each round of the workers' stage, and whether it settled."""

    chain: Chain
    crowd: Crowd
    bound: tuple[float, ...]
    converged: bool


class _Rows:
    """Workers' tags, summed over by token or by worker; `earlier` maps the tag before to what counts of it."""

    def __init__(self, packed: Packed, tags: int, workers: int, earlier: Ints) -> None:
        self.tags, self.workers = tags, workers
        self.before = int(earlier.max(initial=0)) + 1
        self.packed = packed
        self._pooled_cell = earlier[packed.before] * tags + packed.tag
        self._cell = packed.worker * self.before * tags + self._pooled_cell
        self._starts = np.flatnonzero(np.diff(packed.token, prepend=-1))
        self._seen = packed.token[self._starts]
        self._least = np.where(self._shared() < SELDOM_SHARED, LEAST_OF_SLIPS, LEAST_OWN)

    def votes(self) -> Floats:
        """Return the share of tags at each token; where nobody gave one, O."""
        cell = self.packed.token * self.tags + self.packed.tag
        found = np.bincount(cell, minlength=self.packed.tokens * self.tags).reshape(-1, self.tags).astype(np.float64)
        found[:, 0] += found.sum(axis=1) == 0
        return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float64)

    def _shared(self) -> Floats:
        """Return for each tag how often another answer to its sentence gives the same token the same label.

        One more pair that agrees, of two, counts for each label.
        """
        labels, token = (self.tags + 1) // 2, self.packed.token
        cell = token * labels + (self.packed.tag + 1) // 2
        given = np.bincount(cell, minlength=self.packed.tokens * labels).reshape(-1, labels)
        others = np.bincount(token, minlength=self.packed.tokens)[:, None] - 1
        shared = ((given * (given - 1)).sum(axis=0) + 1) / ((given * others).sum(axis=0) + 2)
        return np.asarray(shared[(np.arange(self.tags) + 1) // 2], dtype=np.float64)

    def pooled(self, posterior: Floats) -> Floats:
        """Return P(tag | true tag, tag before) of all workers as one: true × before × tag."""
        counts = self._counts(posterior, self._pooled_cell, self.before * self.tags)
        counts = counts.reshape(self.tags, self.before, self.tags) + 0.5 * np.eye(self.tags)[:, None, :] + 0.1
        return _named(counts / counts.sum(axis=2, keepdims=True), self._least)

    def by_worker(self, posterior: Floats) -> Floats:
        """Return each worker's expected counts: true × worker × before × tag."""
        counts = self._counts(posterior, self._cell, self.workers * self.before * self.tags)
        return counts.reshape(self.tags, self.workers, self.before, self.tags)

    def seen(self, log: Floats) -> Floats:
        """Return the log-likelihood of the tags at each token, tokens × tags."""
        cell = self._pooled_cell if log.shape[1] == 1 else self._cell
        found = np.zeros((self.packed.tokens, self.tags))
        if len(cell):
            rows = log.reshape(self.tags, -1)[:, cell]
            found[self._seen] = np.add.reduceat(rows, self._starts, axis=1).T
        return found

    def _counts(self, posterior: Floats, cell: Ints, size: int) -> Floats:
        token = self.packed.token
        return np.stack([np.bincount(cell, posterior[token, tag], size) for tag in range(self.tags)])


def fit_chain(packed: Packed, tags: int, workers: int) -> ChainFit:
    """Fit the chain and the workers' confusions: all workers as one first, then each by themselves."""
    rows = _Rows(packed, tags, workers, _earlier(tags, workers * tags**3 > MOST_CELLS))
    step, first = _first_step(tags)
    posterior = rows.votes()
    for _ in range(POOLED_ROUNDS):
        pooled = rows.pooled(posterior)
        chain, step, first, _ = _round(packed, step, first, rows.seen(np.log(pooled)[:, None]))
        posterior = chain.posterior
    bound: list[float] = []
    converged = False
    while len(bound) < WORKER_ROUNDS and not converged:
        crowd = Crowd(pooled, rows.by_worker(posterior), step, first)
        log = np.log(_shrunk(crowd))
        prior = SHRINK * float((pooled[:, None] * log).sum()) + _step_prior(step, first)
        chain, step, first, likelihood = _round(packed, step, first, rows.seen(log))
        posterior = chain.posterior
        bound.append(likelihood + prior)
        converged = len(bound) > 1 and bound[-1] - bound[-2] <= _SETTLED * abs(bound[-1])
    return ChainFit(chain, crowd, tuple(bound), converged)


def chain_of(packed: Packed, crowd: Crowd) -> Chain:
    """Return the chain of sentences whose workers are known; numbers of workers are places in the crowd's counts."""
    tags, workers, before, _ = crowd.counts.shape
    rows = _Rows(packed, tags, workers, _earlier(tags, before < tags))
    return _round(packed, crowd.step, crowd.first, rows.seen(np.log(_shrunk(crowd))))[0]


def _earlier(tags: int, short: bool) -> Ints:
    """Return what counts of the tag before: all of it, or whether it is O."""
    return np.minimum(np.arange(tags), 1) if short else np.arange(tags)


def _shrunk(crowd: Crowd) -> Floats:
    counts = crowd.counts + SHRINK * crowd.pooled[:, None]
    return np.asarray(counts / counts.sum(axis=3, keepdims=True), dtype=np.float64)


def _named(pooled: Floats, least: Floats) -> Floats:
    """Return the confusion with each entity's tag given at least so much of the time (by tag).

    Nothing else ties a hidden tag to reports of it: EM takes the state of a rare label for a kind of ordinary O. An I-x
    is held so only after a tag of its entity, for who missed the start misses the rest.
    """
    tags, before = pooled.shape[:2]
    held = np.zeros((tags, before), dtype=np.bool_)
    held[1::2] = True
    inside = np.arange(2, tags, 2)
    for earlier in (inside - 1, inside):
        held[inside, np.minimum(earlier, before - 1)] = True
    own = pooled[np.arange(tags), :, np.arange(tags)]
    wanted = np.where(held, np.maximum(own, least[:, None]), own)
    found = pooled * ((1 - wanted) / np.maximum(1 - own, _LEAST))[..., None]
    found[np.arange(tags), :, np.arange(tags)] = wanted
    return found


def _allowed(tags: int) -> tuple[Floats, Floats]:
    """Return which tag may follow which, and which may be first: I-x stands after B-x or I-x alone."""
    step, first = np.ones((tags, tags)), np.ones(tags)
    first[2::2] = 0
    step[:, 2::2] = 0
    inside = np.arange(2, tags, 2)
    step[inside - 1, inside] = step[inside, inside] = 1
    return step, first


def _first_step(tags: int) -> tuple[Floats, Floats]:
    step, first = _allowed(tags)
    return step / step.sum(axis=1, keepdims=True), first / first.sum()


def _step_prior(step: Floats, first: Floats) -> float:
    """Return the log of the chain's own prior: half an answer for each step that may be."""
    return 0.5 * float(np.log(step[step > 0]).sum() + np.log(first[first > 0]).sum())


def _round(packed: Packed, step: Floats, first: Floats, log_seen: Floats) -> tuple[Chain, Floats, Floats, float]:
    """Return the chain's posterior, the steps it calls for, and the log-likelihood."""
    top = log_seen.max(axis=1, initial=-np.inf)
    seen = np.exp(log_seen - top[:, None]) + _LEAST
    forward, scale = _forward(packed, step, first, seen)
    after, moves = _backward(packed, step, seen / scale[:, None], forward)
    posterior = forward * after
    posterior /= posterior.sum(axis=1, keepdims=True)
    may, may_first = _allowed(len(first))
    counts, starts = moves + 0.5 * may, posterior[: packed.count].sum(axis=0) * may_first + 0.5 * may_first
    chain = Chain(step, first, seen, scale, after, posterior)
    likelihood = float(np.log(scale).sum() + top.sum())
    return chain, counts / counts.sum(axis=1, keepdims=True), starts / starts.sum(), likelihood


def _forward(packed: Packed, step: Floats, first: Floats, seen: Floats) -> tuple[Floats, Floats]:
    forward, scale = np.empty_like(seen), np.ones(len(seen))
    for here, before in packed.steps():
        found = (first if before is None else forward[before] @ step) * seen[here]
        scale[here] = found.sum(axis=1)
        forward[here] = found / scale[here, None]
    return forward, scale


def _backward(packed: Packed, step: Floats, scaled: Floats, forward: Floats) -> tuple[Floats, Floats]:
    after, moves = np.ones_like(scaled), np.zeros_like(step)
    for here, before in reversed(packed.steps()):
        if before is not None:
            coming = scaled[here] * after[here]
            after[before] = coming @ step.T
            moves += (forward[before].T @ coming) * step
    return after, moves
