"""The status page: one HTML document from one value, and its two static files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources

from tidewheel.clock import Micros, format_duration, to_datetime
from tidewheel.errors import NotFound
from tidewheel.serving.arm import Arm
from tidewheel.serving.measure import Pace
from tidewheel.web.application import AlertLine, EnvironmentLine, ModelLine, RunLine
from tidewheel.web.state import DeploymentState, State

_FILES = {"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}


def static_file(name: str) -> tuple[bytes, str]:
    """Bytes and content type of a file of the page."""
    if name not in _FILES:
        raise NotFound(f"no file {name[:80]!r}", where="path", fix=f"one of {', '.join(_FILES)}")
    return resources.files("tidewheel.web").joinpath("ui", name).read_bytes(), _FILES[name]


def render_page(state: State) -> str:
    """The document. Every text from outside is escaped; nothing is loaded from another host."""
    open_alerts = sum(alert.state != "closed" for alert in state.overview.alerts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(state.project)} · Tidewheel</title>
<link rel="icon" href="/ui/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/ui/style.css">
<script src="/ui/live.js" defer></script>
</head>
<body>
<header>
  <img src="/ui/icon.svg" alt="" width="28" height="28">
  <h1>{_text(state.project)}</h1>
  <span class="by">Tidewheel</span>
  <span id="stale" hidden>no connection</span>
</header>
<main>
<section class="strip" aria-label="Summary">
  {_badge("Serving", "ready" if state.ready else "not ready", "good" if state.ready else "bad")}
  {_badge("Open alerts", str(open_alerts), "bad" if open_alerts else "good")}
  {_badge("Requests per second", f"{sum(d.pace.requests_per_second for d in state.deployments):.1f}", "")}
  {_badge("Models", str(len({m.model for m in state.overview.models})), "")}
  <time class="at" datetime="{_text(state.at)}">{_text(state.at[:19].replace("T", " "))} UTC</time>
</section>
<section aria-labelledby="deployments">
<h2 id="deployments">Deployments</h2>
<div class="cards">{"".join(map(_deployment, state.deployments)) or _empty("Nothing is deployed yet: tidewheel apply")}</div>
</section>
<section aria-labelledby="alerts"><h2 id="alerts">Alerts</h2>{_alerts(state.overview.alerts)}</section>
<div class="columns">
<section aria-labelledby="models"><h2 id="models">Models</h2>{_models(state.overview.models)}</section>
<section aria-labelledby="runs"><h2 id="runs">Recent runs</h2>{_runs(state.overview.runs)}</section>
</div>
<section aria-labelledby="environments"><h2 id="environments">Environments</h2>
{_environments(state.overview.environments)}</section>
</main>
<footer><a href="/metrics">metrics</a> <a href="/api/status">status as JSON</a> <a href="/v2">inference protocol</a></footer>
</body>
</html>
"""


def _text(value: object) -> str:
    return escape(str(value), quote=True)


def _badge(name: str, value: str, tone: str) -> str:
    return f'<div class="badge {tone}"><span>{_text(name)}</span><b>{_text(value)}</b></div>'


def _empty(what: str) -> str:
    return f'<p class="empty">{_text(what)}</p>'


def _when(at: Micros | None) -> str:
    if at is None:
        return "–"
    shown = to_datetime(at)
    return f'<time datetime="{shown.isoformat()}">{shown:%Y-%m-%d %H:%M}</time>'


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _deployment(one: DeploymentState) -> str:
    pace = one.pace
    facts = (
        ("requests/s", f"{pace.requests_per_second:.1f}"),
        ("errors", f"{pace.error_rate:.1%}"),
        ("p50 ms", _milliseconds(pace.p50_ms)),
        ("p95 ms", _milliseconds(pace.p95_ms)),
        ("p99 ms", _milliseconds(pace.p99_ms)),
    )
    told = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    trouble = f'<p class="trouble">{_text(one.trouble)}</p>' if one.trouble else ""
    by = f" by {_text(one.actor)}" if one.actor else ""
    why = f": {_text(one.reason)}" if one.reason else ""
    since = f'<p class="since">route {one.revision}, {_text((one.routed_at or "")[:16].replace("T", " "))}{by}{why}</p>'
    state = '<span class="pill good">answering</span>' if one.ready else '<span class="pill bad">not ready</span>'
    return (
        f'<article class="card"><h3>{_text(one.name)} {state}</h3>{_arms(one.arms)}{trouble}'
        f'<dl class="facts">{told}</dl>{_bars(pace)}{since if one.revision else ""}</article>'
    )


