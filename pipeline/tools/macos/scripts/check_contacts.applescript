-- Shows whether this program may control Contacts: asks it something harmless.
on run argv
	tell application "Contacts" to count people
	return "done"
end run
