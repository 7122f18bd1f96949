"""What the tools do. A spec in `tool_specs/` names its function here; nothing else imports them.

`desktop` keeps everything in open formats under one data folder, `zoom` calls a REST API. Every tool is
`tool(ctx, /, **arguments) -> str`; `context` says what it is lent and which errors it may raise.
"""
