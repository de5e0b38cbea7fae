"""The page at `/`: one document, one style sheet, one script and the sample clips, all from this package.

Its headers forbid a browser to load anything from elsewhere, or to send anything there.
"""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from r1omni.core.labels import MAFW_LABELS
from r1omni.infer.predict_files import ASSETS
from r1omni.serve.failures import ApiError
from r1omni.serve.service import Service

_FOLDER = Path(__file__).parent / "page"
_KINDS = {"page.css": "text/css", "page.js": "text/javascript"}
_SAMPLE_KINDS = {".mp4": "video/mp4", ".m4a": "audio/mp4"}
_SAMPLES = {path.name: path for path in sorted((ASSETS / "clips").iterdir()) if path.suffix in _SAMPLE_KINDS}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # The page of an explanation, shown in a frame without scripts, brings its styles inside.
        "style-src 'self' 'unsafe-inline'",
        "frame-src blob:",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
MAX_RECORDING_S = 60

USE_POLICY = (
    "A label that a model gives to a face or a voice is not what a person feels. Use it on recordings of people who "
    "agreed, and not to decide about anybody. Inferring people's emotions at work and in education is prohibited or "
    "restricted by law in some places: in the European Union by Article 5 of the AI Act, except for medical and safety "
    "reasons. The published HumanOmni and R1-Omni weights are CC-BY-NC: not for commercial use."
)
UNKNOWN_NOTE = (
    "What its answers are worth depends on the clips it was trained on; measure it on your own before you rely on it "
    "(r1omni evaluate)."
)


def add_page(app: FastAPI, service: Service, asks_for_key: bool) -> None:
    """Add the page's routes.

    Args:
        app: the application.
        service: the server's parts.
        asks_for_key: whether the API needs a key.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        """Show the page."""
        if not service.models:
            return HTMLResponse(_LOADING, 503, {**_HEADERS, "Refresh": "2", "Retry-After": "2"})
        content = environment.get_template("page.html.j2").render(_contents(service), asks_for_key=asks_for_key)
        return HTMLResponse(content, headers=_HEADERS)

    @app.get("/page/{name}", include_in_schema=False)
    async def part(name: str) -> Response:
        """Serve the style sheet or the script."""
        if name not in _KINDS:
            raise _missing()
        return Response((_FOLDER / name).read_bytes(), media_type=_KINDS[name], headers=_HEADERS)

    @app.get("/page/samples/{name}", include_in_schema=False)
    async def sample(name: str) -> Response:
        """Serve a sample clip."""
        if name not in _SAMPLES:
            raise _missing()
        path = _SAMPLES[name]
        return FileResponse(path, media_type=_SAMPLE_KINDS[path.suffix], headers=_HEADERS)


def _contents(service: Service) -> dict[str, object]:
    """What the template shows."""
    config, models = service.config, list(service.models.values())
    instructions = {model.name: model.instruction for model in models}
    limit_mib, limit_s = config.clip.max_bytes // 2**20, config.clip.max_duration_s
    return {
        "models": [{"id": model.name, "note": model.note} for model in models],
        "unknown_note": UNKNOWN_NOTE,
        "policy": USE_POLICY,
        "keeping": "Clips go to this server alone and stay in its memory: an upload until you leave this page or "
        f"{config.files_s / 60:.0f} minutes have passed. Nothing is written to a disk, and nothing of it to a log.",
        "limits": f"Video, sound or picture; up to {limit_mib} MiB and {limit_s / 60:.0f} minutes.",
        "samples": list(_SAMPLES),
        "instruction": models[0].instruction,
        "labels": MAFW_LABELS,
        "facts": {
            "instructions": instructions,
            "max_bytes": config.clip.max_bytes,
            "max_recording_s": min(MAX_RECORDING_S, config.clip.max_duration_s),
        },
    }


def _missing() -> ApiError:
    return ApiError(404, "There is nothing under this path.", "invalid_request")


_LOADING = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>r1omni</title>'
    "<p>The model is being loaded; the page comes by itself.</p></html>"
)
