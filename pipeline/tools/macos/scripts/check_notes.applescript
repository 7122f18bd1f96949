-- Shows whether this program may control Notes: asks it something harmless.
on run argv
	tell application "Notes" to (count of accounts)
	return "done"
end run
