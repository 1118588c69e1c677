"""Features of trips: how quick zones and routes have been lately, as known when a trip starts.

A trip's duration is known only when it has ended. So the source's time is ``dropoff_time``, and a trip counts in a
window only from then on: at 10:00 nothing knows about a trip that will end at 10:05.
"""

import tidewheel as tw

zone = tw.entity("zone", pickup_zone=int)
route = tw.entity("route", pickup_zone=int, dropoff_zone=int)

trips = tw.source(
    "trips",
    "data/*.parquet",
    time="dropoff_time",
    timezone="America/New_York",
    ambiguous="later",  # one hour each November: the records do not say which, and later cannot leak
    event_id="trip_id",
    owner="data-platform",
    description="Yellow taxi trips, cleaned: a random sample of 10,000 a month",
    select="""
        SELECT
            hash(vendor_id, pickup_time, dropoff_time, pickup_zone, dropoff_zone, trip_distance, total_amount)::VARCHAR
                AS trip_id,
            pickup_time, dropoff_time, pickup_zone, dropoff_zone, trip_distance,
            epoch(dropoff_time - pickup_time) / 60 AS minutes,
            epoch(dropoff_time - pickup_time) / 60 / trip_distance AS pace
        FROM this
        WHERE dropoff_time > pickup_time
          AND dropoff_time < pickup_time + INTERVAL 3 HOUR
          AND dropoff_time >= TIMESTAMP '2018-12-01' AND dropoff_time < TIMESTAMP '2020-07-02'
          AND trip_distance BETWEEN 0.1 AND 100
          AND epoch(dropoff_time - pickup_time) / 60 / trip_distance BETWEEN 0.5 AND 60
    """,
)


@tw.features(trips, by=zone, owner="eta-team")
class ZonePace:
    """How trips that began in a zone have gone lately; pace is minutes per mile."""

    trips_1h = tw.count("1h")
    trips_1d = tw.count("1d")
    pace_6h = tw.mean("pace", "6h")
    pace_1d = tw.mean("pace", "1d")
    pace_7d = tw.mean("pace", "7d")
    pace_std_7d = tw.std("pace", "7d")
    miles_7d = tw.mean("trip_distance", "7d")


@tw.features(trips, by=route, owner="eta-team")
class RoutePace:
    """How trips between two zones have gone lately."""

    minutes_7d = tw.mean("minutes", "7d")
    minutes_30d = tw.mean("minutes", "30d")
    trips_30d = tw.count("30d")


@tw.on_request(timezone="America/New_York")
def hour_of_week(pickup_time: tw.Timestamp) -> int:
    """Hours since Monday midnight on the clock in the street, 0 to 167."""
    return hours_since_monday(pickup_time.weekday(), pickup_time.hour)


def hours_since_monday(weekday: int, hour: int) -> int:
    """A helper, so that the example has one: edit it and see what ``tidewheel plan`` says."""
    return weekday * 24 + hour


eta_inputs = tw.service(
    "eta_inputs",
    ZonePace,
    tw.use(ZonePace, prefix="dropoff_", keys={"pickup_zone": "dropoff_zone"}),
    RoutePace,
    hour_of_week,
    tw.request(trip_distance=float),
    description="What is known about a trip when it starts",
)
