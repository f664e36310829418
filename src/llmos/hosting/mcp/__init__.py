"""The Model Context Protocol: tools of MCP servers for an application, and an application as an MCP server."""

from llmos.hosting.mcp.connect import connect_mcp

__all__ = ["connect_mcp"]
