"""`tinyagent serve`: the pipeline as a long-lived local process that other programs and a browser talk to over HTTP.

A request passes `access` (who may ask), `turns` (whose turn it is at the model) and `hub` (the runs under way: their events, questions
and ends). `api` has the routes of our own, `completions` those of OpenAI's chat interface, with `functions` for the tools that come with a
request, `recordings` takes speech and `page` gives the page out, to `sessions` of browsers; `wire` is what goes over the wire. `metrics`, `logs` and `tracing` watch. `app` puts it together, `commands` starts it.

The package needs the extra `service`; nothing else of the project imports it.
"""
