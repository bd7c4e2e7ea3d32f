"""What a hostile cell is, and what may come of it."""

from typing import NamedTuple, Optional

from confined import NONE, TIERS

# What a sandbox says to most things.
REFUSED = "EPERM EACCES ENOENT EROFS"

# Without a sandbox.
DID = "did"


class NotRun(NamedTuple):
    """Why a cell is not run without a sandbox."""

    reason: str


class Cell(NamedTuple):
    """A hostile cell. Each of its steps is a cell of the notebook; the value of the last is words that must all be
    allowed. `bare` is what they are without a sandbox, for root; others may also be refused there.

    A worker that has died says `died` and then the signal or the code; one that broke the protocol, `violation`.
    """

    name: str
    steps: tuple
    words: dict
    bare: object
    spoils: bool = False
    after: Optional[object] = None

    def allowed(self, tier):
        return set(self.words[tier].split())

    @property
    def runs_bare(self):
        return not isinstance(self.bare, NotRun)


def cell(name, *steps, words=REFUSED, bare=DID, spoils=False, after=None, **by_tier):
    """@param by_tier L1, L2, L3: the words where they are not those of all tiers
    @param spoils the worker is of no use after it, though it lives
    @param after called with the test, when the cell has ended, for what only the outside can see
    """
    each = {tier: by_tier.get(tier, words) for tier in TIERS}
    if "L1" in by_tier and "L2" not in by_tier:
        each["L2"] = by_tier["L1"]
    each[NONE] = "" if isinstance(bare, NotRun) else bare
    return Cell(name, steps, each, bare, spoils, after)
