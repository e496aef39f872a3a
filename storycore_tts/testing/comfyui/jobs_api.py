"""/api/jobs of ComfyUI since 2026, which combines queue and history."""

from __future__ import annotations

import uuid
from typing import Any

from .prompt_jobs import History, HistoryEntry, JobQueue, PromptJob


def bad_id(prompt_id: object) -> str | None:
    """Return what is wrong with a prompt id, which must be a UUID in canonical lower-case form."""
    if not isinstance(prompt_id, str):
        return f"job id must be a string, got {type(prompt_id).__name__}"
    try:
        canonical = str(uuid.UUID(prompt_id))
    except ValueError as exc:
        return str(exc)
    if canonical != prompt_id:
        return "job id must be a UUID in canonical lowercase hyphenated form"
    return None


def one(queue: JobQueue, history: History, job_id: str) -> dict[str, Any] | None:
    """Return a job with its outputs and its graph, or None."""
    if (entry := history.get(job_id)) is not None:
        job = _finished(job_id, entry)
        job["outputs"] = entry["outputs"]
        job["execution_status"] = entry["status"]
        job["workflow"] = {"prompt": entry["prompt"][2], "extra_data": entry["prompt"][3]}
        return job
    for status, queued in _queued(queue):
        if queued.prompt_id == job_id:
            workflow = {"prompt": queued.graph, "extra_data": queued.extra_data}
            return {**_waiting(queued, status), "workflow": workflow}
    return None


def listing(queue: JobQueue, history: History) -> dict[str, Any]:
    """Return a summary of all jobs."""
    jobs = [_waiting(job, status) for status, job in _queued(queue)]
    jobs += [_finished(job_id, entry) for job_id, entry in history.all().items()]
    page = {"offset": 0, "limit": None, "total": len(jobs), "has_more": False}
    return {"jobs": jobs, "pagination": page}


def _queued(queue: JobQueue) -> list[tuple[str, PromptJob]]:
    running = [("in_progress", queue.running)] if queue.running else []
    return running + [("pending", job) for job in queue.pending]


def _waiting(job: PromptJob, status: str) -> dict[str, Any]:
    return {
        "id": job.prompt_id,
        "status": status,
        "priority": job.number,
        "create_time": job.extra_data["create_time"],
        "outputs_count": 0,
        "previewable_outputs_count": 0,
    }


def _finished(job_id: str, entry: HistoryEntry) -> dict[str, Any]:
    messages = dict(entry["status"]["messages"]) if entry["status"] else {}
    if "execution_interrupted" in messages:
        status = "cancelled"
    elif "execution_error" in messages:
        status = "failed"
    else:
        status = "completed"
    files = [
        {**item, "nodeId": node_id, "mediaType": media}
        for node_id, output in entry["outputs"].items()
        for media, items in output.items()
        for item in items
        if isinstance(item, dict)
    ]
    job = {
        "id": job_id,
        "status": status,
        "priority": entry["prompt"][0],
        "create_time": entry["prompt"][3]["create_time"],
        "outputs_count": len(files),
        "previewable_outputs_count": len(files),
        "execution_start_time": messages.get("execution_start", {}).get("timestamp"),
        "execution_error": messages.get("execution_error"),
        "preview_output": files[0] if files else None,
    }
    for event in ("execution_success", "execution_error", "execution_interrupted"):
        if event in messages:
            job["execution_end_time"] = messages[event]["timestamp"]
    return {name: value for name, value in job.items() if value is not None}
