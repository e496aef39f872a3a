"""Runs jobs one at a time, node by node, and sends the same frames as ComfyUI."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from . import faults as fault
from .log import Finished, NodeRan, StandInLog, Started
from .nodes import (
    Interrupted,
    ModelSlot,
    Node,
    NodeFailed,
    NodeRun,
    Result,
    Server,
    custom_voice,
    load_audio,
    preview_any,
    preview_audio,
    save_audio,
    voice_clone,
    voice_design,
)
from .object_info import NodeCatalogue
from .prompt_jobs import History, HistoryEntry, JobQueue, NodeCache, PromptJob, is_link
from .sockets import Sockets
from .training import train

NODES: dict[str, Node] = {
    "FB_Qwen3TTSCustomVoice": custom_voice,
    "FB_Qwen3TTSVoiceClone": voice_clone,
    "FB_Qwen3TTSVoiceDesign": voice_design,
    "FB_Qwen3TTSTrain": train,
    "LoadAudio": load_audio,
    "SaveAudio": save_audio,
    "PreviewAudio": preview_audio,
    "PreviewAny": preview_any,
}


class Executor:
    """The only worker. Runs on the server's event loop; audio is generated in a thread."""

    def __init__(
        self,
        server: Server,
        log: StandInLog,
        queue: JobQueue,
        history: History,
        sockets: Sockets,
        catalogue: NodeCatalogue,
    ) -> None:
        self.server = server
        self.log = log
        self.queue = queue
        self.history = history
        self.sockets = sockets
        self.catalogue = catalogue
        self.cache = NodeCache(server.storage)
        self.model = ModelSlot()
        self._interrupted = False

    def interrupt(self) -> None:
        """Interrupt the running job at its next check; does nothing if no job runs."""
        self._interrupted = True

    def check_interrupt(self) -> None:
        """Raise Interrupted if an interruption was requested."""
        if self._interrupted:
            self._interrupted = False
            raise Interrupted

    def free(self) -> None:
        """POST /free: forget the model and the cache."""
        self.cache.clear()
        self.model.key = None

    async def work(self) -> None:
        """Run jobs until cancelled."""
        while True:
            job = await self.queue.take()
            self.log.add(Started(prompt_id=job.prompt_id))
            self.server.printed.print("got prompt")
            self._interrupted = False
            run = JobRun(self, job)
            outcome = await run.execute()
            await self.server.faults.pass_gate("history", **run.context)
            self._write_history(job, run.history_entry(outcome))
            self.sockets.last_node = None
            self.queue.done()
            if job.client_id is not None:
                self.sockets.send(
                    "executing", {"node": None, "prompt_id": job.prompt_id}, job.client_id
                )
            self.log.add(Finished(prompt_id=job.prompt_id, outcome=outcome))

    def _write_history(self, job: PromptJob, entry: HistoryEntry) -> None:
        context = {"prompt_id": job.prompt_id, "client_id": job.client_id}
        if self.server.faults.take(fault.HistoryStatusNull, **context):
            entry["status"] = None
        if not self.server.faults.take(fault.HistoryLost, **context):
            self.history.add(job.prompt_id, entry)


