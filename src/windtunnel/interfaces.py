"""The seams of the project: what one room may expect of another, and the record that a job leaves.

Nothing here imports torch at run time: `scaling`, `studies` and the launcher read records without
it.

Axes: B batch, T time, D model width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from windtunnel.files import write_whole

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor
    from torch.nn import Parameter

RECORD_SCHEMA_VERSION = 1
IGNORE_INDEX = -100

UpdateRule = Literal["adam", "sgd", "muon", "relative"]


# ------------------------------------------------------------------------------- parametrisation


class Role(StrEnum):
    """What a parameter is, seen from how its two sides grow when the model grows.

    `WRITER` is a hidden matrix whose product is added to the residual stream, and `QUERY` one that
    may start at zero; both scale as `HIDDEN` does. `VECTOR` lies inside a residual branch,
    `OUTER_VECTOR` outside of all of them. `SCORE` is no parameter: the product of query and key,
    summed over the head size.
    """

    INPUT = "input"
    HIDDEN = "hidden"
    QUERY = "query"
    WRITER = "writer"
    OUTPUT = "output"
    VECTOR = "vector"
    OUTER_VECTOR = "outer_vector"
    SCORE = "score"

    @property
    def is_hidden(self) -> bool:
        """Whether it is a matrix of which both sides grow."""
        return self in (Role.HIDDEN, Role.QUERY, Role.WRITER)


class Base(NamedTuple):
    """Fan-in, fan-out and heads of the same parameter in the base model."""

    fan_in: int
    fan_out: int
    heads: int = 1


@dataclass(frozen=True)
class Place:
    """Where one parameter stands: its role, its two sides, the same sides in the base model.

    `start` says what it holds before training: a normal draw, zeros, or ones. `heads` says of how
    many matrices, one per head, its rows are a stack.
    """

    role: Role
    fan_in: int
    fan_out: int
    base: Base
    start: Literal["normal", "zeros", "ones"] = "normal"
    heads: int = 1


@dataclass(frozen=True)
class Multipliers:
    """What a parametrisation multiplies the base hyperparameters with, for one parameter."""

    init_std: float
    lr: float
    weight_decay: float
    eps: float
    forward: float


class Rule(Protocol):
    """A parametrisation: a pure function of a role and of sizes."""

    def __call__(
        self,
        role: Role,
        fan_in: int,
        fan_out: int,
        base: Base,
        depth: int,
        base_depth: int,
        update_rule: UpdateRule,
    ) -> Multipliers: ...


class Parametrized(Protocol):
    """A model that a parametrisation can initialise: it states the place of every parameter."""

    depth: int
    base_depth: int

    def roles(self) -> dict[str, Place]: ...
    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]: ...
    def parameters(self, recurse: bool = True) -> Iterator[Parameter]: ...
    def get_submodule(self, target: str) -> Any: ...


# ----------------------------------------------------------------------------------- train a model


class Batch(NamedTuple):
    """One batch of packed windows.

    tokens_BT: token ids [B, T]. targets_BT: the next ids [B, T]; `IGNORE_INDEX` is not scored.
    documents_BT: index of the document each token belongs to [B, T], or None where windows are
    attended as a whole. domains_B: index of the domain of each window [B].
    """

    tokens_BT: Tensor
    targets_BT: Tensor
    documents_BT: Tensor | None
    domains_B: Tensor


class LossOutput(NamedTuple):
    """loss: what is minimised []. nll_BT: plain negative log-likelihood in nats per token [B, T],
    0 where ignored. terms: parts of the loss by name, each []."""

    loss: Tensor
    nll_BT: Tensor
    terms: dict[str, Tensor]


class Projection(NamedTuple):
    """Logits as a matrix product that nobody has carried out yet.

    logits = cap(hidden W^T + bias), cap(z) = softcap tanh(z / softcap); hidden_BTD [B, T, D],
    weight_VD [V, D], bias_V [V].
    """

    hidden_BTD: Tensor
    weight_VD: Tensor
    bias_V: Tensor | None = None
    softcap: float | None = None


class Head(Protocol):
    """Turns hidden states [B, T, D] into logits [B, T, V].

    A head whose logits are a matrix product also has `project`, which gives its two factors, so
    that a loss may do without the logits; see `loss.projection`.
    """

    def __call__(self, hidden_BTD: Tensor) -> Tensor: ...


class Loss(Protocol):
    """What training minimises, given hidden states [B, T, D], a head, and the batch.

    The same call evaluates: `LossOutput.nll_BT` is the plain negative log-likelihood whatever the
    loss is.
    """

    def __call__(self, hidden_BTD: Tensor, head: Head, batch: Batch) -> LossOutput: ...


class Schedule(Protocol):
    """Multiplier of the learning rate, as a pure function of progress in tokens."""

    def __call__(self, tokens: int, total_tokens: int) -> float: ...


class Sampler(Protocol):
    """Rows of the token store that make up batch `step`: a function of (seed, step) alone."""

    def rows(self, step: int) -> ndarray: ...


class Scorer(Protocol):
    """Gives training documents numbers, by themselves or token by token.

    columns: what is added to the name of each column that it gives. passages: `data.passages`.
    """

    @property
    def level(self) -> str:
        """`document`, or `token` for a number for each token of a passage but its first."""
        ...

    @property
    def columns(self) -> Sequence[str]: ...

    def fit(self, passages: Any) -> None:
        """Learns what it needs of all documents, and refuses those that it cannot score."""
        ...

    def __call__(self, passages: Sequence[Any]) -> ndarray:
        """Scores [n, columns]; of tokens, those of all passages one after the other."""
        ...


# ---------------------------------------------------------------------------------------- records


@dataclass(frozen=True)
class Evaluation:
    """Plain negative log-likelihood on the fixed held-out tokens, overall and by domain."""

    loss_nats: float
    bits_per_byte: float
    n_tokens: int
    domains: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """A quantity against training tokens; both lists have the same length."""

    tokens: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """All that a job leaves behind for analysis; written as `record.json` in the job's folder.

    `parameters` and `train_flops` are keyed by the counting convention (`model/count.py`).
    `mfu` is None where the peak of the hardware is unknown. `table` holds the multipliers of every
    parameter. `measurements` holds what a task or callback adds under its own name, such as
    activation sizes of a coordinate check.
    """

    job: str
    name: str
    task: str
    role: str
    outcome: Literal["finished", "diverged", "stopped"]
    outcome_step: int
    outcome_reason: str
    seed: int
    config: dict[str, Any]
    parameters: dict[str, int]
    train_flops: dict[str, float]
    tokens: int
    steps: int
    evaluation: Evaluation | None
    train_curve: Curve
    eval_curve: Curve
    grad_norm_curve: Curve
    seconds: float
    tokens_per_second: float
    mfu: float | None
    peak_memory_bytes: int
    choices: dict[str, Any]
    data: dict[str, Any]
    table: list[dict[str, Any]]
    measurements: dict[str, Any]
    inputs: list[str]
    versions: dict[str, str]
    git: dict[str, Any]
    warnings: list[str]
    schema_version: int = RECORD_SCHEMA_VERSION

    def save(self, folder: Path) -> Path:
        """Writes `record.json` into `folder`, whole or not at all."""
        path = folder / "record.json"
        write_whole(path, json.dumps(dataclasses.asdict(self), indent=1))
        return path

    @classmethod
    def load(cls, folder: Path) -> Record:
        """Reads the record of a job's folder.

        Raises:
            FileNotFoundError: the folder holds no record.
            Unreadable: what it holds is no record.
            ValueError: the record was written by a newer schema than this code knows.
        """
        try:
            values = json.loads((folder / "record.json").read_bytes())
            version = int(values["schema_version"])
            found = _record(cls, values) if version <= RECORD_SCHEMA_VERSION else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Unreadable(
                f"{folder}/record.json is damaged or was not written by windtunnel "
                f"({type(error).__name__}: {error}); give the job's command again to write it anew"
            ) from error
        if found is None:
            raise ValueError(
                f"{folder}/record.json has schema_version {version}, and this "
                f"windtunnel reads up to {RECORD_SCHEMA_VERSION}: update windtunnel to read it"
            )
        return found


class Unreadable(ValueError):
    """A file that says nothing to whoever reads it."""


def _record(kind: type[Record], values: dict[str, Any]) -> Record:
    """A record of values read from a file, each of the type that its readers count on."""
    curves: dict[str, Any] = {name: _curve(values.pop(name)) for name in CURVES}
    held = values.pop("evaluation")
    evaluation = None if held is None else Evaluation(**held)
    record = kind(**values, **curves, evaluation=evaluation)
    for name, expected in PLAIN_FIELDS.items():
        if not isinstance(value := getattr(record, name), expected):
            raise TypeError(f"{name} is {value!r:.60}")
    if evaluation is not None and not isinstance(evaluation.loss_nats, float | int):
        raise TypeError(f"evaluation.loss_nats is {evaluation.loss_nats!r:.60}")
    return record


def _curve(values: dict[str, list[Any]]) -> Curve:
    curve = Curve(**values)
    are_numbers = all(isinstance(n, float | int) for n in [*curve.tokens, *curve.values])
    if len(curve.tokens) != len(curve.values) or not are_numbers:
        raise TypeError("a curve holds no numbers, or not as many values as tokens")
    return curve


CURVES = ("train_curve", "eval_curve", "grad_norm_curve")
PLAIN_FIELDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("job", "name", "task", "role", "outcome", "outcome_reason"), str),
    **dict.fromkeys(("config", "parameters", "train_flops", "choices", "data"), dict),
    **dict.fromkeys(("measurements", "versions", "git"), dict),
    **dict.fromkeys(("table", "inputs", "warnings"), list),
    **dict.fromkeys(("outcome_step", "seed", "tokens", "steps", "peak_memory_bytes"), int),
    **dict.fromkeys(("seconds", "tokens_per_second"), (float, int)),
    "mfu": (float, int, type(None)),
}


# ---------------------------------------------------------------------------------------- studies


@dataclass(frozen=True)
class Job:
    """One job that a study asks for.

    name: its folder inside the study's folder. role: what it is for (`rung`, `target`, ...).
    overrides: config keys to values. cost: expected work relative to the study's other jobs.
    """

    name: str
    role: str
    overrides: dict[str, Any]
    cost: float = 1.0


class Study(Protocol):
    """A staged set of jobs and what they conclude: plain Python over records.

    Records are found by `Record.name == Job.name`.
    """

    def plan(self) -> Sequence[Job]:
        """All jobs foreseen, for the progress line; may be fewer than will be proposed."""
        ...

    def propose(self, records: Mapping[str, Record], folder: Path) -> Sequence[Job]:
        """The next batch of jobs given the records so far; empty when it can conclude."""
        ...

    def conclude(self, records: Mapping[str, Record], folder: Path) -> dict[str, Any]:
        """Writes tables and figures into `folder`; returns what goes into `study.json`."""
        ...


# ------------------------------------------------------------------------------------ scaling laws


@dataclass(frozen=True)
class Coefficient:
    """A parameter of a law: its name, its meaning in words, its bounds."""

    name: str
    meaning: str
    low: float
    high: float


class Law(Protocol):
    """A scaling law: a formula with named coefficients over named columns."""

    @property
    def name(self) -> str: ...
    @property
    def formula(self) -> str: ...
    @property
    def coefficients(self) -> Sequence[Coefficient]: ...
    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def constant(self) -> str | None:
        """The coefficient that is the loss of an infinite model, where the law has one."""
        ...

    @property
    def response(self) -> str:
        """What is predicted: `L`, a loss in nats; or `accuracy` or `error`, a share of 1."""
        ...

    @property
    def unit_groups(self) -> Sequence[Sequence[str]]:
        """Columns above 0, in groups that share a unit; others are numbers of any sign."""
        ...

    def predict(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Response [S, M] at M points, for S sets of coefficients [S, P] in one batch."""
        ...

    def gradient(self, theta_SP: ndarray, x: Mapping[str, ndarray]) -> ndarray:
        """Derivative of `predict` by each coefficient [S, M, P]."""
        ...

    def starts(self, x: Mapping[str, ndarray], loss_M: ndarray) -> ndarray:
        """Where a fit starts from [S, P]; a grid over the plausible coefficients."""
        ...

    def rescale(self, theta_SP: ndarray, units: Mapping[str, float]) -> ndarray:
        """Coefficients for columns as they are, from those for columns divided by `units`."""
        ...
