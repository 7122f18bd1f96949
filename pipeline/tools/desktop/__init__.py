"""Tools for any desktop: open formats (vCard, iCalendar, `.eml`, Markdown, JSON) under one data folder."""
