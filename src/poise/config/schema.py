"""The config's fields."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

__all__ = [
    "CheckpointConfig",
    "Config",
    "EmaConfig",
    "EvaluateConfig",
    "LogConfig",
    "OptimizerConfig",
    "Part",
    "PenaltyConfig",
    "SamplesConfig",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )


class Part(_Frozen):
    """Something chosen by name, with its options: ``vanilla``, or ``{class: vanilla, label_smoothing: 0.1}``."""

    model_config = ConfigDict(extra="allow")

    class_: str = Field(alias="class")

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


def _short(key: str, kinds: tuple[type, ...]) -> BeforeValidator:
    """Let a bare value stand for an object with one field."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, kinds) else value)


NamedPart = Annotated[Part, _short("class", (str,))]


class OptimizerConfig(Part):
    """A class of ``torch.optim`` by name, with any of its options."""

    class_: str = Field(default="Adam", alias="class")
    lr: PositiveFloat = 2e-4
    betas: tuple[float, float] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name; betas only where they are given."""
        given = {"lr": self.lr} | ({"betas": self.betas} if self.betas is not None else {})
        return given | super().options


class PenaltyConfig(_Frozen):
    """A penalty's weight, and on every how many-th update of D it is taken (multiplied by as many)."""

    weight: NonNegativeFloat
    every: PositiveInt = 1


class EmaConfig(_Frozen):
    """How the generator's weights are averaged."""

    half_life_kimg: NonNegativeFloat = 10.0
    ramp_up: PositiveFloat | None = 0.05


class LogConfig(_Frozen):
    """A row of ``log.jsonl`` every so many steps."""

    every_steps: PositiveInt = 100


class SamplesConfig(_Frozen):
    """Sample pictures: first after ``first_step`` steps, then at doubling intervals.

    ``count`` is of images; of points in the plane a picture always shows 2,500.
    """

    count: PositiveInt = 64
    first_step: PositiveInt = 16
    at_most_kimg: PositiveFloat | None = 200.0


class EvaluateConfig(_Frozen):
    """A row of ``metrics.jsonl`` every so many thousand images, over as many samples."""

    metric: Literal["swd"] = "swd"
    every_kimg: PositiveFloat = 20.0
    samples: PositiveInt = 2000


class CheckpointConfig(_Frozen):
    """A checkpoint every so many wall-clock seconds, and every so many steps where that is given."""

    every_seconds: PositiveFloat = 60.0
    every_steps: PositiveInt | None = None


class Config(_Frozen):
    """Everything that decides what a run trains.

    ``steps`` and ``kimg`` say where it ends; whichever comes first.
    """

    format: Literal[1] = 1
    recipe: str | None = None
    data: str
    fingerprint: str | None = None
    size: PositiveInt | None = None
    flip: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    steps: PositiveInt | None = None
    kimg: PositiveFloat | None = None
    batch: PositiveInt = 64
    z_dim: PositiveInt = 64
    generator: NamedPart
    discriminator: NamedPart
    loss: NamedPart = Part(class_="vanilla")
    penalties: dict[str, Annotated[PenaltyConfig, _short("weight", (int, float))]] = Field(default_factory=dict)
    balance: NamedPart = Part(class_="alternating")
    g_optimizer: Annotated[OptimizerConfig, _short("class", (str,))] = OptimizerConfig()
    d_optimizer: Annotated[OptimizerConfig, _short("class", (str,))] = OptimizerConfig()
    ema: Annotated[EmaConfig, _short("half_life_kimg", (int, float))] = EmaConfig()
    precision: str = "32-true"
    log: LogConfig = LogConfig()
    samples: SamplesConfig = SamplesConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    @model_validator(mode="before")
    @classmethod
    def _none_means_without(cls, fields: Any) -> Any:
        """``penalties: none`` and ``ema: none`` switch them off."""
        if isinstance(fields, dict):
            without: dict[str, Any] = {"penalties": {}, "ema": {"half_life_kimg": 0.0}}
            return {
                key: without[key] if key in without and value in (None, "none") else value
                for key, value in fields.items()
            }
        return fields

    @model_validator(mode="after")
    def _has_an_end(self) -> "Config":
        if self.steps is None and self.kimg is None:
            raise ValueError("a run needs an end: give steps or kimg")
        return self
