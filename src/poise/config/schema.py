"""The config's fields."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from poise.config.numbers import NUMBER
from poise.errors import ConfigError, MetricError, nearest
from poise.metrics import BETTER, METRICS, metrics_of
from poise.metrics.features import FEATURES

__all__ = [
    "CheckpointConfig",
    "Config",
    "ConstraintConfig",
    "EmaConfig",
    "EvaluateConfig",
    "LogConfig",
    "OptimizerConfig",
    "Part",
    "PenaltyConfig",
    "SamplesConfig",
    "WarmupConfig",
    "WatchConfig",
]

Count = Annotated[PositiveInt, NUMBER]
Positive = Annotated[PositiveFloat, NUMBER]
NonNegative = Annotated[NonNegativeFloat, NUMBER]


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )


class Part(_Frozen):
    """Something chosen by name, with its options: ``vanilla``, or ``{class: vanilla, label_smoothing: 0.1}``.

    ``{import: package.module:Name, ...}`` stands for ``{class: "import:package.module:Name", ...}``, a part of one's
    own; it is imported only when the package is trusted.
    """

    model_config = ConfigDict(extra="allow")

    class_: str = Field(alias="class")

    @model_validator(mode="before")
    @classmethod
    def _import_is_a_class(cls, fields: Any) -> Any:
        if isinstance(fields, Mapping) and "import" in fields:
            if "class" in fields and not str(fields["class"]).startswith("import:"):
                raise ValueError("give class or import, not both")
            fields = {name: value for name, value in fields.items() if name not in ("import", "class")} | {
                "class": f"import:{fields['import']}"
            }
        return fields

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


def _short(key: str, kinds: tuple[type, ...]) -> BeforeValidator:
    """Let a bare value stand for an object with one field."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, kinds) else value)


NamedPart = Annotated[Part, _short("class", (str,))]


def _mode(value: Any) -> Any:
    """The mode alone; YAML takes a bare ``off`` for false."""
    return {"mode": "off" if value is False else value} if isinstance(value, str | bool) else value


# A list of layer strings stands for the network of these layers.
NetworkPart = Annotated[
    NamedPart,
    BeforeValidator(lambda value: {"class": "layers", "layers": value} if isinstance(value, list) else value),
]


def _kind(value: Any) -> str:
    return "schedule" if isinstance(value, Mapping | Part) else "number"


# A number, or a schedule of kimg such as {class: cosine, from: 1, to: 0, end: 100}.
_Scheduled = Annotated[Part, Tag("schedule")]
PositiveSetting = Annotated[Annotated[Positive, Tag("number")] | _Scheduled, Discriminator(_kind)]
Setting = Annotated[Annotated[NonNegative, Tag("number")] | _Scheduled, Discriminator(_kind)]
Share = Annotated[Annotated[float, Field(gt=0, le=1), NUMBER, Tag("number")] | _Scheduled, Discriminator(_kind)]


_NUMBER_OR_AUTO = Discriminator(
    lambda value: "auto" if value == "auto" else None if isinstance(value, str) else "number",
    custom_error_type="count",
    custom_error_message="input should be a number or auto",
)
_Auto = Annotated[Literal["auto"], Tag("auto")]
CountOrAuto = Annotated[Annotated[Count, Tag("number")] | _Auto, _NUMBER_OR_AUTO]
NaturalOrAuto = Annotated[Annotated[NonNegativeInt, NUMBER, Tag("number")] | _Auto, _NUMBER_OR_AUTO]


class OptimizerConfig(Part):
    """A class of ``torch.optim`` by name, with any of its options; and wrappers around it, the outermost last."""

    class_: str = Field(default="Adam", alias="class")
    lr: PositiveSetting = 2e-4
    betas: tuple[Setting, Setting] | None = None
    wrap: Annotated[
        tuple[NamedPart, ...], BeforeValidator(lambda value: [value] if isinstance(value, str | dict) else value)
    ] = ()

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name and the wrappers; betas only where they are given."""
        given = {"lr": self.lr} | ({"betas": self.betas} if self.betas is not None else {})
        return given | super().options


class PenaltyConfig(Part):
    """A penalty with its options and its weight.

    It is taken on every how many-th update of the player that it goes to (multiplied by as many).
    """

    class_: str = Field(default="", alias="class")
    weight: Setting
    every: Count = 1
    to: Literal["D", "G"] | None = None


class ConstraintConfig(Part):
    """A constraint on the weights of a player, after every how many-th of its updates."""

    class_: str = Field(default="", alias="class")
    to: Literal["D", "G"] = "D"
    every: Count = 1


class AdaptiveConfig(_Frozen):
    """D's verdicts on real images change how strong augmentation is: see :class:`~poise.augment.Adaptive`."""

    target: Annotated[float, Field(gt=-1, lt=1), NUMBER] = 0.6
    kimg: Positive = 500.0
    most: Annotated[float, Field(gt=0, le=1), NUMBER] = 0.8


