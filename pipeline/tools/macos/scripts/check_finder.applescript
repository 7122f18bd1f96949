-- Shows whether this program may control Finder: asks it something harmless.
on run argv
	tell application "Finder" to count windows
	return "done"
end run
