-- Shows whether this program may control Calendar: asks it something harmless.
on run argv
	tell application "Calendar" to (count of calendars)
	return "done"
end run