class AugmentConfig(Part):
    """Random changes that D sees in place of images, each with the probability ``p``.

    With ``adaptive``, that is where it begins; ``ada`` without either begins at 0 and adapts.
    """

    class_: str = Field(alias="class")
    p: Setting = 1.0
    adaptive: AdaptiveConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _ada_adapts(cls, fields: Any) -> Any:
        if isinstance(fields, Mapping) and fields.get("class") == "ada" and not {"p", "adaptive"} & set(fields):
            return {**fields, "p": 0.0, "adaptive": {}}
        return fields


class WatchConfig(_Frozen):
    """What guards the run.

    ``warn`` says what goes wrong; ``act`` does something about what loses the run; ``auto`` does so only where nothing
    else is left, with numbers that are not finite and players that never came alive. It measures every so many steps on
    so many samples, and goes back to an earlier state at most ``rollbacks`` times.
    """

    mode: Literal["off", "warn", "auto", "act"] = "auto"
    every_steps: Count = 200
    samples: Annotated[int, Field(ge=16), NUMBER] = 128
    rollbacks: Annotated[int, Field(ge=0, le=3), NUMBER] = 3


class WarmupConfig(_Frozen):
    """The generator begins as the decoder of an autoencoder, for so many steps."""

    class_: Literal["autoencoder"] = Field(default="autoencoder", alias="class")
    steps: Count
    encoder: NetworkPart
    optimizer: Annotated[OptimizerConfig, _short("class", (str,))] = OptimizerConfig()


class EmaConfig(_Frozen):
    """How the generator's weights are averaged."""

    half_life_kimg: Setting = 10.0
    ramp_up: Positive | None = 0.05


class LogConfig(_Frozen):
    """A row of ``log.jsonl`` every so many steps."""

    every_steps: Count = 100


class SamplesConfig(_Frozen):
    """Sample pictures: first after ``first_step`` steps, then at doubling intervals.

    ``count`` is of images; of points in the plane a picture always shows 2,500.
    """

    count: Count = 64
    first_step: Count = 16
    at_most_kimg: Positive | None = 200.0


class EvaluateConfig(_Frozen):
    """A row of ``metrics.jsonl`` every so many thousand images, over as many samples.

    ``metrics`` are what is measured, ``metric`` the number among them by which the best checkpoint is chosen, and
    ``features`` what samples are compared by; ``auto`` for what fits the data.
    """

    metrics: Annotated[
        tuple[str, ...] | Literal["auto"],
        BeforeValidator(
            lambda value: re.split(r",\s*", value) if isinstance(value, str) and value != "auto" else value
        ),
        Field(min_length=1),
    ] = "auto"
    metric: str = "auto"
    features: str = "auto"
    every_kimg: Positive = 20.0
    samples: Count = 2000

    @model_validator(mode="after")
    def _is_known(self) -> "EvaluateConfig":
        if self.features != "auto" and self.features not in FEATURES:
            raise ValueError(
                f"evaluate.features is '{self.features}': there are none of this name "
                f"{nearest(self.features, FEATURES)}"
            )
        if self.metric != "auto" and self.metric not in BETTER:
            raise ValueError(
                f"evaluate.metric is '{self.metric}': no checkpoint is chosen by this {nearest(self.metric, BETTER)}"
            )
        if self.metrics != "auto":
            try:
                measured = metrics_of(self.metrics)
            except MetricError as error:
                raise ValueError(f"evaluate.metrics: {error}") from error
            if self.metric != "auto" and not set(metrics_of([self.metric])) <= set(measured):
                raise ValueError(
                    f"evaluate.metric is {self.metric}, which is not measured: add it to evaluate.metrics "
                    f"({', '.join(self.metrics)})"
                )
            if not any(number in BETTER for name in measured for number in METRICS[name].numbers):
                raise ValueError(
                    f"evaluate.metrics: {', '.join(self.metrics)} gives no number to choose a checkpoint by; add one "
                    "that does, such as kid"
                )
        return self


