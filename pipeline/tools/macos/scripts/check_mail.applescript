-- Shows whether this program may control Mail: asks it something harmless.
on run argv
	tell application "Mail" to (count of accounts)
	return "done"
end run
