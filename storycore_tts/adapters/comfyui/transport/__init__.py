"""Bytes to and from one ComfyUI server: HTTP, the WebSocket, and which of them works right now."""