class CheckpointConfig(_Frozen):
    """A checkpoint every so many wall-clock seconds, and every so many steps where that is given."""

    every_seconds: Positive = 60.0
    every_steps: Count | None = None


class Config(_Frozen):
    """Everything that decides what a run trains.

    ``steps`` and ``kimg`` say where it ends; whichever comes first. A batch is taken in ``accumulate`` parts. The names
    in ``classes`` are the data's where the networks are ``conditional``, and none where they are not. ``held_out``
    samples are not trained on, so that it can be told what D knows of the others by heart.
    """

    format: Literal[1] = 1
    recipe: str | None = None
    data: str
    fingerprint: str | None = None
    size: Count | None = None
    flip: bool = False
    held_out: NaturalOrAuto = "auto"
    conditional: bool = False
    classes: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0, lt=2**63), NUMBER] = 0
    steps: Count | None = None
    kimg: Positive | None = None
    batch: CountOrAuto = 64
    accumulate: Count = 1
    z_dim: Count = 64
    generator: NetworkPart
    discriminator: NetworkPart
    loss: NamedPart = Part(class_="vanilla")
    top_k: Share = 1.0
    penalties: dict[str, PenaltyConfig] = Field(default_factory=dict)
    constraints: dict[str, ConstraintConfig] = Field(default_factory=dict)
    balance: NamedPart = Part(class_="alternating")
    warmup: WarmupConfig | None = None
    g_optimizer: Annotated[OptimizerConfig, _short("class", (str,))] = OptimizerConfig()
    d_optimizer: Annotated[OptimizerConfig, _short("class", (str,))] = OptimizerConfig()
    augment: Annotated[AugmentConfig, _short("class", (str,))] | None = None
    ema: Annotated[EmaConfig, _short("half_life_kimg", (int, float))] = EmaConfig()
    precision: str = "auto"
    execution: str = "auto"
    deterministic: bool = False
    activation_checkpointing: bool = False
    hooks: tuple[NamedPart, ...] = ()
    log: LogConfig = LogConfig()
    samples: SamplesConfig = SamplesConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    watch: Annotated[WatchConfig, BeforeValidator(_mode)] = WatchConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, fields: Any) -> Any:
        """``none`` switches a part off; a penalty or constraint without a class is of the class that it is named by."""
        if not isinstance(fields, Mapping):
            return fields
        filled = {key: _OFF[key] if key in _OFF and value in (None, "none") else value for key, value in fields.items()}
        for key in ("penalties", "constraints"):
            if isinstance(filled.get(key), Mapping):
                filled[key] = {name: _named(name, value) for name, value in filled[key].items()}
        return filled

    @property
    def samples_a_batch(self) -> int:
        """The batch, once it is settled.

        Raises:
            ConfigError: when it is still ``auto``.
        """
        if self.batch == "auto":
            raise ConfigError("batch is auto, which 'poise train' settles: give a number")
        return self.batch

    @property
    def end_kimg(self) -> float:
        """About where the run ends, in thousands of real images; a batch that is not settled counts as one of 1."""
        ends = [] if self.kimg is None else [self.kimg]
        if self.steps is not None:
            ends.append(self.steps * (1 if self.batch == "auto" else self.batch) / 1000)
        return min(ends)

    @property
    def expected_steps(self) -> float | None:
        """About how many steps there will be, if the batch is settled."""
        ends = [] if self.steps is None else [float(self.steps)]
        if self.kimg is not None and self.batch != "auto":
            ends.append(1000 * self.kimg / self.batch)
        return min(ends, default=None)

    @model_validator(mode="after")
    def _has_an_end(self) -> "Config":
        if self.steps is None and self.kimg is None:
            raise ValueError("a run needs an end: give steps or kimg")
        return self


# What a part is when it is switched off.
_OFF: Mapping[str, Any] = {
    "penalties": {},
    "constraints": {},
    "ema": {"half_life_kimg": 0.0},
    "warmup": None,
    "augment": None,
}


def _named(name: str, value: Any) -> Any:
    """The part with its class."""
    if isinstance(value, PenaltyConfig | ConstraintConfig) and not value.class_:
        return value.model_copy(update={"class_": name})
    if isinstance(value, Mapping) and not {"class", "import"} & set(value):
        return {"class": name, **value}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"class": name, _MAIN.get(name, "weight"): value}
    return value


# What a bare number means, where it is not a weight.
_MAIN = {"clip": "limit"}
