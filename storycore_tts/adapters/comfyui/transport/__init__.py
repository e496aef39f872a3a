"""Transport to a ComfyUI server: HTTP, the WebSocket, and whether they can reach it."""
