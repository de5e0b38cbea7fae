"""A stand-in for the Hugging Face hub's HTTP interface: enough to upload a folder, and to download a repository.

Repositories are kept in memory, every commit whole; a commit's id is the hash of its content.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class Hub:
    """What the hub holds, and what was asked of it."""

    url: str = ""
    commits: dict[str, dict[str, Files]] = field(default_factory=dict)
    """Repository -> commit id -> its files."""
    refs: dict[str, dict[str, str]] = field(default_factory=dict)
    """Repository -> branch or tag -> commit id."""
    asked: list[str] = field(default_factory=list)
    """Method and path of every request."""

    def commit(self, repository: str, files: Files) -> str:
        """Add a commit on top of `main` and return its id."""
        known = self.commits.setdefault(repository, {})
        refs = self.refs.setdefault(repository, {})
        whole = {**known.get(refs.get("main", ""), {}), **files}
        text = json.dumps([[name, hashlib.sha1(data).hexdigest()] for name, data in sorted(whole.items())])
        name = hashlib.sha1(text.encode()).hexdigest()
        known[name], refs["main"] = whole, name
        return name

    def resolve(self, repository: str, revision: str) -> str | None:
        """Return the id of a branch, a tag or a commit."""
        known = self.commits.get(repository, {})
        return revision if revision in known else self.refs.get(repository, {}).get(revision)


@contextmanager
def hub_stand_in() -> Iterator[Hub]:
    """Run a hub on a free port until the block ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(None)

        def do_GET(self) -> None:
            self.answer(None)

        def do_POST(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(body)

        def answer(self, body: bytes | None) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            for pattern, reply in ROUTES:
                if (self.command in ("GET", "HEAD")) == (body is None) and (found := re.fullmatch(pattern, path)):
                    reply(self, body or b"", **found.groupdict())
                    return
            self.fail(404, "EntryNotFound")

        def fail(self, status: int, code: str) -> None:
            self.send(status, b"{}", {"X-Error-Code": code})

        def send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def send_json(self, value: object) -> None:
            self.send(200, json.dumps(value).encode())

        def found(self, repository: str, revision: str) -> tuple[str, Files] | None:
            if repository not in hub.commits:
                self.fail(404, "RepoNotFound")
                return None
            name = hub.resolve(repository, revision)
            if name is None:
                self.fail(404, "RevisionNotFound")
                return None
            return name, hub.commits[repository][name]

        def info(self, body: bytes, repository: str, revision: str = "main") -> None:
            if held := self.found(repository, revision):
                siblings = [{"rfilename": name} for name in held[1]]
                self.send_json({"id": repository, "modelId": repository, "sha": held[0], "siblings": siblings})

        def tree(self, body: bytes, repository: str, revision: str) -> None:
            if held := self.found(repository, revision):
                self.send_json(
                    [
                        {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                        for name, data in held[1].items()
                    ]
                )

        def file(self, body: bytes, repository: str, revision: str, name: str) -> None:
            held = self.found(repository, revision)
            if held is None:
                return
            if name not in held[1]:
                self.fail(404, "EntryNotFound")
                return
            data = held[1][name]
            headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": held[0]}
            self.send(200, data, {**headers, "Content-Type": "application/octet-stream"})

        def create(self, body: bytes) -> None:
            asked = json.loads(body)
            repository = f"{asked.get('organization') or 'somebody'}/{asked['name']}"
            hub.commits.setdefault(repository, {})
            self.send_json({"url": f"{hub.url}/{repository}", "id": repository, "name": repository})

        def validate(self, body: bytes) -> None:
            self.send_json({"errors": [], "warnings": []})

        def preupload(self, body: bytes, repository: str, revision: str) -> None:
            files = [entry["path"] for entry in json.loads(body)["files"]]
            self.send_json(
                {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in files]}
            )

        def add_commit(self, body: bytes, repository: str, revision: str) -> None:
            lines = [json.loads(line) for line in body.splitlines() if line]
            files = {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            name = hub.commit(repository, files)
            self.send_json({"success": True, "commitOid": name, "commitUrl": f"{hub.url}/{repository}/commit/{name}"})

    model = r"/api/models/(?P<repository>[^/]+/[^/]+)"
    ROUTES = (
        (r"/api/repos/create", Handler.create),
        (r"/api/validate-yaml", Handler.validate),
        (rf"{model}/preupload/(?P<revision>.+)", Handler.preupload),
        (rf"{model}/commit/(?P<revision>.+)", Handler.add_commit),
        (rf"{model}/tree/(?P<revision>[^/]+)/?", Handler.tree),
        (rf"{model}/revision/(?P<revision>.+)", Handler.info),
        (model, Handler.info),
        (r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)", Handler.file),
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
