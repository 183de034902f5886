"""The gateway: everything that waits. HTTP, WebSocket, the clock, the inbox, the timers, the client."""