class JobRun:
    """One run of one job."""

    def __init__(self, executor: Executor, job: PromptJob) -> None:
        self._executor = executor
        self._job = job
        self._sockets = executor.sockets
        self._nodes = executor.catalogue.nodes()
        self._signatures = executor.cache.signatures(job.graph, self._nodes)
        self._results: dict[str, Result] = {}
        self._executed: list[str] = []
        self._outputs: dict[str, Any] = {}
        self._messages: list[list[Any]] = []
        self._progress: dict[str, dict[str, Any]] = {}
        self.context: dict[str, str | None] = {
            "prompt_id": job.prompt_id,
            "client_id": job.client_id,
        }

    async def execute(self) -> str:
        """Run the job; return success, error or interrupted."""
        executor, job = self._executor, self._job
        self._sockets.executing_client = job.client_id
        self._message("execution_start", {})
        executor.cache.keep_only(set(self._signatures.values()))
        cached = [node_id for node_id in job.graph if self._cached(node_id)]
        self._message("execution_cached", {"nodes": cached})
        self._outputs_vanish = executor.server.faults.take(fault.OutputsMissing, **self.context)
        for node_id in self._order():
            if outcome := await self._step(node_id):
                return outcome
        self._message("execution_success", {})
        return "success"

    def history_entry(self, outcome: str) -> HistoryEntry:
        """Return the job's history entry."""
        status = {
            "status_str": "success" if outcome == "success" else "error",
            "completed": outcome == "success",
            "messages": self._messages,
        }
        meta = {
            node_id: {
                "node_id": node_id,
                "display_node": node_id,
                "parent_node": None,
                "real_node_id": node_id,
            }
            for node_id in self._outputs
        }
        return {
            "prompt": self._job.entry(),
            "outputs": self._outputs,
            "status": status,
            "meta": meta,
        }

    def _cached(self, node_id: str) -> Result | None:
        return self._executor.cache.get(self._signatures.get(node_id, ""))

    def _order(self) -> list[str]:
        """Return the nodes in order of dependency; inputs of cached nodes are not visited."""
        order: dict[str, None] = {}

        def visit(node_id: str) -> None:
            if node_id in order:
                return
            if not self._cached(node_id):
                for value in self._job.graph[node_id]["inputs"].values():
                    if is_link(value, self._job.graph) and not self._cached(value[0]):
                        visit(value[0])
            order[node_id] = None

        for output in self._job.outputs:
            visit(output)
        return list(order)

    # Nodes

    async def _step(self, node_id: str) -> str | None:
        """Run a node or use its cached result; return the outcome if it ends the run."""
        node_type = self._job.graph[node_id]["class_type"]
        if result := self._cached(node_id):
            self._from_cache(node_id, result)
            return None
        inputs: dict[str, Any] = {}
        try:
            self._executor.check_interrupt()
            inputs = self._inputs(node_id)
            result = await self._run_node(node_id, node_type, inputs)
        except Interrupted:
            where = {"node_id": node_id, "node_type": node_type, "executed": self._executed}
            # If the job has no client, this message is broadcast.
            self._message("execution_interrupted", where, broadcast=True)
            return "interrupted"
        # KeyError: the node was removed after the job was accepted.
        except (NodeFailed, OSError, RuntimeError, ValueError, KeyError) as exc:
            self._message("execution_error", self._report(node_id, node_type, inputs, exc))
            return "error"
        self._finish_node(node_id, result)
        return None

    async def _run_node(self, node_id: str, node_type: str, inputs: dict[str, Any]) -> Result:
        executor = self._executor
        self._set_progress(node_id, 0.0, 1.0, "running")
        self._sockets.last_node = node_id
        self._to_client(
            "executing",
            {"node": node_id, "display_node": node_id, "prompt_id": self._job.prompt_id},
        )
        run = NodeRun(
            server=executor.server, model=executor.model, prompt_id=self._job.prompt_id,
            client_id=self._job.client_id, node_id=node_id, node_type=node_type,
            graph=self._job.graph, inputs=inputs,
            report=lambda value, total: self._report_progress(node_id, value, total),
            check_interrupt=executor.check_interrupt, interrupt=executor.interrupt,
        )  # fmt: skip
        if error := run.take(fault.NodeError):
            raise NodeFailed(error.exception_type, error.message)
        executor.log.add(
            NodeRan(prompt_id=self._job.prompt_id, node_id=node_id, node_type=node_type)
        )
        return await NODES[node_type](run)

    def _inputs(self, node_id: str) -> dict[str, Any]:
        node = self._job.graph[node_id]
        hidden = self._nodes[node["class_type"]]["input"].get("hidden", {})
        values = {name: self._value(value) for name, value in node["inputs"].items()}
        offered = {
            "unique_id": node_id,
            "prompt": self._job.graph,
            "extra_pnginfo": self._job.extra_data.get("extra_pnginfo"),
        }
        return values | {name: offered[name] for name in hidden}

    def _value(self, value: Any) -> Any:
        if not is_link(value, self._job.graph):
            return value
        source, slot = value
        result = self._results.get(source) or self._cached(source)
        return result.values[slot] if result else None

    def _finish_node(self, node_id: str, result: Result) -> None:
        self._results[node_id] = result
        self._executor.cache.put(self._signatures[node_id], result)
        self._executed.append(node_id)
        self._show(node_id, result.ui)
        shown = self._progress[node_id]
        self._set_progress(node_id, shown["max"], shown["max"], "finished")

    def _from_cache(self, node_id: str, result: Result) -> None:
        self._results[node_id] = result
        # Unlike new results, a cached output node is reported even if its output is empty.
        self._show(node_id, result.ui, always=True)
        self._set_progress(node_id, 1, 1, "finished")

    def _show(self, node_id: str, ui: dict[str, Any] | None, *, always: bool = False) -> None:
        if self._outputs_vanish:
            return
        if ui is not None:
            self._outputs[node_id] = ui
        if ui is not None or always:
            self._to_client(
                "executed",
                {
                    "node": node_id,
                    "display_node": node_id,
                    "output": ui,
                    "prompt_id": self._job.prompt_id,
                },
            )

    def _report(
        self, node_id: str, node_type: str, inputs: Mapping[str, Any], exc: Exception
    ) -> dict[str, Any]:
        known = exc.exception_type if isinstance(exc, NodeFailed) else _type_name(exc)
        return {
            "node_id": node_id,
            "node_type": node_type,
            "executed": list(self._executed),
            "exception_message": f"{exc}\n",
            "exception_type": known,
            "traceback": [f'  File "/srv/ComfyUI/execution.py", in {node_type}\n'],
            "current_inputs": {name: [_shown(value)] for name, value in inputs.items()},
            "current_outputs": list(self._job.graph),
        }

    # Frames

    def _message(self, event: str, data: dict[str, Any], *, broadcast: bool = False) -> None:
        """Send a frame and add it to the history."""
        full = {"prompt_id": self._job.prompt_id, **data, "timestamp": int(time.time() * 1000)}
        if event == "execution_cached":
            full = {"nodes": full.pop("nodes"), **full}
        self._messages.append([event, full])
        if broadcast and self._job.client_id is None:
            self._sockets.send(event, full)
        self._to_client(event, full)

    def _to_client(self, event: str, data: Mapping[str, Any]) -> None:
        if self._job.client_id is not None:
            self._sockets.send(event, data, self._job.client_id)

    def _report_progress(self, node_id: str, value: int, total: int) -> None:
        self._set_progress(node_id, value, total, "running")
        data = {"value": value, "max": total, "prompt_id": self._job.prompt_id, "node": node_id}
        # Progress of a job without a client is broadcast.
        self._sockets.send("progress", data, self._job.client_id)

    def _set_progress(self, node_id: str, value: float, total: float, state: str) -> None:
        self._progress[node_id] = {
            "value": value,
            "max": total,
            "state": state,
            "node_id": node_id,
            "prompt_id": self._job.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        data = {"prompt_id": self._job.prompt_id, "nodes": self._progress}
        self._sockets.send("progress_state", data, self._job.client_id)


def _type_name(exc: Exception) -> str:
    cls = type(exc)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


def _shown(value: Any) -> Any:
    return value if isinstance(value, int | float | str | None) else str(value)
