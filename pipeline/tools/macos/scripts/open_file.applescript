-- Opens a file with the program that is for it, or shows it in its folder. Arguments: path, "open" or "reveal".
on run argv
	set theFile to POSIX file (item 1 of argv)
	set isShown to (item 2 of argv) is "reveal"
	tell application "Finder"
		if isShown then
			reveal theFile
			activate
		else
			open theFile
		end if
	end tell
	return "done"
end run
