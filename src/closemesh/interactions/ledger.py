"""What has been made so far and how well it went: one small file for each unit of work."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from closemesh.errors import InputError
from closemesh.files import replacing


@dataclass(frozen=True)
class UnitResult:
    """One unit of work: some attempts at one kind."""

    kind: str
    unit: int
    attempts: int
    """At a key pose."""
    key_poses: int
    """That were found."""
    tried: int
    """Windows made from these, good or not."""
    windows: tuple[str, ...]
    """Names of the files that were written, without folder."""
    contact_errors: tuple[float, ...]
    """Metres, the worst frame of each of those."""
    mean_contact_errors: tuple[float, ...]
    depths: tuple[float, ...]
    faults: dict[str, int]
    """What windows were rejected for, and how many."""


@dataclass(frozen=True)
class KindReport:
    """Everything of one kind. Metres."""

    kind: str
    attempts: int
    key_poses: int
    tried: int
    accepted: int
    mean_contact_error: float
    worst_contact_error: float
    deepest: float
    faults: dict[str, int]

    @property
    def rate(self) -> float:
        """Share of the windows that are good."""
        return self.accepted / max(self.tried, 1)


def save_unit(path: Path, result: UnitResult) -> None:
    """Raises OutputError."""
    with replacing(path) as part:
        part.write_text(json.dumps(asdict(result), indent=1))


def load_unit(path: Path) -> UnitResult:
    """Raises InputError when the file is damaged."""
    try:
        values = json.loads(path.read_text())
        lists = ("windows", "contact_errors", "mean_contact_errors", "depths")
        return UnitResult(**{**values, **{name: tuple(values[name]) for name in lists}})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged; remove it, and the same command makes it again") from error


def report(results: Iterable[UnitResult]) -> list[KindReport]:
    """What became of each kind, in the order in which the kinds first occur."""
    kinds: dict[str, list[UnitResult]] = {}
    for result in results:
        kinds.setdefault(result.kind, []).append(result)
    return [_kind_report(kind, units) for kind, units in kinds.items()]


def _kind_report(kind: str, units: list[UnitResult]) -> KindReport:
    means = [error for unit in units for error in unit.mean_contact_errors]
    return KindReport(
        kind=kind,
        attempts=sum(unit.attempts for unit in units),
        tried=sum(unit.tried for unit in units),
        key_poses=sum(unit.key_poses for unit in units),
        accepted=sum(len(unit.windows) for unit in units),
        mean_contact_error=sum(means) / max(len(means), 1),
        worst_contact_error=max((error for unit in units for error in unit.contact_errors), default=0.0),
        deepest=max((depth for unit in units for depth in unit.depths), default=0.0),
        faults=dict(sum((Counter(unit.faults) for unit in units), Counter())),
    )
