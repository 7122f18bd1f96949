-- Shows whether this program may control Messages: asks it something harmless.
on run argv
	tell application "Messages" to (count of accounts)
	return "done"
end run
