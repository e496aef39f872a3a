"""/standin/…: access to the log and the faults over HTTP, for a server in another process."""

from __future__ import annotations

import json
from http import HTTPStatus

from aiohttp import web

from .faults import Faults, Hold, fault_from_json, fault_to_json
from .log import StandInLog, to_json


class Admin:
    """GET /standin/log, GET, POST, DELETE /standin/faults, POST /standin/release."""

    def __init__(self, log: StandInLog, faults: Faults) -> None:
        self._log = log
        self._faults = faults

    def register(self, app: web.Application) -> None:
        """Add the endpoints."""
        app.router.add_get("/standin/log", self.log)
        app.router.add_get("/standin/faults", self.pending)
        app.router.add_post("/standin/faults", self.add)
        app.router.add_delete("/standin/faults", self.clear)
        app.router.add_post("/standin/release", self.release)

    async def log(self, request: web.Request) -> web.Response:
        """Return all records, oldest first."""
        return web.json_response([to_json(record) for record in self._log.records])

    async def pending(self, request: web.Request) -> web.Response:
        """Return the pending faults."""
        return web.json_response([fault_to_json(fault) for fault in self._faults.pending])

    async def add(self, request: web.Request) -> web.Response:
        """Add a fault or a list of faults: {"kind": "Answer", "path": "/prompt", …}."""
        try:
            body = json.loads(await request.text())
            items = body if isinstance(body, list) else [body]
            faults = [fault_from_json(item) for item in items]
        except (ValueError, KeyError, TypeError) as exc:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=f"not a fault: {exc!r}")
        for fault in faults:
            if isinstance(fault, Hold):
                self._faults.gate(fault.gate)
        self._faults.add(*faults)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def clear(self, request: web.Request) -> web.Response:
        """Remove all faults and open all gates."""
        self._faults.clear()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def release(self, request: web.Request) -> web.Response:
        """Open the gate named in the body ({"gate": …}), or all gates."""
        body = json.loads(await request.text() or "{}")
        if "gate" in body:
            self._faults.gate(body["gate"]).release()
        else:
            self._faults.release_all()
        return web.Response(status=HTTPStatus.NO_CONTENT)