def _arms(arms: Sequence[Arm]) -> str:
    if not arms:
        return ""
    answering = sorted((arm for arm in arms if arm.role != "shadow"), key=lambda arm: arm.role != "champion")
    shadows = [arm for arm in arms if arm.role == "shadow"]
    # The width is an SVG attribute, not a style: the page's policy allows no inline style.
    drawn, left = "", 0.0
    for arm in answering:
        drawn += f'<rect class="{arm.role}" x="{left:.2f}" width="{arm.weight / 100:.2f}" height="8"/>'
        left += arm.weight / 100
    bar = f'<svg class="split" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
    lines = "".join(
        f'<li><i class="{arm.role}"></i><b>{_text(arm.model)} v{arm.version}</b> {arm.role} '
        f"<span>{arm.weight / 100:g} %</span></li>"
        for arm in (*answering, *shadows)
    )
    return f'{bar}<ul class="arms">{lines}</ul>'


def _bars(pace: Pace) -> str:
    top = max(pace.bars) or 1
    drawn = "".join(
        f'<rect x="{index}" y="{20 - 20 * count / top:.2f}" width="0.8" height="{20 * count / top:.2f}"/>'
        for index, count in enumerate(pace.bars)
        if count
    )
    label = f"requests in each of the last 60 seconds, at most {max(pace.bars)}"
    return (
        f'<svg class="bars" viewBox="0 0 60 20" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'<line x1="0" x2="60" y1="20" y2="20"/>{drawn}</svg><p class="axis"><span>60 s ago</span><span>now</span></p>'
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> str:
    if not rows:
        return _empty(empty)
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _pill(value: str) -> str:
    tones = {"open": "bad", "failed": "bad", "acknowledged": "warn", "running": "warn", "finished": "good", "closed": "good"}
    return f'<span class="pill {tones.get(value, "")}">{_text(value)}</span>'


def _metrics(metrics: Mapping[str, float] | None) -> str:
    shown = sorted((name, value) for name, value in (metrics or {}).items() if name != "n")[:3]
    return " ".join(f'<span class="metric">{_text(name)} <b>{value:.4g}</b></span>' for name, value in shown) or "–"


def _alerts(alerts: Sequence[AlertLine]) -> str:
    rows = [
        (_pill(one.state), _text(one.monitor), f"{_text(one.what)}<small>{_text(one.detail)}</small>", _when(one.opened_at))
        for one in alerts
    ]
    return _table(("state", "monitor", "what", "opened"), rows, "No alerts.")


def _models(models: Sequence[ModelLine]) -> str:
    rows = [
        (
            f"<b>{_text(one.model)}</b> v{one.version}",
            " ".join(f'<span class="pill alias">{_text(alias)}</span>' for alias in one.aliases),
            _metrics(one.metrics),
            _text(one.format),
            _when(one.created_at),
        )
        for one in models
    ]
    return _table(("version", "aliases", "metrics", "format", "created"), rows, "No models yet.")


def _runs(runs: Sequence[RunLine]) -> str:
    rows = [
        (
            _text(one.name),
            _pill(one.status),
            _metrics(one.metrics),
            "–" if one.seconds is None else format_duration(round(one.seconds) * 1_000_000),
            _when(one.started_at),
        )
        for one in runs
    ]
    return _table(("run", "status", "metrics", "took", "started"), rows, "No runs yet.")


def _environments(lines: Sequence[EnvironmentLine]) -> str:
    rows = [
        (
            f"<b>{_text(one.name)}</b>",
            str(one.version),
            " ".join(f'<span class="metric">{_text(kind)} <b>{count}</b></span>' for kind, count in sorted(one.nodes.items())),
            _when(one.moved_at),
            _text(one.moved_by),
            _text(one.reason),
        )
        for one in lines
    ]
    return _table(("environment", "version", "nodes", "moved", "by", "reason"), rows, "Nothing was applied yet.")
