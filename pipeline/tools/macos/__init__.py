"""The tools on macOS: Apple's own apps, each function by a fixed AppleScript in `scripts/`; the same arguments, errors and words as `desktop`."""
