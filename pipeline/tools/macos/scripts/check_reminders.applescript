-- Shows whether this program may control Reminders: asks it something harmless.
on run argv
	tell application "Reminders" to (count of accounts)
	return "done"
end run
